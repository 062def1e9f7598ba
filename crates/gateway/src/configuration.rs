//! `[gateway]` of the configuration file.
//!
//! Every table refuses names that it does not know: a misspelt limit must not be no limit.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::networks::{ForwardingHeader, NetworkSet, Proxies, TlsFiles};
use crate::openid::OpenIdSettings;
use crate::settings::Settings;
use crate::upstreams::{ChannelSettings, UpstreamTable};
use crate::wire::PriceView;

/// All of it, as it is written. What is absent is left to whoever starts the gateway.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// Where `phial gateway` listens.
    pub listen: Option<SocketAddr>,
    /// Where the management API and the console are to be, alone.
    pub management_listen: Option<SocketAddr>,
    /// Folder of accounts, or `postgres://…`.
    pub accounts: Option<String>,
    /// A file that has what would be `accounts`, which may hold a password.
    pub accounts_file: Option<PathBuf>,
    /// Where a node keeps what is its own, when accounts are in PostgreSQL.
    pub accounts_folder: Option<PathBuf>,
    /// The secret that all nodes of a database share.
    pub pepper_file: Option<PathBuf>,
    /// What the service calls itself.
    pub name: Option<String>,
    /// What money is counted in.
    pub currency: Option<String>,
    /// Where people reach the service (`https://example.org`).
    pub public_url: Option<String>,
    /// Where people reach the console, with `management_listen`.
    pub management_url: Option<String>,
    /// `off`, `invitation` or `open`.
    pub sign_up: Option<String>,
    /// By model; `*` is for all others.
    pub prices: Option<BTreeMap<String, PriceTable>>,
    /// Networks of proxies that say who their clients are.
    pub trusted_proxies: Vec<String>,
    /// How they say it: `x-forwarded-for`, or `forwarded`.
    pub forwarding_header: Option<String>,
    /// TLS by files.
    pub tls: Option<TlsTable>,
    /// Signing in by OpenID Connect.
    pub openid: Option<OpenIdSettings>,
    /// Channels to other servers.
    pub upstreams: Vec<UpstreamTable>,
}

/// What tokens of a model cost, in units per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    /// Of the prompt.
    pub input: u64,
    /// Of the prompt, from a cache; as `input` when absent.
    pub cached_input: Option<u64>,
    /// Generated.
    pub output: u64,
}

impl PriceTable {
    fn view(self) -> Result<PriceView, String> {
        let number = |units: u64| {
            i64::try_from(units).map_err(|_| format!("[gateway.prices]: {units} is too much"))
        };
        Ok(PriceView {
            input: number(self.input)?,
            cached_input: number(self.cached_input.unwrap_or(self.input))?,
            output: number(self.output)?,
        })
    }
}

/// `[gateway.tls]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsTable {
    /// The certificate and those that vouch for it, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: PathBuf,
}

/// A configuration file; other tables are for other parts of the program.
#[derive(Deserialize)]
struct File {
    gateway: Option<Configuration>,
}

