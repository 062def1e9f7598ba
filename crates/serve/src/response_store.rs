//! Responses that clients may fetch or go on from.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use phial_openai::metering::Owner;
use phial_openai::{Item, ResponseObject};

/// A response and what was new in the conversation before it.
#[derive(Clone, Debug)]
pub(crate) struct StoredResponse {
    pub response: ResponseObject,
    pub input: Vec<Item>,
    /// `None` where nobody is told apart.
    pub owner: Option<Owner>,
}

/// Who asks for a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Viewer<'a> {
    /// The server itself, which shows nothing of it.
    Anybody,
    /// One who sees what is of the same owner.
    Owner(Option<&'a Owner>),
}

impl Viewer<'_> {
    fn sees(self, stored: &StoredResponse) -> bool {
        match self {
            Self::Anybody => true,
            Self::Owner(owner) => owner == stored.owner.as_ref(),
        }
    }
}

/// The last responses, in memory. When there are too many, the oldest go.
#[derive(Debug)]
pub(crate) struct ResponseStore {
    inner: Mutex<Inner>,
    count_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Inner {
    responses: HashMap<String, (usize, StoredResponse)>,
    /// Oldest first; may name responses that were deleted.
    order: VecDeque<String>,
    bytes: usize,
}

impl ResponseStore {
    /// An empty store of at most so many responses and bytes of JSON.
    pub fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { inner: Mutex::default(), count_max, bytes_max }
    }

    /// Keeps a response. One that is larger than the store is not kept.
    pub fn add(&self, stored: StoredResponse) {
        let length = |json: Result<Vec<u8>, _>| json.map_or(usize::MAX, |json| json.len());
        let bytes = length(serde_json::to_vec(&stored.response))
            .saturating_add(length(serde_json::to_vec(&stored.input)));
        if bytes > self.bytes_max || self.count_max == 0 {
            return;
        }
        let mut inner = self.lock();
        while inner.responses.len() >= self.count_max || inner.bytes + bytes > self.bytes_max {
            let Some(oldest) = inner.order.pop_front() else { break };
            inner.remove(&oldest);
        }
        let id = stored.response.id.clone();
        inner.bytes += bytes;
        inner.order.push_back(id.clone());
        inner.responses.insert(id, (bytes, stored));
    }

    /// The response of this id.
    pub fn get(&self, viewer: Viewer<'_>, id: &str) -> Option<StoredResponse> {
        let inner = self.lock();
        let stored = inner.responses.get(id).map(|(_, stored)| stored);
        stored.filter(|stored| viewer.sees(stored)).cloned()
    }

    /// Whether there was a response of this id, which is gone now.
    pub fn delete(&self, viewer: Viewer<'_>, id: &str) -> bool {
        let mut inner = self.lock();
        let is_seen = inner.responses.get(id).is_some_and(|(_, stored)| viewer.sees(stored));
        let was_there = is_seen && inner.remove(id);
        if was_there {
            inner.order.retain(|known| known != id);
        }
        was_there
    }

    /// All that was said up to the end of response `id`, oldest first.
    ///
    /// # Errors
    /// The id of the one that is not there any more: this, or one that it goes on from.
    pub fn conversation(&self, viewer: Viewer<'_>, id: &str) -> Result<Vec<Item>, String> {
        let inner = self.lock();
        let mut turns = Vec::new();
        let mut next = Some(id.to_owned());
        while let Some(id) = next {
            let stored = inner.responses.get(&id).map(|(_, stored)| stored);
            let Some(stored) = stored.filter(|stored| viewer.sees(stored)) else {
                return Err(id);
            };
            turns.push(stored.response.output.clone());
            turns.push(stored.input.clone());
            next = stored.response.previous_response_id.clone();
        }
        turns.reverse();
        Ok(turns.concat())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, id: &str) -> bool {
        let Some((bytes, _)) = self.responses.remove(id) else { return false };
        self.bytes -= bytes;
        true
    }
}
