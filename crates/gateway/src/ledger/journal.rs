//! What requests that run have taken so far, in a file that outlives the process.
//!
//! Each running request has a slot of fixed size, rewritten in place at every report. The pages
//! belong to the system, so a process that is killed in the middle leaves the last report behind.
//! A slot is found by the request's id, so slots of old requests do no harm.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use phial_openai::metering::TokenCounts;

/// Bytes of a slot: id, three counts, a checksum.
const SLOT_BYTES: usize = 64;
const ID_BYTES: usize = 32;
const CHECKSUM_AT: usize = 60;

/// Names a request: 32 hexadecimal digits.
pub(crate) type RequestId = String;

/// Where a running request is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(usize);

#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    /// What is written at each place; `None`: it is free.
    running: Vec<Option<(RequestId, TokenCounts)>>,
    free: Vec<usize>,
}

impl Journal {
    /// Opens `file`, or makes it, and reads what the last process left.
    pub fn open(file: &Path) -> io::Result<(Self, HashMap<RequestId, TokenCounts>)> {
        let left = match std::fs::read(file) {
            Ok(bytes) => bytes.chunks_exact(SLOT_BYTES).filter_map(decode).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashMap::new(),
            Err(error) => return Err(error),
        };
        let file = File::options().create(true).truncate(false).write(true).open(file)?;
        Ok((Self { file, slots: Mutex::default() }, left))
    }

    /// Forgets what the last process left, once it is settled.
    pub fn clear(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// Writes that `request` runs and has taken nothing yet.
    pub fn begin(&self, request: &RequestId) -> io::Result<Slot> {
        let mut slots = self.lock();
        let at = slots.free.pop().unwrap_or(slots.running.len());
        if at == slots.running.len() {
            slots.running.push(None);
        }
        if let Err(error) = self.write(at, request, TokenCounts::default()) {
            slots.free.push(at);
            return Err(error);
        }
        slots.running[at] = Some((request.clone(), TokenCounts::default()));
        Ok(Slot(at))
    }

    /// Writes what a request has taken; totals that are lower than before do not count.
    pub fn report(&self, slot: Slot, counts: TokenCounts) {
        let mut slots = self.lock();
        let Some((request, known)) = &mut slots.running[slot.0] else { return };
        let counts = known.max(counts);
        if counts == *known {
            return;
        }
        *known = counts;
        if let Err(error) = self.write(slot.0, request, counts) {
            tracing::error!(%error, "the journal of running requests cannot be written");
        }
    }

    /// What a request has taken.
    pub fn counts(&self, slot: Slot) -> TokenCounts {
        self.lock().running[slot.0]
            .as_ref()
            .map_or_else(TokenCounts::default, |(_, counts)| *counts)
    }

    /// The request is settled; its place is free.
    pub fn end(&self, slot: Slot) {
        let mut slots = self.lock();
        if slots.running[slot.0].take().is_some() {
            slots.free.push(slot.0);
        }
    }

    /// All requests that run, for others to know of.
    pub fn running(&self) -> Vec<(RequestId, TokenCounts)> {
        self.lock().running.iter().flatten().cloned().collect()
    }

    fn write(&self, at: usize, request: &str, counts: TokenCounts) -> io::Result<()> {
        let bytes = encode(request, counts);
        write_at(&self.file, &bytes, (at * SLOT_BYTES) as u64)
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
    if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn encode(request: &str, counts: TokenCounts) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    let id = request.as_bytes();
    let length = id.len().min(ID_BYTES);
    bytes[..length].copy_from_slice(&id[..length]);
    let numbers = [counts.prompt_tokens, counts.cached_tokens, counts.completion_tokens];
    for (place, number) in bytes[ID_BYTES..].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let checksum = crc32fast::hash(&bytes[..CHECKSUM_AT]);
    bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(RequestId, TokenCounts)> {
    let (content, checksum) = bytes.split_at(CHECKSUM_AT);
    if crc32fast::hash(content).to_le_bytes() != checksum {
        return None;
    }
    let id = std::str::from_utf8(&content[..ID_BYTES]).ok()?.to_owned();
    let mut numbers = content[ID_BYTES..]
        .chunks_exact(8)
        .map(|number| number.try_into().map(u64::from_le_bytes).unwrap_or_default());
    let counts = TokenCounts {
        prompt_tokens: numbers.next()?,
        cached_tokens: numbers.next()?,
        completion_tokens: numbers.next()?,
    };
    Some((id, counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(completion_tokens: u64) -> TokenCounts {
        TokenCounts { prompt_tokens: 7, cached_tokens: 2, completion_tokens }
    }

    fn id(number: u8) -> RequestId {
        crate::secrets::hex(&[number; 16])
    }

    #[test]
    fn the_next_process_reads_the_last_reports() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("journal");
        let (journal, left) = Journal::open(&file).unwrap();
        assert!(left.is_empty());
        let one = journal.begin(&id(1)).unwrap();
        let two = journal.begin(&id(2)).unwrap();
        journal.report(one, counts(3));
        journal.report(two, counts(9));
        journal.report(two, counts(8));
        journal.end(one);
        assert_eq!(journal.begin(&id(3)).unwrap(), one);
        assert_eq!(journal.running(), [(id(3), TokenCounts::default()), (id(2), counts(9))]);
        // The file was never closed or flushed.
        let (next, left) = Journal::open(&file).unwrap();
        assert_eq!(left.get(&id(2)), Some(&counts(9)));
        assert_eq!(left.get(&id(3)), Some(&TokenCounts::default()));
        assert_eq!(left.get(&id(1)), None);
        next.clear().unwrap();
        assert!(Journal::open(&file).unwrap().1.is_empty());
    }

    #[test]
    fn a_slot_that_is_torn_or_foreign_is_not_believed() {
        let mut bytes = encode(&id(4), counts(1));
        assert_eq!(decode(&bytes), Some((id(4), counts(1))));
        bytes[40] ^= 1;
        assert_eq!(decode(&bytes), None);
        assert_eq!(decode(&[0; SLOT_BYTES]), None);
    }
}
