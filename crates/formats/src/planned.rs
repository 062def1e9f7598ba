use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::aside::Aside;
use crate::{Error, TensorInfo};

/// Where a tensor's data goes, and how much of it is there.
struct Slot {
    start: u64,
    bytes: u64,
    written: u64,
}

/// A file whose header, and so the place of every tensor, is known before any data: what the
/// writers of both formats share.
pub(crate) struct Planned {
    aside: Aside,
    slots: Vec<Slot>,
    by_name: HashMap<String, usize>,
    total_bytes: u64,
}

impl Planned {
    /// Writes `header`; tensor `i` will start at `starts[i]` from the start of the file.
    pub(crate) fn create(
        path: &Path,
        header: &[u8],
        tensors: &[TensorInfo],
        starts: &[u64],
        total_bytes: u64,
    ) -> Result<Self, Error> {
        let (slots, by_name) = plan(path, tensors, starts)?;
        let mut aside = Aside::create(path)?;
        let file = aside.file();
        file.set_len(total_bytes)
            .and_then(|()| file.write_all(header))
            .map_err(Error::io("write", path))?;
        Ok(Self { aside, slots, by_name, total_bytes })
    }

    /// Goes on with a part that was kept, if it was begun with the same header.
    pub(crate) fn resume(
        path: &Path,
        header: &[u8],
        tensors: &[TensorInfo],
        starts: &[u64],
        total_bytes: u64,
    ) -> Result<Self, Error> {
        let (slots, by_name) = plan(path, tensors, starts)?;
        let mut aside = Aside::reopen(path)?;
        let file = aside.file();
        let length = file.metadata().map_err(Error::io("open", path))?.len();
        let mut found = Vec::new();
        Read::take(&mut *file, header.len() as u64)
            .read_to_end(&mut found)
            .map_err(Error::io("read", path))?;
        aside.keep_part(true);
        if length != total_bytes || found != header {
            let problem = "the unfinished file was begun for other tensors, remove its .part";
            return Err(Error::plan(path, problem));
        }
        Ok(Self { aside, slots, by_name, total_bytes })
    }

    pub(crate) fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Writes the next bytes of a tensor.
    pub(crate) fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let index = self.index(name)?;
        let slot = &mut self.slots[index];
        let left = slot.bytes - slot.written;
        if bytes.len() as u64 > left {
            let problem = format!("tensor `{name}` has {left} bytes left, not {}", bytes.len());
            return Err(Error::plan(self.aside.place(), problem));
        }
        let at = slot.start + slot.written;
        let file = self.aside.file();
        let done = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
        done.map_err(Error::io("write", self.aside.place()))?;
        slot.written += bytes.len() as u64;
        Ok(())
    }

    /// Takes a tensor as written, on the word of the caller.
    pub(crate) fn skip(&mut self, name: &str) -> Result<(), Error> {
        let index = self.index(name)?;
        self.slots[index].written = self.slots[index].bytes;
        Ok(())
    }

    pub(crate) fn keep_part(&mut self, keep: bool) {
        self.aside.keep_part(keep);
    }

    pub(crate) fn finish(self) -> Result<(), Error> {
        let missing = self
            .by_name
            .iter()
            .find(|&(_, &index)| self.slots[index].written != self.slots[index].bytes);
        if let Some((name, &index)) = missing {
            let Slot { bytes, written, .. } = self.slots[index];
            let problem = format!("tensor `{name}` has only {written} of its {bytes} bytes");
            return Err(Error::plan(self.aside.place(), problem));
        }
        self.aside.finish()
    }

    fn index(&self, name: &str) -> Result<usize, Error> {
        self.by_name.get(name).copied().ok_or_else(|| {
            Error::plan(self.aside.place(), format!("tensor `{name}` is not in the plan"))
        })
    }
}

/// Bytes of a planned tensor's data, or why it cannot be written.
pub(crate) fn data_bytes(path: &Path, info: &TensorInfo) -> Result<u64, Error> {
    info.data_bytes().map(|bytes| bytes as u64).ok_or_else(|| {
        let TensorInfo { name, dtype, shape } = info;
        let problem = format!("tensor `{name}` {shape:?} has no whole blocks of {}", dtype.name());
        Error::plan(path, problem)
    })
}

fn plan(
    path: &Path,
    tensors: &[TensorInfo],
    starts: &[u64],
) -> Result<(Vec<Slot>, HashMap<String, usize>), Error> {
    assert_eq!(tensors.len(), starts.len(), "a start for each tensor");
    let mut slots = Vec::new();
    let mut by_name = HashMap::new();
    for (info, &start) in tensors.iter().zip(starts) {
        if by_name.insert(info.name.clone(), slots.len()).is_some() {
            return Err(Error::plan(path, format!("two tensors are named `{}`", info.name)));
        }
        slots.push(Slot { start, bytes: data_bytes(path, info)?, written: 0 });
    }
    Ok((slots, by_name))
}
