//! Which parts of the output head are worth computing.

use std::ops::Range;

use phial_kernels::lanes::PANEL_ROWS;

use crate::batch::AllowedTokens;

/// Only when at most one panel in so many is allowed: scattered panels are read slower than all
/// of them in order.
const PANELS_PER_ALLOWED: usize = 8;

/// The panels of a head of `vocabulary` outputs that hold an allowed token of any row; `None` if
/// the whole head is to be computed.
pub(crate) fn allowed_panels(
    allowed: &dyn AllowedTokens,
    vocabulary: usize,
) -> Option<Vec<Range<usize>>> {
    let panels = vocabulary.div_ceil(PANEL_ROWS);
    let mut wanted = vec![false; panels];
    for row in allowed.of_rows() {
        for (word, bits) in row?.iter().enumerate() {
            for half in 0..2 {
                let panel = 2 * word + half;
                if panel < panels && (bits >> (half * PANEL_ROWS)) & 0xffff != 0 {
                    wanted[panel] = true;
                }
            }
        }
    }
    let count = wanted.iter().filter(|wanted| **wanted).count();
    if count * PANELS_PER_ALLOWED > panels {
        return None;
    }
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (panel, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
        match ranges.last_mut() {
            Some(range) if range.end == panel => range.end += 1,
            _ => ranges.push(panel..panel + 1),
        }
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rows(Vec<Option<Vec<u32>>>);

    impl AllowedTokens for Rows {
        fn of_rows(&self) -> Vec<Option<&[u32]>> {
            self.0.iter().map(Option::as_deref).collect()
        }
    }

    #[test]
    fn panels_of_all_rows_are_joined() {
        let set = |tokens: &[usize]| {
            let mut words = vec![0u32; 64];
            tokens.iter().for_each(|token| words[token / 32] |= 1 << (token % 32));
            Some(words)
        };
        let panels = |rows| allowed_panels(&Rows(rows), 2000);
        assert_eq!(panels(vec![set(&[0, 15])]), Some(vec![Range { start: 0, end: 1 }]));
        assert_eq!(panels(vec![set(&[16, 500]), set(&[40])]), Some(vec![1..3, 31..32]));
        // Beyond the vocabulary there is nothing.
        assert_eq!(panels(vec![set(&[1999, 2030])]), Some(vec![Range { start: 124, end: 125 }]));
        assert_eq!(panels(vec![set(&[1]), None]), None);
        assert_eq!(panels(vec![set(&(0..1000).collect::<Vec<_>>())]), None);
    }
}