impl Configuration {
    /// Reads the text of a configuration file; `None` when it has no `[gateway]`.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let file: File =
            toml::from_str(text).map_err(|error| error.to_string().trim().replace('\n', " "))?;
        Ok(file.gateway)
    }

    /// How the gateway is to be, as far as the file says it.
    ///
    /// # Errors
    /// No place for the accounts, or a price that is none.
    pub fn settings(&self) -> Result<Settings, String> {
        let accounts = self.accounts()?.ok_or(
            "[gateway] accounts: name a folder, or a database (postgres://USER:PASSWORD@HOST/NAME)",
        )?;
        let is_database = ["postgres://", "postgresql://"].iter().any(|s| accounts.starts_with(s));
        let mut settings = match (is_database, &self.accounts_folder) {
            (true, Some(folder)) => {
                Settings { database: Some(accounts), ..Settings::in_folder(folder) }
            }
            (true, None) => {
                return Err("[gateway] accounts_folder: each node of a database needs a folder \
                            of its own"
                    .into());
            }
            (false, None) => Settings::in_folder(accounts),
            (false, Some(_)) => {
                return Err("[gateway] accounts_folder: only for accounts in a database".into());
            }
        };
        settings.pepper_file = self.pepper_file.clone();
        if self.management_url.is_some() && self.management_listen.is_none() {
            return Err("[gateway] management_url: only with management_listen; the console is \
                        at public_url"
                .into());
        }
        settings.public_url = self.public_url.clone();
        settings.management_url = self.management_url.clone();
        settings.sign_up = self.sign_up.clone();
        settings.openid = self.openid.clone();
        let is_https = |url: &String| url.starts_with("https://");
        settings.secure_cookies = self.tls.is_some() || self.public_url.iter().any(is_https);
        if let Some(name) = &self.name {
            settings.name.clone_from(name);
        }
        if let Some(currency) = &self.currency {
            settings.currency.clone_from(currency);
        }
        if let Some(prices) = &self.prices {
            let views = prices.iter().map(|(model, price)| Ok((model.clone(), price.view()?)));
            settings.prices = Some(views.collect::<Result<_, String>>()?);
        }
        Ok(settings)
    }

    /// Folder or address of the accounts.
    ///
    /// # Errors
    /// Both ways to say it are used, or the file cannot be read.
    pub fn accounts(&self) -> Result<Option<String>, String> {
        match (&self.accounts, &self.accounts_file) {
            (Some(_), Some(_)) => Err("[gateway]: accounts or accounts_file, not both".into()),
            (accounts, None) => Ok(accounts.clone()),
            (None, Some(path)) => Ok(Some(read_trimmed("accounts_file", path)?)),
        }
    }

    /// Which peers may say for whom they ask.
    ///
    /// # Errors
    /// A network or a header that is none.
    pub fn proxies(&self) -> Result<Proxies, String> {
        let trusted: NetworkSet = self
            .trusted_proxies
            .join("\n")
            .parse()
            .map_err(|error| format!("[gateway] trusted_proxies: {error}"))?;
        let header = match &self.forwarding_header {
            None => ForwardingHeader::default(),
            Some(name) => {
                name.parse().map_err(|error| format!("[gateway] forwarding_header: {error}"))?
            }
        };
        Ok(Proxies { trusted, header })
    }

    /// The files of TLS.
    pub fn tls_files(&self) -> Option<TlsFiles> {
        let tls = self.tls.as_ref()?;
        Some(TlsFiles { certificate: tls.certificate.clone(), key: tls.key.clone() })
    }

    /// The channels. They have the ids -1, -2, …, which no stored channel has.
    ///
    /// # Errors
    /// The first that makes no sense, or a name that stands twice.
    pub fn channels(&self) -> Result<Vec<ChannelSettings>, String> {
        let mut channels: Vec<ChannelSettings> = Vec::with_capacity(self.upstreams.len());
        for (table, id) in self.upstreams.iter().zip(1i64..) {
            let settings = table.settings(-id)?;
            if channels.iter().any(|other| other.name == settings.name) {
                let name = &settings.name;
                return Err(format!("[[gateway.upstreams]] '{name}': the name stands twice"));
            }
            channels.push(settings);
        }
        Ok(channels)
    }
}

