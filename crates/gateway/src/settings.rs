//! What the operator decides before the gateway starts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::openid::OpenIdSettings;
use crate::wire::PriceView;

/// Ports of a gateway that has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Of the public API.
    pub public_port: u16,
    /// Of the management API and the console.
    pub management_port: u16,
}

/// How a gateway is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A `postgres://` address; otherwise accounts are in an SQLite file in `folder`.
    pub database: Option<String>,
    /// Where the node keeps what is its own: the journal, and unless said otherwise the pepper and
    /// the database.
    pub folder: PathBuf,
    /// The secret without which nothing in the database opens anything; the same for all nodes of
    /// a database.
    pub pepper_file: Option<PathBuf>,
    /// What the service calls itself.
    pub name: String,
    /// What money is counted in.
    pub currency: String,
    /// Where people reach the service (`https://example.org`); otherwise the address of each
    /// request is told back.
    pub public_url: Option<String>,
    /// Where people reach the console, when that is `apart`.
    pub management_url: Option<String>,
    /// The console and the management API have an address of their own.
    pub apart: Option<Apart>,
    /// Whether cookies may travel over encrypted connections only.
    pub secure_cookies: bool,
    /// Bytes of a JSON body of the public API.
    pub body_bytes_max: usize,
    /// Tokens that are reserved for prompt and answer each when an upstream cannot count.
    pub context_tokens_max: u64,
    /// Prices by model, `*` for all others; set here, the console cannot change them.
    pub prices: Option<BTreeMap<String, PriceView>>,
    /// `off`, `invitation` or `open`; set here, the console cannot change it.
    pub sign_up: Option<String>,
    /// Signing in by OpenID Connect; needs `public_url`, or `management_url` where the
    /// console is apart.
    pub openid: Option<OpenIdSettings>,
}

impl Settings {
    /// Everything in `folder`.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self {
            database: None,
            folder: folder.into(),
            pepper_file: None,
            name: "Phial".to_owned(),
            currency: "USD".to_owned(),
            public_url: None,
            management_url: None,
            apart: None,
            secure_cookies: false,
            body_bytes_max: 32 << 20,
            context_tokens_max: 131_072,
            prices: None,
            sign_up: None,
            openid: None,
        }
    }
}
