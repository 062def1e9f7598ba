use std::ops::Range;

use phial_tensor::SharedBytes;

use super::Refusal;

/// A page, so that data starts on one.
pub(super) const HEADER_BYTES: usize = 4096;

const MAGIC: &[u8; 8] = b"PHIALPCK";

/// Of the header and the table.
const VERSION: u32 = 1;

const VERSION_AT: Range<usize> = 8..12;
const LAYOUT_AT: Range<usize> = 12..16;
const SOURCE_AT: Range<usize> = 16..48;
const DATA_BYTES_AT: Range<usize> = 48..56;
const TABLE_BYTES_AT: Range<usize> = 56..64;
const TABLE_SUM_AT: Range<usize> = 64..68;
/// Of all bytes before it.
const SUM_AT: Range<usize> = HEADER_BYTES - 4..HEADER_BYTES;

/// The first bytes of a file of packed weights.
pub(super) struct Header {
    /// Version of the packed layout.
    pub layout: u32,
    /// [`crate::SourceStamp::content`].
    pub source: [u8; 32],
    pub data_bytes: u64,
    pub table_bytes: u64,
    pub table_sum: u32,
}

impl Header {
    /// Reads the header; sizes are not yet held against the file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let damaged = |what: &str| Refusal::Damaged(what.to_owned());
        let header: &[u8; HEADER_BYTES] =
            bytes.first_chunk().ok_or_else(|| damaged("it is cut short"))?;
        if !header.starts_with(MAGIC) {
            return Err(damaged("it is something else"));
        }
        if u32_at(header, VERSION_AT) != VERSION {
            return Err(Refusal::Outdated);
        }
        if crc32fast::hash(&header[..SUM_AT.start]) != u32_at(header, SUM_AT) {
            return Err(damaged("its header is altered"));
        }
        let mut source = [0; 32];
        source.copy_from_slice(&header[SOURCE_AT]);
        Ok(Self {
            layout: u32_at(header, LAYOUT_AT),
            source,
            data_bytes: u64_at(header, DATA_BYTES_AT),
            table_bytes: u64_at(header, TABLE_BYTES_AT),
            table_sum: u32_at(header, TABLE_SUM_AT),
        })
    }

    /// Data and table of the file that `bytes` are.
    pub(super) fn parts(&self, bytes: &SharedBytes) -> Result<(SharedBytes, SharedBytes), Refusal> {
        let damaged = |what: &str| Refusal::Damaged(what.to_owned());
        let data_bytes = usize::try_from(self.data_bytes).ok();
        let table_bytes = usize::try_from(self.table_bytes).ok();
        let table_start = data_bytes.and_then(|bytes| bytes.checked_add(HEADER_BYTES));
        let end = table_start.zip(table_bytes).and_then(|(start, bytes)| start.checked_add(bytes));
        let (Some(table_start), Some(end)) = (table_start, end) else {
            return Err(damaged("its sizes make no sense"));
        };
        if end != bytes.len() {
            let what = if end > bytes.len() { "it is cut short" } else { "it is too long" };
            return Err(damaged(what));
        }
        let slice = |range: Range<usize>| bytes.slice(range).ok_or_else(|| damaged("no data"));
        let table = slice(table_start..end)?;
        if crc32fast::hash(&table) != self.table_sum {
            return Err(damaged("its table is altered"));
        }
        Ok((slice(HEADER_BYTES..table_start)?, table))
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        header[..MAGIC.len()].copy_from_slice(MAGIC);
        header[VERSION_AT].copy_from_slice(&VERSION.to_le_bytes());
        header[LAYOUT_AT].copy_from_slice(&self.layout.to_le_bytes());
        header[SOURCE_AT].copy_from_slice(&self.source);
        header[DATA_BYTES_AT].copy_from_slice(&self.data_bytes.to_le_bytes());
        header[TABLE_BYTES_AT].copy_from_slice(&self.table_bytes.to_le_bytes());
        header[TABLE_SUM_AT].copy_from_slice(&self.table_sum.to_le_bytes());
        let sum = crc32fast::hash(&header[..SUM_AT.start]);
        header[SUM_AT].copy_from_slice(&sum.to_le_bytes());
        header
    }
}

fn u32_at(header: &[u8; HEADER_BYTES], at: Range<usize>) -> u32 {
    u32::from_le_bytes(*header[at].first_chunk().expect("four bytes of the header"))
}

fn u64_at(header: &[u8; HEADER_BYTES], at: Range<usize>) -> u64 {
    u64::from_le_bytes(*header[at].first_chunk().expect("eight bytes of the header"))
}
