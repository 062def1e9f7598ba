use proptest::prelude::*;

use super::*;

const PRICE: Price = Price { input: 1_000_000, cached_input: 500_000, output: 2_000_000 };

fn user(balance: i64) -> UserState {
    UserState { id: 1, status: ENABLED, balance, unlimited: false, used: 0, requests: 0 }
}

fn key(balance: i64) -> KeyState {
    KeyState {
        id: 1,
        status: ENABLED,
        deleted: false,
        version: 3,
        expires_at: -1,
        balance,
        unlimited: false,
        used: 0,
        token_balance: 0,
        unlimited_tokens: true,
        requests_per_minute: 0,
        tokens_per_minute: 0,
        parallel_requests: 0,
        open_requests: 0,
        requests_earned_at: 0,
        tokens_earned_at: 0,
        accessed_at: 0,
    }
}

fn wish(prompt: u64, completion: u64) -> Wish {
    let demand = Demand { prompt_tokens: prompt, completion_tokens_max: completion };
    Wish { key_version: 3, price: PRICE, demand, now: 1_000_000 }
}

fn counts(prompt: u64, cached: u64, completion: u64) -> TokenCounts {
    TokenCounts { prompt_tokens: prompt, cached_tokens: cached, completion_tokens: completion }
}

#[test]
fn what_is_used_is_paid_and_the_rest_comes_back() {
    let (mut user, mut key) = (user(100), key(50));
    let hold = reserve(&mut user, &mut key, &wish(10, 10)).unwrap();
    assert_eq!(hold, Hold { money: 30, tokens: 20 });
    assert_eq!((user.balance, key.balance, key.open_requests), (70, 20, 1));
    let settled = settle(&mut user, &mut key, hold, PRICE, counts(10, 4, 3));
    assert_eq!(settled, Settled { cost: 14, money_back: 16, tokens_back: 7 });
    assert_eq!((user.balance, user.used, user.requests), (86, 14, 1));
    assert_eq!((key.balance, key.used, key.open_requests), (36, 14, 0));
}

#[test]
fn each_balance_bounds_and_unlimited_ones_do_not() {
    let refused = |change: fn(&mut UserState, &mut KeyState)| {
        let (mut user, mut key) = (user(30), key(30));
        (key.token_balance, key.unlimited_tokens) = (20, false);
        change(&mut user, &mut key);
        let before = (user.clone(), key.clone());
        let result = reserve(&mut user, &mut key, &wish(10, 10));
        assert_eq!(result.is_err(), before == (user, key), "nothing changes without a hold");
        result.err()
    };
    assert_eq!(refused(|_, _| {}), None);
    assert_eq!(refused(|user, _| user.balance = 29), Some(Refused::UserQuota));
    assert_eq!(refused(|_, key| key.balance = 29), Some(Refused::KeyQuota));
    assert_eq!(refused(|_, key| key.token_balance = 19), Some(Refused::KeyTokens));
    assert_eq!(refused(|user, _| (user.balance, user.unlimited) = (0, true)), None);
    assert_eq!(refused(|_, key| (key.balance, key.unlimited) = (0, true)), None);
    assert_eq!(refused(|user, _| user.status = 2), Some(Refused::UserDisabled));
    assert_eq!(refused(|_, key| key.status = 2), Some(Refused::Stale));
    assert_eq!(refused(|_, key| key.deleted = true), Some(Refused::Stale));
    assert_eq!(refused(|_, key| key.version = 4), Some(Refused::Stale));
    assert_eq!(refused(|_, key| key.expires_at = 1_000_000), Some(Refused::Stale));
    assert_eq!(refused(|_, key| key.expires_at = 1_000_001), None);
}

#[test]
fn requests_of_a_minute_are_counted_and_earned_back() {
    let (mut user, mut key) = (user(1_000_000), key(1_000_000));
    key.requests_per_minute = 7;
    for _ in 0..7 {
        reserve(&mut user, &mut key, &wish(1, 1)).unwrap();
    }
    let Err(Refused::RequestRate(wait)) = reserve(&mut user, &mut key, &wish(1, 1)) else {
        panic!("the eighth is one too many");
    };
    assert!(wait > Duration::from_millis(8_570) && wait < Duration::from_millis(8_575));
    let later = Wish { now: 1_000_000 + 8_575, ..wish(1, 1) };
    reserve(&mut user, &mut key, &later).unwrap();
    assert!(reserve(&mut user, &mut key, &later).is_err());
}