fn read_trimmed(field: &str, path: &Path) -> Result<String, String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!("[gateway] {field}: cannot read {}: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../deploy/compose/gateway.toml");

    #[test]
    fn the_file_that_is_shipped_is_understood() {
        let read = Configuration::parse(SHIPPED).unwrap().unwrap();
        assert_eq!(read.listen, Some("0.0.0.0:8080".parse().unwrap()));
        let price = read.prices.as_ref().unwrap()["*"];
        assert_eq!(
            (price.input, price.cached_input, price.output),
            (100_000, Some(25_000), 400_000)
        );
        let proxies = read.proxies().unwrap();
        assert!(proxies.trusted.contains("172.31.250.7".parse().unwrap()));
        let channels = read.channels().unwrap();
        assert_eq!(channels.len(), 1);
        assert_eq!((channels[0].id, channels[0].base_url.as_str()), (-1, "http://engine:8080/v1"));
        // What stands there as an example has to be right, too.
        let examples: String = SHIPPED
            .lines()
            .skip_while(|line| !line.contains("# [[gateway.upstreams]]"))
            .filter_map(|line| line.strip_prefix("# "))
            .map(|line| format!("{line}\n"))
            .collect();
        let read = Configuration::parse(&examples).unwrap().unwrap();
        assert_eq!(read.upstreams[0].name, "hosted");
    }

    #[test]
    fn every_table_is_read() {
        let read = Configuration::parse(
            "[mcp.files]\ncommand = ['x']\n[gateway]\naccounts = 'postgres://h/d'\n\
             forwarding_header = 'Forwarded'\n[gateway.tls]\ncertificate = 'c'\nkey = 'k'\n\
             [gateway.openid]\nissuer = 'https://id.example'\nclient_id = 'phial'",
        );
        let read = read.unwrap().unwrap();
        assert_eq!(read.accounts().unwrap().unwrap(), "postgres://h/d");
        assert_eq!(read.proxies().unwrap().header, ForwardingHeader::Forwarded);
        assert_eq!(read.tls_files().unwrap().key, PathBuf::from("k"));
        assert_eq!(read.openid.unwrap().scopes, ["profile", "email"]);
        assert!(Configuration::parse("[mcp.files]\ncommand = ['x']").unwrap().is_none());
    }

    #[test]
    fn accounts_are_in_a_folder_or_in_a_database_with_one() {
        let settings = |text: &str| {
            let text = format!("[gateway]\n{text}");
            Configuration::parse(&text).unwrap().unwrap().settings()
        };
        let folder = settings("accounts = './a'\nprices = { m = { input = 3, output = 5 } }");
        let folder = folder.unwrap();
        assert_eq!((folder.database, folder.folder), (None, PathBuf::from("./a")));
        let price = folder.prices.unwrap()["m"];
        assert_eq!((price.input, price.cached_input, price.output), (3, 3, 5));
        assert!(!folder.secure_cookies);
        let database = settings(
            "accounts = 'postgres://h/d'\naccounts_folder = 'f'\npublic_url = 'https://x'",
        );
        let database = database.unwrap();
        assert_eq!(database.database.as_deref(), Some("postgres://h/d"));
        assert!(database.secure_cookies);
        for (wrong, word) in [
            ("", "accounts"),
            ("accounts = 'postgres://h/d'", "accounts_folder"),
            ("accounts = 'a'\naccounts_folder = 'f'", "accounts_folder"),
            ("accounts_file = '/nonexistent'", "/nonexistent"),
        ] {
            assert!(settings(wrong).unwrap_err().contains(word), "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        let upstream = "[[gateway.upstreams]]\nname='a'\nbase_url='http://h'\nmodels=['m']\n";
        let twice = Configuration::parse(&upstream.repeat(2)).unwrap().unwrap();
        assert!(twice.channels().unwrap_err().contains("twice"));
        let parsed = |text: &str| Configuration::parse(text).unwrap().unwrap();
        let network = parsed("[gateway]\ntrusted_proxies = ['10.0.0.0/99']");
        assert!(network.proxies().unwrap_err().contains("10.0.0.0/99"));
        let both = parsed("[gateway]\naccounts = 'a'\naccounts_file = 'b'");
        assert!(both.accounts().unwrap_err().contains("not both"));
        for wrong in ["[gateway]\nsing_up = 'open'", "[gateway.tls]\ncertificate = 'c'", "[gateway"]
        {
            let error = Configuration::parse(wrong).unwrap_err();
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
