//! Rows that many threads fill at once.

// One cast: `&mut [f32]` seen as `&[AtomicU32]`.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};

/// A row-major f32 matrix that threads write to at the same time. Writes are relaxed atomic
/// stores: tiles are meant to be disjoint, and should two ever meet, one of the values stays.
#[derive(Clone, Copy)]
pub struct DisjointRows<'a> {
    cells: &'a [AtomicU32],
    stride: usize,
}

impl<'a> DisjointRows<'a> {
    /// `values` as rows of `stride`.
    pub fn new(values: &'a mut [f32], stride: usize) -> Self {
        // SAFETY: f32 and AtomicU32 have the same size, and an alignment of at most 4 on every
        // supported target; the exclusive borrow lasts as long as the shared one made of it.
        let cells = unsafe {
            std::slice::from_raw_parts(values.as_mut_ptr().cast::<AtomicU32>(), values.len())
        };
        Self { cells, stride }
    }

    /// Where column `column` of `row` is, for a hint to the caches; anywhere when it is outside.
    #[inline(always)]
    pub(crate) fn address(&self, row: usize, column: usize) -> *const u8 {
        let base = self.cells.as_ptr().cast::<u8>();
        base.wrapping_add((row * self.stride + column) * size_of::<AtomicU32>())
    }

    /// The cells of `row` from `column` on.
    #[inline(always)]
    pub(crate) fn cells(&self, row: usize, column: usize, count: usize) -> &'a [AtomicU32] {
        assert!(column + count <= self.stride);
        &self.cells[row * self.stride + column..][..count]
    }

    /// Writes `values` into `row` from `column` on.
    ///
    /// # Panics
    /// When they do not fit into the row.
    pub fn store(&self, row: usize, column: usize, values: &[f32]) {
        for (cell, value) in self.cells(row, column, values.len()).iter().zip(values) {
            cell.store(value.to_bits(), Ordering::Relaxed);
        }
    }
}