#[test]
fn tokens_of_a_minute_come_back_when_they_were_not_used() {
    let (mut user, mut key) = (user(1_000_000), key(1_000_000));
    key.tokens_per_minute = 100;
    let hold = reserve(&mut user, &mut key, &wish(10, 80)).unwrap();
    assert!(matches!(reserve(&mut user, &mut key, &wish(10, 1)), Err(Refused::TokenRate(_))));
    settle(&mut user, &mut key, hold, PRICE, counts(10, 0, 10));
    reserve(&mut user, &mut key, &wish(40, 40)).unwrap();
    assert!(reserve(&mut user, &mut key, &wish(1, 0)).is_err());
    assert_eq!(reserve(&mut user, &mut key, &wish(90, 11)), Err(Refused::TokenRateNever));
}

#[test]
fn only_so_many_run_at_a_time() {
    let (mut user, mut key) = (user(1_000_000), key(1_000_000));
    key.parallel_requests = 2;
    let hold = reserve(&mut user, &mut key, &wish(1, 1)).unwrap();
    reserve(&mut user, &mut key, &wish(1, 1)).unwrap();
    assert_eq!(reserve(&mut user, &mut key, &wish(1, 1)), Err(Refused::Parallel));
    settle(&mut user, &mut key, hold, PRICE, counts(1, 0, 0));
    reserve(&mut user, &mut key, &wish(1, 1)).unwrap();
}

#[test]
fn what_is_counted_beyond_the_demand_is_not_charged() {
    let (mut user, mut key) = (user(30), key(30));
    let hold = reserve(&mut user, &mut key, &wish(10, 10)).unwrap();
    let settled = settle(&mut user, &mut key, hold, PRICE, counts(10, 0, 1_000));
    assert_eq!(settled, Settled { cost: 30, money_back: 0, tokens_back: 0 });
    assert_eq!((user.balance, key.balance), (0, 0));
}

#[test]
fn what_is_known_late_is_taken_as_far_as_it_is_there() {
    let (mut user, mut key) = (user(60), key(60));
    let hold = reserve(&mut user, &mut key, &wish(10, 20)).unwrap();
    let lost = counts(10, 0, 5);
    let first = settle(&mut user, &mut key, hold, PRICE, lost);
    let whole = PRICE.cost(counts(10, 0, 8));
    let corrected = correct(&mut user, &mut key, hold, PRICE, lost, counts(10, 0, 8));
    assert_eq!((corrected.owed, corrected.taken.cost), (whole - first.cost, whole - first.cost));
    assert_eq!((user.balance, user.used, key.used), (60 - whole, whole, whole));
    // What counts no more than was settled is nothing.
    let again = correct(&mut user, &mut key, hold, PRICE, counts(10, 0, 8), lost);
    assert_eq!((again.owed, again.taken.cost, again.taken.tokens_back), (0, 0, 0));
    // What was spent meanwhile is not there; what was never set aside is not owed.
    key.balance = 1;
    let more = correct(&mut user, &mut key, hold, PRICE, counts(10, 0, 8), counts(10, 0, 999));
    assert_eq!((more.owed, more.taken.cost), (hold.money - whole, 1));
    assert_eq!(key.balance, 0);
}

proptest! {
    /// Whatever is asked for, in whatever order it ends: no balance falls below zero, and at the
    /// end balance and cost are what was there.
    #[test]
    fn nothing_is_overspent_and_nothing_is_lost(
        start in 0i64..2_000,
        steps in prop::collection::vec((0u64..50, 0u64..50, 0u64..60, any::<bool>()), 1..80),
    ) {
        let (mut user, mut key) = (user(start), key(start));
        let mut open = Vec::new();
        for (prompt, completion, used, settles) in steps {
            if let Ok(hold) = reserve(&mut user, &mut key, &wish(prompt, completion)) {
                open.push((hold, counts(prompt, used.min(prompt), used.min(completion))));
            }
            if settles && !open.is_empty() {
                let (hold, counts) = open.swap_remove(used as usize % open.len());
                settle(&mut user, &mut key, hold, PRICE, counts);
            }
            prop_assert!(user.balance >= 0 && key.balance >= 0);
        }
        for (hold, counts) in open {
            settle(&mut user, &mut key, hold, PRICE, counts);
        }
        prop_assert_eq!(user.balance + user.used, start);
        prop_assert_eq!(key.balance + key.used, start);
        prop_assert_eq!(key.open_requests, 0);
    }
}
