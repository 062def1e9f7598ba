//! Keys that were looked up a moment ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Key;

/// A key is looked up again after so long: that late, at most, another node's change is seen where
/// nothing is reserved. A reservation looks at the database itself.
const AGE_MAX: Duration = Duration::from_millis(500);

const KEYS_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct KeyCache(Mutex<Known>);

#[derive(Default)]
struct Known {
    keys: HashMap<String, (Instant, Arc<Key>)>,
    /// Counts clearings, so that what was read before one is not kept after it.
    generation: u64,
}

impl KeyCache {
    pub fn get(&self, public_id: &str) -> Option<Arc<Key>> {
        let known = self.lock();
        let (since, key) = known.keys.get(public_id)?;
        (since.elapsed() < AGE_MAX).then(|| Arc::clone(key))
    }

    /// To be asked before a key is read, and given back with it.
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    pub fn put(&self, key: &Arc<Key>, generation: u64) {
        let mut known = self.lock();
        if known.generation != generation {
            return;
        }
        if known.keys.len() >= KEYS_MAX {
            known.keys.retain(|_, (since, _)| since.elapsed() < AGE_MAX);
        }
        if known.keys.len() < KEYS_MAX {
            known.keys.insert(key.public_id.clone(), (Instant::now(), Arc::clone(key)));
        }
    }

    /// Something has changed.
    pub fn clear(&self) {
        let mut known = self.lock();
        known.generation += 1;
        known.keys.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
