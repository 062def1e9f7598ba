//! Merging bytes into tokens.

use crate::table::{TokenKind, TokenTable};
use crate::{Error, TokenId};
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU8, Ordering};

/// Words up to this many bytes are merged by scanning; for longer ones a heap is cheaper,
/// and it bounds the work on a megabyte of the same letter.
const SCAN_LENGTH_MAX: usize = 48;

/// A byte that no token has; no id is as large.
const NO_TOKEN: TokenId = TokenId::MAX;
/// Rank of a pair that does not merge.
const NO_RANK: u32 = u32::MAX;
const NO_SYMBOL: u32 = u32::MAX;

/// Whether merging the bytes of a token gives that token: not asked yet.
const UNKNOWN: u8 = 0;
const MERGES_TO_ITSELF: u8 = 1;
const MERGES_TO_OTHERS: u8 = 2;

#[derive(Clone, Copy, Debug)]
struct Merge {
    rank: u32,
    id: TokenId,
}

/// The merges of a vocabulary.
pub(crate) struct Merges {
    of_pair: HashMap<u64, Merge>,
    byte_ids: [TokenId; 256],
    /// Answers, by id, found while encoding: most words of a text are one token, and for
    /// them one look into the vocabulary then replaces the merging. Any thread may write;
    /// all write the same.
    whole: Vec<AtomicU8>,
    /// A word that is a token is that token, whatever the merges say.
    ignore_merges: bool,
}

/// Memory that encoding reuses from word to word.
#[derive(Default)]
pub(crate) struct Scratch {
    ids: Vec<TokenId>,
    merges: Vec<Merge>,
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Reverse<u64>>,
}

struct Symbol {
    id: TokenId,
    previous: u32,
    next: u32,
}

impl Merges {
    /// Merges over `table`, without any yet.
    pub(crate) fn new(
        table: &TokenTable,
        capacity: usize,
        ignore_merges: bool,
        unknown: Option<TokenId>,
    ) -> Self {
        // A control token must not come out of text, even for bytes the vocabulary lacks.
        let unknown = unknown.filter(|&id| {
            matches!(
                table.kind(id),
                TokenKind::Unknown | TokenKind::Normal | TokenKind::UserDefined
            )
        });
        let mut byte_ids = [NO_TOKEN; 256];
        for (byte, id) in (0..=255_u8).zip(&mut byte_ids) {
            *id = table.find(&[byte]).or(unknown).unwrap_or(NO_TOKEN);
        }
        Self {
            of_pair: HashMap::with_capacity(capacity),
            byte_ids,
            whole: (0..table.len()).map(|_| AtomicU8::new(UNKNOWN)).collect(),
            ignore_merges,
        }
    }

    /// Adds the merge of the next rank; of equal pairs the last one counts.
    pub(crate) fn push(
        &mut self,
        rank: usize,
        [left, right]: [TokenId; 2],
        id: TokenId,
    ) -> Result<(), Error> {
        let rank = u32::try_from(rank).ok().filter(|&rank| rank < NO_RANK);
        let rank = rank.ok_or_else(|| Error::too_large("too many merges"))?;
        self.of_pair.insert(pair(left, right), Merge { rank, id });
        Ok(())
    }

    /// All merged pairs in order of rank.
    pub(crate) fn pairs(&self) -> Vec<[TokenId; 2]> {
        let mut pairs: Vec<_> =
            self.of_pair.iter().map(|(&pair, merge)| (merge.rank, pair)).collect();
        pairs.sort_unstable();
        pairs.into_iter().map(|(_, pair)| [(pair >> 32) as TokenId, pair as TokenId]).collect()
    }

    /// Appends the tokens of one word.
    #[inline]
    pub(crate) fn encode_word(
        &self,
        word: &[u8],
        table: &TokenTable,
        scratch: &mut Scratch,
        ids: &mut Vec<TokenId>,
    ) {
        let Some(whole) = table.find(word) else {
            return self.merge_word(word, scratch, ids);
        };
        if self.ignore_merges && table.kind(whole) == TokenKind::Normal {
            return ids.push(whole);
        }
        let answer = &self.whole[whole as usize];
        match answer.load(Ordering::Relaxed) {
            MERGES_TO_ITSELF => ids.push(whole),
            MERGES_TO_OTHERS => self.merge_word(word, scratch, ids),
            _ => {
                let start = ids.len();
                self.merge_word(word, scratch, ids);
                let itself = ids[start..] == [whole];
                let found = if itself { MERGES_TO_ITSELF } else { MERGES_TO_OTHERS };
                answer.store(found, Ordering::Relaxed);
            }
        }
    }

    fn merge_word(&self, word: &[u8], scratch: &mut Scratch, ids: &mut Vec<TokenId>) {
        let known =
            word.iter().map(|&byte| self.byte_ids[usize::from(byte)]).filter(|&id| id != NO_TOKEN);
        scratch.ids.clear();
        scratch.ids.extend(known);
        if scratch.ids.len() <= SCAN_LENGTH_MAX {
            self.merge_by_scanning(scratch);
            ids.extend_from_slice(&scratch.ids);
        } else {
            self.merge_by_heap(scratch, ids);
        }
    }

