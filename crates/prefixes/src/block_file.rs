//! The file of one block.
//!
//! ```text
//! 0    magic            8 bytes
//! 8    version          u32      numbers are little-endian
//! 12   tokens           u32      how many
//! 16   fingerprint      32 bytes of whatever the contents depend on
//! 48   name             32 bytes
//! 80   contents         u64      how many bytes
//! 88   checksum         32 bytes SHA-256 of all else
//! 120  tokens           u32 each
//!      contents
//! ```

use phial_engine::{BlockName, TokenId};
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"PHIALKV\n";

/// Changes with the layout of the file. What changes the contents is in the fingerprint.
const VERSION: u32 = 1;

const CHECKSUM: std::ops::Range<usize> = 88..120;

/// What a file is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label<'a> {
    pub fingerprint: &'a [u8; 32],
    pub name: &'a BlockName,
    pub tokens: &'a [TokenId],
}

/// Bytes of a file.
pub(crate) fn file_bytes(tokens: usize, contents: usize) -> u64 {
    (CHECKSUM.end + 4 * tokens + contents) as u64
}

/// All bytes of a file but the contents.
pub(crate) fn head(label: &Label<'_>, contents: &[u8]) -> Vec<u8> {
    let mut head = bare_head(label, contents.len());
    let checksum = checksum(&head, contents);
    head[CHECKSUM].copy_from_slice(&checksum);
    head
}

/// The contents of a file, or what is wrong with it.
pub(crate) fn contents<'f>(label: &Label<'_>, file: &'f [u8]) -> Result<&'f [u8], &'static str> {
    if file.len() < CHECKSUM.end || !file.starts_with(MAGIC) {
        return Err("it is not a file of a cached prefix");
    }
    let head_bytes = CHECKSUM.end + 4 * label.tokens.len();
    let Some((head, contents)) = file.split_at_checked(head_bytes) else {
        return Err("it is cut off");
    };
    let mut expected = bare_head(label, contents.len());
    let checksum = checksum(&expected, contents);
    expected[CHECKSUM].copy_from_slice(&head[CHECKSUM]);
    if head != expected {
        return Err("it is cut off, of another version, or of other tokens");
    }
    if head[CHECKSUM] != checksum {
        return Err("its checksum is wrong");
    }
    Ok(contents)
}

/// With zeros for the checksum.
fn bare_head(label: &Label<'_>, contents: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(CHECKSUM.end + 4 * label.tokens.len());
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&(label.tokens.len() as u32).to_le_bytes());
    head.extend_from_slice(label.fingerprint);
    head.extend_from_slice(label.name);
    head.extend_from_slice(&(contents as u64).to_le_bytes());
    head.resize(CHECKSUM.end, 0);
    head.extend(label.tokens.iter().flat_map(|token| token.to_le_bytes()));
    head
}

fn checksum(bare_head: &[u8], contents: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(bare_head).chain_update(contents).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_any_byte_is_noticed() {
        let label = Label { fingerprint: &[1; 32], name: &[2; 32], tokens: &[3, 4, 5] };
        let file = [head(&label, b"contents"), b"contents".to_vec()].concat();
        assert_eq!(contents(&label, &file), Ok(&b"contents"[..]));
        for at in 0..file.len() {
            let mut other = file.clone();
            other[at] ^= 0x10;
            assert!(contents(&label, &other).is_err(), "byte {at}");
            assert!(contents(&label, &file[..at]).is_err(), "cut at {at}");
        }
        assert!(contents(&label, &[&file[..], b"x"].concat()).is_err());
        for other in [
            Label { fingerprint: &[0; 32], ..label },
            Label { name: &[0; 32], ..label },
            Label { tokens: &[3, 4, 6], ..label },
            Label { tokens: &[3, 4], ..label },
        ] {
            assert!(contents(&other, &file).is_err(), "{other:?}");
        }
    }
}
