//! All that the doctor knows of a machine.

use std::path::PathBuf;

use anyhow::Result;
use phial_hub::Store;
use phial_kernels::{Pool, Tier};

use super::cgroup::Limits;
use super::expect::{self, Expectation};
use crate::commands::ceilings::Ceilings;
use crate::commands::system::{self, CoreTime, Cpu, SystemMemory};
use crate::{cli, memory};

/// The machine, the container, and what this program makes of them. `None` is unknown.
pub struct Facts {
    pub cpu: Cpu,
    /// Tiers of instructions that the CPU has, best first.
    pub tiers: Vec<&'static str>,
    /// The one that runs.
    pub tier: &'static str,
    /// Why it is not the one that `PHIAL_ISA` asks for.
    pub tier_problem: Option<String>,
    pub threads: usize,
    /// Whether `--threads` said so.
    pub threads_given: bool,
    pub limits: Limits,
    pub memory: SystemMemory,
    /// Bytes that could be taken now without swapping.
    pub memory_available: Option<u64>,
    /// `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
    /// Threads of all programs that wanted a core over the last minute.
    pub load: Option<f64>,
    /// The share of time that the machine's host took away while this was measured.
    pub stolen: Option<f64>,
    pub ceilings: Ceilings,
    pub expectations: Vec<Expectation>,
    pub store: StoreFacts,
}

/// The place of the models.
#[derive(Default)]
pub struct StoreFacts {
    pub folder: Option<PathBuf>,
    /// Names and bytes.
    pub models: Vec<(String, u64)>,
    pub free_bytes: Option<u64>,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// Whether a model has room in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Yes,
    /// It would, if other programs gave up theirs.
    NotNow,
    No,
    Unknown,
}

impl Facts {
    /// Looks at everything and measures for about a second.
    pub fn find(arguments: &cli::Doctor) -> Result<Self> {
        // Before anything of ours makes the machine busy.
        let (load, before) = (system::load(), CoreTime::now());
        let memory_available = memory::available_bytes();
        let best = Tier::available()[0];
        let (tier, tier_problem) = match Tier::choose() {
            Ok(tier) => (tier, None),
            Err(error) => (best, Some(error.to_string())),
        };
        let threads = arguments.threads.map_or_else(Pool::default_threads, usize::from);
        let pool = Pool::new(threads);
        let ceilings = Ceilings::measure(&pool, tier);
        let stolen =
            before.zip(CoreTime::now()).and_then(|(before, after)| after.stolen_since(before));
        Ok(Self {
            cpu: Cpu::find(),
            tiers: Tier::available().into_iter().map(Tier::name).collect(),
            tier: tier.name(),
            tier_problem,
            threads: pool.threads(),
            threads_given: arguments.threads.is_some(),
            limits: Limits::find(),
            memory: SystemMemory::find(),
            memory_available,
            huge_pages: system::huge_pages(),
            load,
            stolen,
            ceilings,
            expectations: expect::expectations(&ceilings)?,
            store: StoreFacts::find(),
        })
    }

    /// Memory that there is for all programs: the machine's, or what the container may take.
    pub fn memory_total(&self) -> Option<u64> {
        self.memory.total.into_iter().chain(self.limits.memory_bytes).min()
    }

    /// Whether `bytes` have room.
    pub fn fit(&self, bytes: u64) -> Fit {
        match (self.memory_available, self.memory_total()) {
            (Some(available), _) if bytes <= available => Fit::Yes,
            (_, Some(total)) if bytes > total => Fit::No,
            (Some(_), _) => Fit::NotNow,
            (None, _) => Fit::Unknown,
        }
    }
}

impl StoreFacts {
    fn find() -> Self {
        let store = match Store::open() {
            Ok(store) => store,
            Err(error) => return Self { problem: Some(error.to_string()), ..Self::default() },
        };
        let folder = store.folder().to_path_buf();
        let free_bytes = system::free_disk_bytes(&folder);
        let (models, problem) = match store.list() {
            Ok(models) => (models, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let models =
            models.iter().map(|model| (model.manifest().name.clone(), model.manifest().bytes));
        Self { folder: Some(folder), models: models.collect(), free_bytes, problem }
    }
}
