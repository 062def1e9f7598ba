//! Everything that requests share.

use std::fs::File;
use std::sync::Arc;

use crate::accounts::Accounts;
use crate::audit::Audit;
use crate::channel_store::ChannelStore;
use crate::keys::Keys;
use crate::ledger::Ledger;
use crate::openid::OpenId;
use crate::options::Options;
use crate::settings::Settings;
use crate::storage::Database;
use crate::upstream::Upstream;

/// What a gateway is made of.
pub(crate) struct Parts {
    pub settings: Settings,
    pub database: Arc<dyn Database>,
    pub options: Arc<Options>,
    pub keys: Keys,
    pub ledger: Ledger,
    pub accounts: Accounts,
    pub audit: Audit,
    pub upstream: Arc<dyn Upstream>,
    pub openid: Option<OpenId>,
    pub channels: Option<Arc<ChannelStore>>,
    /// Keeps other processes out of the folder.
    pub _lock: File,
}
