use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use phial_tensor::SharedBytes;

use super::header::{HEADER_BYTES, Header};
use super::table::{Entry, Table};
use super::{ALIGNMENT, PIECE_BYTES, PackedInfo, Wanted};
use crate::Error;
use crate::aside::Aside;
use crate::map::map_written;
use crate::room;

/// A file of packed weights in the making. It appears at its place when it is finished, in the
/// stead of what was there; dropped before, it leaves nothing.
pub struct PackedWriter {
    path: PathBuf,
    aside: Aside,
    layout: u32,
    content: [u8; 32],
    table: Table,
    /// Bytes of data so far.
    data_bytes: usize,
    sum: crc32fast::Hasher,
}

impl PackedWriter {
    /// Begins the file at `path` ([`Wanted::path`]), of about so many bytes; makes its folder.
    ///
    /// # Errors
    /// When the system refuses; [`Error::Room`] when the disk has no room for it; [`Error::Busy`] while another process makes the same file.
    pub fn create(path: &Path, wanted: &Wanted, bytes: u64) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            room::require(folder, bytes)?;
        }
        let mut aside = Aside::create(path)?;
        // The header is filled in when everything else is there.
        let start = aside.file().seek(SeekFrom::Start(HEADER_BYTES as u64));
        start.map_err(Error::io("write", path))?;
        let source = wanted.source.paths().to_vec();
        Ok(Self {
            path: path.to_owned(),
            aside,
            layout: wanted.layout,
            content: *wanted.source.content(),
            table: Table { source, matrices: Vec::new(), sums: Vec::new() },
            data_bytes: 0,
            sum: crc32fast::Hasher::new(),
        })
    }

    /// Adds a matrix and returns its bytes as they are in the file, mapped.
    ///
    /// # Errors
    /// When the system refuses, as on a full disk.
    pub fn append(&mut self, info: &PackedInfo, bytes: &[u8]) -> Result<SharedBytes, Error> {
        let gap = self.data_bytes.next_multiple_of(ALIGNMENT) - self.data_bytes;
        self.put(&[0; ALIGNMENT][..gap])?;
        let start = self.data_bytes;
        self.put(bytes)?;
        let PackedInfo { name, form, rows, columns } = *info;
        let (name, form) = (name.to_owned(), form.to_owned());
        let entry = Entry { name, form, rows, columns, start, bytes: bytes.len() };
        self.table.matrices.push(entry);
        let offset = (HEADER_BYTES + start) as u64;
        map_written(self.aside.file(), offset, bytes.len()).map_err(Error::io("map", &self.path))
    }

    /// Puts the file at its place.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn finish(mut self) -> Result<(), Error> {
        if !self.data_bytes.is_multiple_of(PIECE_BYTES) {
            self.end_piece();
        }
        let table = serde_json::to_vec(&self.table).expect("strings and numbers only");
        let header = Header {
            layout: self.layout,
            source: self.content,
            data_bytes: self.data_bytes as u64,
            table_bytes: table.len() as u64,
            table_sum: crc32fast::hash(&table),
        };
        let file = self.aside.file();
        let written = file.write_all(&table).and_then(|()| {
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header.to_bytes())
        });
        written.map_err(Error::io("write", &self.path))?;
        if self.path.is_dir() {
            // A file cannot be renamed over a folder. One that holds something stays.
            fs::remove_dir(&self.path).map_err(Error::io("replace", &self.path))?;
        }
        self.aside.finish_unsynced()
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.aside.file().write_all(bytes).map_err(Error::io("write", &self.path))?;
        while !bytes.is_empty() {
            let room = PIECE_BYTES - self.data_bytes % PIECE_BYTES;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.sum.update(now);
            self.data_bytes += now.len();
            if self.data_bytes.is_multiple_of(PIECE_BYTES) {
                self.end_piece();
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_piece(&mut self) {
        let sum = std::mem::replace(&mut self.sum, crc32fast::Hasher::new());
        self.table.sums.push(sum.finalize());
    }
}