    #[inline]
    fn merge_of(&self, left: TokenId, right: TokenId) -> Merge {
        let none = Merge { rank: NO_RANK, id: 0 };
        self.of_pair.get(&pair(left, right)).copied().unwrap_or(none)
    }

    /// Applies the leftmost merge of lowest rank until none is left.
    fn merge_by_scanning(&self, scratch: &mut Scratch) {
        let Scratch { ids, merges, .. } = scratch;
        merges.clear();
        merges.extend(ids.windows(2).map(|pair| self.merge_of(pair[0], pair[1])));
        loop {
            let mut best = (NO_RANK, 0);
            for (at, merge) in merges.iter().enumerate() {
                if merge.rank < best.0 {
                    best = (merge.rank, at);
                }
            }
            let (rank, at) = best;
            if rank == NO_RANK {
                return;
            }
            ids[at] = merges[at].id;
            ids.remove(at + 1);
            merges.remove(at);
            if at > 0 {
                merges[at - 1] = self.merge_of(ids[at - 1], ids[at]);
            }
            if at < merges.len() {
                merges[at] = self.merge_of(ids[at], ids[at + 1]);
            }
        }
    }

    /// The same with the candidates in a heap, in order of rank and then of place.
    fn merge_by_heap(&self, scratch: &mut Scratch, ids: &mut Vec<TokenId>) {
        let Scratch { ids: start, symbols, heap, .. } = scratch;
        let count = start.len() as u32;
        symbols.clear();
        symbols.extend(start.iter().zip(0_u32..).map(|(&id, at)| Symbol {
            id,
            previous: at.wrapping_sub(1),
            next: if at + 1 < count { at + 1 } else { NO_SYMBOL },
        }));
        heap.clear();
        let candidate = |symbols: &[Symbol], at: u32| {
            let symbol = symbols.get(at as usize)?;
            let next = symbols.get(symbol.next as usize)?;
            let merge = self.merge_of(symbol.id, next.id);
            (merge.rank != NO_RANK).then_some(merge)
        };
        let key = |merge: Merge, at: u32| Reverse(u64::from(merge.rank) << 32 | u64::from(at));
        heap.extend((0..count).filter_map(|at| Some(key(candidate(symbols, at)?, at))));
        while let Some(Reverse(top)) = heap.pop() {
            let at = top as u32;
            // A candidate is stale if one of its two symbols has merged otherwise since.
            let Some(merge) = candidate(symbols, at).filter(|m| u64::from(m.rank) == top >> 32)
            else {
                continue;
            };
            let taken = symbols[at as usize].next;
            let next = symbols[taken as usize].next;
            symbols[taken as usize].id = NO_TOKEN;
            symbols[taken as usize].next = NO_SYMBOL;
            symbols[at as usize].id = merge.id;
            symbols[at as usize].next = next;
            if let Some(next) = symbols.get_mut(next as usize) {
                next.previous = at;
            }
            let previous = symbols[at as usize].previous;
            for place in [previous, at] {
                heap.extend(candidate(symbols, place).map(|merge| key(merge, place)));
            }
        }
        let mut at = 0;
        while let Some(symbol) = symbols.get(at as usize) {
            ids.push(symbol.id);
            at = symbol.next;
        }
        // One huge word must not hold its memory for the rest of the text.
        if symbols.len() > 1 << 16 {
            *scratch = Scratch::default();
        }
    }
}

#[inline]
fn pair(left: TokenId, right: TokenId) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn small() -> (TokenTable, Merges) {
        let mut table = TokenTable::with_capacity(16);
        for text in ["a", "b", "c"] {
            table.push_text(text, TokenKind::Normal).expect("a token");
        }
        let pairs = [[0, 1], [0, 0], [4, 0], [3, 2], [4, 4], [1, 1]];
        for [left, right] in pairs {
            table.push_join(left, right).expect("a token");
        }
        let mut merges = Merges::new(&table, 8, false, None);
        for (rank, pair) in pairs.into_iter().enumerate() {
            merges.push(rank, pair, 3 + rank as TokenId).expect("a merge");
        }
        (table, merges)
    }

    proptest! {
        #[test]
        fn both_ways_agree(word in "[abc]{1,200}") {
            let (_, merges) = small();
            let word = word.as_bytes();
            let mut scratch = Scratch { ids: word.iter().map(|byte| u32::from(byte - b'a')).collect(), ..Scratch::default() };
            let mut by_heap = Vec::new();
            merges.merge_by_heap(&mut scratch, &mut by_heap);
            merges.merge_by_scanning(&mut scratch);
            prop_assert_eq!(scratch.ids, by_heap);
        }
    }

    #[test]
    fn a_token_beyond_the_merges_is_not_found_by_merging() {
        let (mut table, _) = small();
        table.push_text("cab", TokenKind::Normal).expect("a token");
        let mut merges = Merges::new(&table, 8, false, None);
        merges.push(0, [0, 1], 3).expect("a merge");
        for _ in 0..2 {
            let mut ids = Vec::new();
            merges.encode_word(b"cab", &table, &mut Scratch::default(), &mut ids);
            assert_eq!(ids, [2, 3]);
        }
        merges.ignore_merges = true;
        let mut ids = Vec::new();
        merges.encode_word(b"cab", &table, &mut Scratch::default(), &mut ids);
        assert_eq!(ids, [9]);
    }
}
