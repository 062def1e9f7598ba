//! From what a user typed to files on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use phial_hub::{ErrorKind, KNOWN_NAMES, Store, resolve, starter};

use crate::pull::pull;

/// A model on this machine.
pub struct Located {
    /// GGUF file or folder.
    pub path: PathBuf,
    /// The name to serve it under.
    pub name: String,
}

/// The short name of the model that this program is for.
const PHI: &str = "phi-4-mini";

/// Where `model` is; what is not here yet is pulled. Without a name: Phi-4-mini, and where the
/// hub cannot be reached the starter, said plainly.
pub fn locate(model: Option<&str>, offline: bool) -> Result<Located> {
    match model {
        Some(model) => find_or_pull(model, offline),
        None => default_model(offline),
    }
}

/// A file or folder, or a model of the store; nothing is pulled.
pub fn find(model: &str) -> Result<Located> {
    let path = Path::new(model);
    if is_path(path) {
        return Ok(Located { path: path.to_path_buf(), name: served_name(path) });
    }
    let looks_like_a_path = model.starts_with(['.', '/', '~'])
        || (path.extension().is_some_and(|e| e == "gguf" || e == "safetensors")
            && model.matches('/').count() < 2);
    if looks_like_a_path {
        anyhow::bail!("there is no file or folder {model}");
    }
    let source = resolve(model)?;
    let store = Store::open()?;
    let found = store.find(&source.store_name())?;
    let found =
        found.with_context(|| format!("{model} is not in the store: phial pull {model}"))?;
    Ok(Located { path: found.path(), name: found.manifest().name.clone() })
}

/// Whether it is here as a file or folder. A folder that happens to be called like a known model is
/// not meant: `./starter` names it.
fn is_path(path: &Path) -> bool {
    path.exists() && !KNOWN_NAMES.iter().any(|known| path == Path::new(known.name))
}

fn find_or_pull(model: &str, offline: bool) -> Result<Located> {
    if is_path(Path::new(model)) {
        return find(model);
    }
    match find(model) {
        Ok(located) => Ok(located),
        Err(error) => {
            // A name that means nothing stays an error; one that means something is pulled.
            if resolve(model).is_err() || error.to_string().starts_with("there is no file") {
                return Err(error);
            }
            let pulled = pull(model, None, offline)?;
            Ok(Located { path: pulled.path(), name: pulled.manifest().name.clone() })
        }
    }
}

fn default_model(offline: bool) -> Result<Located> {
    if let Ok(located) = find(PHI) {
        return Ok(located);
    }
    let error = match find_or_pull(PHI, offline) {
        Ok(located) => return Ok(located),
        Err(error) => error,
    };
    let unreachable = error
        .downcast_ref::<phial_hub::Error>()
        .is_some_and(|error| matches!(error.kind(), ErrorKind::Network | ErrorKind::Offline));
    if !unreachable {
        return Err(error);
    }
    eprintln!(
        "{PHI} is not on this machine and the hub cannot be reached ({}).",
        crate::one_line(&error)
    );
    eprintln!(
        "Taking the starter instead: SmolLM2-135M-Instruct, a very small model. For the real one, \
         run `phial pull {PHI}` when there is a network."
    );
    let located = find_or_pull(starter::NAME, offline)?;
    Ok(located)
}

/// The name of a file without its ending, or of a folder.
fn served_name(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let name = if path.is_dir() { path.file_name() } else { path.file_stem() };
    name.map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}
