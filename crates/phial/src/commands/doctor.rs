//! `phial doctor`

mod cgroup;
mod expect;
mod facts;
mod obstacles;
mod report;

use std::io::{BufWriter, Write};

use anyhow::Result;

use crate::cli;

pub fn run(arguments: &cli::Doctor) -> Result<()> {
    let facts = facts::Facts::find(arguments)?;
    let obstacles = obstacles::obstacles(&facts);
    let mut out = BufWriter::new(std::io::stdout().lock());
    if arguments.json {
        writeln!(out, "{}", report::json(&facts, &obstacles))?;
    } else {
        report::write(&facts, &obstacles, &mut out)?;
    }
    out.flush()?;
    Ok(())
}
