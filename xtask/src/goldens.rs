//! Whether `goldens/` is still what it was copied from.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::workspace::Workspace;

/// Where the goldens come from, beside the workspace; not everybody has it.
const ORIGIN: &str = "../shared/goldens";

/// Prints each file that differs; says whether there was none.
pub fn compare(workspace: &Workspace) -> Result<bool> {
    let origin = workspace.root.join(ORIGIN);
    if !origin.is_dir() {
        println!("{ORIGIN} is not here: nothing to compare with");
        return Ok(true);
    }
    let mut same = 0;
    let mut different = 0;
    for path in workspace.files(Path::new("goldens"))? {
        let relative = path.strip_prefix("goldens")?;
        // The page is our own.
        if relative == Path::new("README.md") {
            continue;
        }
        let theirs = fs::read(origin.join(relative)).ok();
        if theirs == Some(fs::read(workspace.root.join(&path))?) {
            same += 1;
        } else {
            different += 1;
            println!("{}: differs from its origin, or is not there", path.display());
        }
    }
    println!("{same} files as they came, {different} different");
    Ok(different == 0)
}
