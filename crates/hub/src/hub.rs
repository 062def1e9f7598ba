//! The hub: listings and files of its repositories.

use std::path::Path;

use crate::download::{self, Fetched};
use crate::error::{Error, ErrorKind, Result};
use crate::http::{self, Client, Failure, Patience, Wanted};
use crate::limits::Limits;
use crate::listing::{RemoteFile, Snapshot};
use crate::name::{RepositoryId, is_revision};
use crate::options::HubOptions;
use crate::progress::Progress;

/// Attempts for a listing or a header: these come first, and a user without a network should
/// hear of it soon.
const QUESTION_ATTEMPTS_MAX: u32 = 3;

/// A hub that can be asked. Every call blocks.
pub struct Hub {
    client: Client,
    offline: bool,
    limits: Limits,
}

impl Hub {
    /// The hub that the environment tells of; `offline` adds to `HF_HUB_OFFLINE`.
    pub fn from_environment(offline: bool) -> Result<Self> {
        Self::new(&HubOptions::from_environment(offline))
    }

    /// A hub with these options. Sends nothing yet.
    pub fn new(options: &HubOptions) -> Result<Self> {
        let client = Client::new(options)?;
        Ok(Self { client, offline: options.offline, limits: options.limits.clone() })
    }

    /// Lists a repository. The revision (a branch, a tag or a commit) is resolved to a commit here
    /// and once: files fetched from the snapshot belong together even if the branch moves on.
    pub fn files(&self, repository: &RepositoryId, revision: &str) -> Result<Snapshot> {
        if !is_revision(revision) {
            let message = format!("'{revision}' is no branch, tag or commit");
            return Err(Error::new(ErrorKind::Name, message));
        }
        let what = format!("repository {repository} at {revision}");
        self.require_online(&what)?;
        let path = format!("api/models/{repository}/revision/{revision}?blobs=true");
        let body = self.patiently(|| {
            let bytes_max = self.limits.listing_bytes_max;
            let body = self.read(&path, Wanted::All, bytes_max + 1, &what)?;
            if body.len() as u64 > bytes_max {
                let message = format!("the listing of {what} is over {bytes_max} bytes");
                return Err(Error::new(ErrorKind::Malformed, message).into());
            }
            Ok(body)
        })?;
        Snapshot::parse(repository, &body, &self.limits)
    }

    /// Brings `file` to its path below `into`, going on with what an interrupted call left there.
    /// The file appears under its name only when it is complete and its digest is right. A file
    /// that is there and right is not fetched again.
    pub fn fetch(
        &self,
        file: &RemoteFile,
        into: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Fetched> {
        if let Some(fetched) = download::present(file, into)? {
            let bytes_done = fetched.bytes;
            progress(Progress { file: file.path(), bytes_done, bytes_total: Some(bytes_done) });
            return Ok(fetched);
        }
        self.require_online(&format!("{} of {}", file.path(), file.repository()))?;
        download::fetch(&self.client, &self.limits, file, into, progress)
    }

    /// The first `bytes` bytes of `file` (fewer if it is shorter), for a look at its header
    /// before the whole is fetched.
    pub fn fetch_head(&self, file: &RemoteFile, bytes: u64) -> Result<Vec<u8>> {
        let what = format!("{} of {}", file.path(), file.repository());
        if bytes == 0 || bytes > self.limits.head_bytes_max {
            let message =
                format!("{bytes} bytes of {what} are outside 1..{}", self.limits.head_bytes_max);
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        self.require_online(&what)?;
        let path = download::address(file);
        let expected = file.bytes().map_or(0, |all| all.min(bytes));
        self.patiently(|| {
            let head = self.read(&path, Wanted::First(bytes), bytes, &what)?;
            if (head.len() as u64) < expected {
                let message = format!("{what} ended after {} bytes", head.len());
                return Err(Failure::transient(Error::new(ErrorKind::Network, message)));
            }
            Ok(head)
        })
    }

    fn read(
        &self,
        path: &str,
        wanted: Wanted,
        bytes_max: u64,
        what: &str,
    ) -> std::result::Result<Vec<u8>, Failure> {
        let mut response = self.client.get(path, wanted, what)?;
        if !response.status().is_success() {
            let message = format!("the hub has no such range of {what}");
            return Err(Error::new(ErrorKind::Malformed, message).into());
        }
        http::read_at_most(response.body_mut(), bytes_max).map_err(|error| {
            let message = format!("{what}: the connection failed: {error}");
            Failure::transient(Error::new(ErrorKind::Network, message))
        })
    }

    fn patiently<T>(
        &self,
        mut attempt: impl FnMut() -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let mut patience = Patience::new(&self.limits).at_most(QUESTION_ATTEMPTS_MAX);
        loop {
            match attempt() {
                Ok(value) => return Ok(value),
                Err(failure) => patience.after(failure)?,
            }
        }
    }

    fn require_online(&self, what: &str) -> Result<()> {
        if !self.offline {
            return Ok(());
        }
        let message = format!(
            "offline (--offline or HF_HUB_OFFLINE): {what} cannot be asked for at {}; use a model \
             that is here already (phial list), or pull it once with a network",
            self.client.endpoint()
        );
        Err(Error::new(ErrorKind::Offline, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn useless_options_are_told() {
        let endpoint = "ftp://mirror.example".to_owned();
        let error = Hub::new(&HubOptions { endpoint, ..HubOptions::default() }).err().unwrap();
        assert!(error.to_string().contains("HF_ENDPOINT"), "{error}");
        let token = Some("two words".to_owned());
        let error = Hub::new(&HubOptions { token, ..HubOptions::default() }).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied);
    }
}
