//! Stored batches.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use phial_openai::metering::Payer;
use phial_openai::{Batch, BatchOutcome};

use super::{read_all, replace, within};

/// The batches of a folder.
#[derive(Debug)]
pub(crate) struct BatchStore {
    folder: PathBuf,
    /// By time of creation and id, the order of lists.
    known: Mutex<BTreeMap<(u64, String), Batch>>,
}

/// What a batch has come to so far; survives a restart.
#[derive(Debug)]
pub(crate) struct Progress {
    output: File,
    errors: File,
    pub output_path: PathBuf,
    pub errors_path: PathBuf,
    /// The requests that are done, by the client's names.
    pub done: HashSet<String>,
    pub completed: usize,
    pub failed: usize,
}

impl BatchStore {
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        let mut known = BTreeMap::new();
        for value in read_all(&folder)? {
            let batch: Batch = serde_json::from_value(value)
                .map_err(|error| within(&folder, &io::Error::from(error)))?;
            known.insert((batch.created_at, batch.id.clone()), batch);
        }
        Ok(Self { folder, known: Mutex::new(known) })
    }

    /// All batches, oldest first.
    pub fn list(&self) -> Vec<Batch> {
        self.lock().values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// The batch of this id.
    pub fn get(&self, id: &str) -> Option<Batch> {
        self.lock().values().find(|batch| batch.id == id).cloned()
    }

    /// Adds a batch, and by what it is billed.
    pub fn add(&self, batch: &Batch, payer: Option<&Payer>) -> io::Result<()> {
        if let Some(payer) = payer {
            replace(&self.payer_path(&batch.id), payer.0.as_bytes())?;
        }
        self.write(batch)?;
        self.lock().insert((batch.created_at, batch.id.clone()), batch.clone());
        Ok(())
    }

    /// By what a batch is billed.
    pub fn payer(&self, id: &str) -> io::Result<Option<Payer>> {
        match fs::read_to_string(self.payer_path(id)) {
            Ok(word) => Ok(Some(Payer(word.into()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn payer_path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.payer"))
    }

    /// Changes a batch under the lock, and gives what it became; `None` if there is none.
    pub fn update(&self, id: &str, change: impl FnOnce(&mut Batch)) -> io::Result<Option<Batch>> {
        let mut known = self.lock();
        let Some(batch) = known.values_mut().find(|batch| batch.id == id) else { return Ok(None) };
        change(batch);
        self.write(batch)?;
        Ok(Some(batch.clone()))
    }

    /// What a batch has come to, to go on with.
    pub fn progress(&self, id: &str) -> io::Result<Progress> {
        let output_path = self.folder.join(format!("{id}.output.jsonl"));
        let errors_path = self.folder.join(format!("{id}.errors.jsonl"));
        let open = |path| OpenOptions::new().create(true).append(true).read(true).open(path);
        let mut progress = Progress {
            output: open(&output_path)?,
            errors: open(&errors_path)?,
            done: HashSet::new(),
            completed: 0,
            failed: 0,
            output_path,
            errors_path,
        };
        progress.completed = read_done(&progress.output, &mut progress.done)?;
        progress.failed = read_done(&progress.errors, &mut progress.done)?;
        Ok(progress)
    }

    fn write(&self, batch: &Batch) -> io::Result<()> {
        let text = serde_json::to_vec(batch).map_err(io::Error::from)?;
        replace(&self.folder.join(format!("{}.json", batch.id)), &text)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(u64, String), Batch>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of the requests in a file of outcomes, and their number. A last line that was cut by
/// a crash is cut off, so that its request is made again.
fn read_done(file: &File, done: &mut HashSet<String>) -> io::Result<usize> {
    let mut lines = BufReader::new(file);
    let (mut count, mut whole, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        let length = lines.read_until(b'\n', &mut line)?;
        let outcome = serde_json::from_slice::<BatchOutcome>(&line);
        let Ok(outcome) = outcome else { break };
        if !line.ends_with(b"\n") {
            break;
        }
        done.insert(outcome.custom_id);
        count += 1;
        whole += length as u64;
    }
    file.set_len(whole)?;
    Ok(count)
}

impl Progress {
    /// Adds what became of a request.
    pub fn push(&mut self, outcome: &BatchOutcome) -> io::Result<()> {
        let is_good = outcome.response.as_ref().is_some_and(|response| response.status_code == 200);
        let (file, count) = if is_good {
            (&mut self.output, &mut self.completed)
        } else {
            (&mut self.errors, &mut self.failed)
        };
        let mut line = serde_json::to_vec(outcome).map_err(io::Error::from)?;
        line.push(b'\n');
        file.write_all(&line)?;
        *count += 1;
        self.done.insert(outcome.custom_id.clone());
        Ok(())
    }

    /// Removes what is left once the answers have become files.
    pub fn remove(self) {
        for path in [&self.output_path, &self.errors_path] {
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "what a finished batch left behind cannot be removed");
            }
        }
    }
}
