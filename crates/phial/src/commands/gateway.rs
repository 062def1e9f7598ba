//! `phial gateway`

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use phial_gateway::{Configuration, Standalone, Urls};

use crate::commands::serve::stop_signal;
use crate::{cli, logging};

/// How long answers may go on after a signal to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(30);

pub fn run(arguments: &cli::Gateway) -> Result<()> {
    logging::start(arguments.log_format);
    let configuration = read(&arguments.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the server's threads")?;
    runtime.block_on(async {
        // Before anybody can know that it runs.
        let stop = stop_signal(SHUTDOWN_GRACE)?;
        let gateway = Standalone::open(&configuration, SHUTDOWN_GRACE).await.map_err(told)?;
        let secret = gateway.setup_secret().await.map_err(told)?;
        // A server whose output nobody reads serves all the same.
        let _ = greet(gateway.urls(), secret.as_deref());
        gateway.serve(stop).await.map_err(told)
    })
}

fn told(problem: String) -> anyhow::Error {
    anyhow!(problem)
}

pub(super) fn read(file: &Path) -> Result<Configuration> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let configuration = Configuration::parse(&text).map_err(told);
    let configuration = configuration.with_context(|| format!("{shown}"))?;
    configuration.with_context(|| format!("{shown} has no table [gateway] (docs/gateway.md)"))
}

/// Prints where the gateway is, and how the first administrator is made.
pub(super) fn greet(urls: &Urls, secret: Option<&str>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(urls.greeting(secret).as_bytes())?;
    out.flush()
}
