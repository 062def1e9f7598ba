//! In which order channels are asked.

use std::cmp::Reverse;

/// What of a channel decides when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rank {
    /// Those that are not known to be down go first, whatever their priority.
    pub is_up: bool,
    pub priority: i32,
    pub weight: u32,
}

/// Indices of `ranks` in the order to be asked: by priority, and among equals drawn by weight.
/// `random` gives numbers that are evenly spread.
pub(super) fn order(ranks: &[Rank], mut random: impl FnMut() -> u64) -> Vec<usize> {
    let mut left: Vec<usize> = (0..ranks.len()).collect();
    // Stable, so that channels without weight keep their order.
    left.sort_by_key(|&index| (!ranks[index].is_up, Reverse(ranks[index].priority)));
    let mut ordered = Vec::with_capacity(left.len());
    while let Some(&first) = left.first() {
        let is_equal = |index: usize| {
            (ranks[index].is_up, ranks[index].priority)
                == (ranks[first].is_up, ranks[first].priority)
        };
        let equals = left.iter().take_while(|&&index| is_equal(index)).count();
        let total: u64 = left[..equals].iter().map(|&index| u64::from(ranks[index].weight)).sum();
        let position = if total == 0 { 0 } else { draw(ranks, &left[..equals], random() % total) };
        ordered.push(left.remove(position));
    }
    ordered
}

/// Where in `equals` the share lies that `ticket` falls into.
fn draw(ranks: &[Rank], equals: &[usize], mut ticket: u64) -> usize {
    for (position, &index) in equals.iter().enumerate() {
        let weight = u64::from(ranks[index].weight);
        if ticket < weight {
            return position;
        }
        ticket -= weight;
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rank(priority: i32, weight: u32) -> Rank {
        Rank { is_up: true, priority, weight }
    }

    #[test]
    fn priority_decides_before_weight_and_health_before_both() {
        let down = Rank { is_up: false, priority: 9, weight: 9 };
        let ranks = [rank(0, 100), rank(5, 1), down, rank(5, 0)];
        assert_eq!(order(&ranks, || 0), [1, 3, 0, 2]);
    }

    #[test]
    fn equals_are_drawn_by_weight() {
        let ranks = [rank(0, 1), rank(0, 3), rank(0, 0)];
        let mut firsts = [0; 3];
        for ticket in 0..400 {
            firsts[order(&ranks, || ticket)[0]] += 1;
        }
        assert_eq!(firsts, [100, 300, 0]);
    }

    proptest! {
        #[test]
        fn everyone_is_asked_once(ranks in prop::collection::vec((any::<bool>(), -2..3, 0u32..4), 0..9),
                                  numbers in prop::collection::vec(any::<u64>(), 9)) {
            let rank = |(is_up, priority, weight)| Rank { is_up, priority, weight };
            let ranks: Vec<_> = ranks.into_iter().map(rank).collect();
            let mut numbers = numbers.into_iter();
            let ordered = order(&ranks, || numbers.next().unwrap());
            let keys = ordered.iter().map(|&i| (!ranks[i].is_up, -ranks[i].priority));
            prop_assert!(keys.is_sorted());
            let mut all = ordered.clone();
            all.sort_unstable();
            prop_assert_eq!(all, (0..ranks.len()).collect::<Vec<_>>());
        }
    }
}
