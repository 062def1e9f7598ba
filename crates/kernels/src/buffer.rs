//! Zeroed memory for weights, keys and values, in huge pages where the system has them: a decoded token reads every
//! byte once, and with 4 KiB pages the page walks cost more than the reads.

use std::ops::{Deref, DerefMut};

use memmap2::{MmapMut, MmapOptions};

/// From this size on memory comes straight from the system, in bytes: one huge page.
const MAP_BYTES_MIN: usize = 2 << 20;

/// Zeroed bytes.
pub struct Buffer(Memory);

enum Memory {
    Map(MmapMut),
    Heap(Vec<u8>),
}

impl Buffer {
    /// `bytes` zero bytes; pages are made when they are first touched, by the thread that does.
    pub fn zeroed(bytes: usize) -> Self {
        if bytes < MAP_BYTES_MIN {
            return Self(Memory::Heap(vec![0; bytes]));
        }
        match MmapOptions::new().len(bytes).map_anon() {
            Ok(map) => {
                // A wish: where it is not granted, small pages work as well.
                #[cfg(target_os = "linux")]
                let _ = map.advise(memmap2::Advice::HugePage);
                Self(Memory::Map(map))
            }
            Err(_) => Self(Memory::Heap(vec![0; bytes])),
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Map(map) => map,
            Memory::Heap(bytes) => bytes,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Map(map) => map,
            Memory::Heap(bytes) => bytes,
        }
    }
}
