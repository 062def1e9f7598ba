use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use phial_tensor::Tensor;

use crate::safetensors::{find, is_index, with_extension};
use crate::source_file::SourceStamp;
use crate::{Error, Gguf, Safetensors, TensorInfo, WeightSource, gguf};

/// The weights of a model in whichever format they are.
#[derive(Debug)]
pub enum ModelFile {
    /// A GGUF file or its parts.
    Gguf(Gguf),
    /// A safetensors file or its shards.
    Safetensors(Safetensors),
}

impl ModelFile {
    /// Opens a file by its first bytes, or the model in a folder: safetensors if there are any,
    /// else the only GGUF model.
    ///
    /// # Errors
    /// As [`Gguf::open`] and [`Safetensors::open`]; for anything else an error that says what it
    /// is and what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if path.is_dir() {
            return Self::open_folder(path);
        }
        if is_index(path) {
            return Safetensors::open(path).map(Self::Safetensors);
        }
        match recognise(path)? {
            Format::Gguf => Gguf::open(path).map(Self::Gguf),
            Format::Safetensors => Safetensors::open(path).map(Self::Safetensors),
            Format::Other(problem) => Err(Error::not_a_model(path, problem)),
        }
    }

    /// What tells these files from later ones; `None` when they are not files but bytes in memory.
    pub fn stamp(&self) -> Option<SourceStamp> {
        let files = match self {
            ModelFile::Gguf(file) => file.files(),
            ModelFile::Safetensors(files) => files.files(),
        };
        (!files.is_empty()).then(|| SourceStamp::of(files))
    }

    fn open_folder(folder: &Path) -> Result<Self, Error> {
        if let Some(file) = find(folder)? {
            return Self::open(file);
        }
        let mut models = with_extension(folder, "gguf")?;
        models.retain(|path| !is_later_part(path));
        match models.as_slice() {
            [one] => Gguf::open(one).map(Self::Gguf),
            [] => Err(Error::not_a_model(folder, without_weights(folder)?)),
            many => {
                let problem = format!("{} GGUF models are in this folder, name one", many.len());
                Err(Error::not_a_model(folder, problem))
            }
        }
    }
}

impl WeightSource for ModelFile {
    fn tensors(&self) -> &[TensorInfo] {
        match self {
            ModelFile::Gguf(file) => file.tensors(),
            ModelFile::Safetensors(files) => files.tensors(),
        }
    }

    fn tensor(&self, name: &str) -> Option<Tensor> {
        match self {
            ModelFile::Gguf(file) => file.tensor(name),
            ModelFile::Safetensors(files) => files.tensor(name),
        }
    }
}

enum Format {
    Gguf,
    Safetensors,
    Other(&'static str),
}

const PYTORCH: &str =
    "this is a PyTorch checkpoint, which can run code when read; get the safetensors or GGUF files";

/// What a file is, by its first bytes.
fn recognise(path: &Path) -> Result<Format, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut start = Vec::new();
    file.take(16).read_to_end(&mut start).map_err(Error::io("read", path))?;
    Ok(match start.as_slice() {
        [] => Format::Other("the file is empty, download it again"),
        start if start.starts_with(gguf::MAGIC) => Format::Gguf,
        // A length that fits in five bytes, then a JSON object.
        [_, _, _, _, _, 0, 0, 0, b'{', ..] => Format::Safetensors,
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Format::Other(PYTORCH),
        text if text.starts_with(b"version https://") => Format::Other(
            "this is a Git LFS pointer and not the weights, run `git lfs pull` where it came from",
        ),
        text if [b"lmgg", b"fmgg", b"tjgg"].iter().any(|magic| text.starts_with(*magic)) => {
            Format::Other("this is a GGML file from before GGUF, get the model as GGUF")
        }
        _ if path.extension().is_some_and(|extension| extension == "safetensors") => {
            Format::Safetensors
        }
        _ => Format::Other(
            "this is neither a GGUF nor a safetensors file, name a model file or its folder",
        ),
    })
}

/// Why a folder has no model.
fn without_weights(folder: &Path) -> Result<String, Error> {
    let checkpoints: Vec<PathBuf> = with_extension(folder, "bin")?
        .into_iter()
        .chain(with_extension(folder, "pt")?)
        .chain(with_extension(folder, "pth")?)
        .collect();
    if checkpoints.iter().any(|path| matches!(recognise(path), Ok(Format::Other(PYTORCH)))) {
        return Ok(PYTORCH.to_owned());
    }
    let parts = with_extension(folder, "part")?;
    if !parts.is_empty() {
        return Ok("the weights here are incomplete (.part files), finish the download".to_owned());
    }
    Ok("no safetensors or GGUF file is in this folder, download the weights into it".to_owned())
}

/// Whether a name is that of a part after the first: `NAME-00002-of-00003.gguf`.
fn is_later_part(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let Some((rest, count)) = name.rsplit_once("-of-") else {
        return false;
    };
    let number = rest.rsplit_once('-').map_or("", |(_, number)| number);
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number(count) && is_number(number) && number != "00001"
}
