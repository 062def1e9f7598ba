//! Files that clients store.

use serde::{Deserialize, Serialize};

use crate::error::InvalidRequest;

/// A stored file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileObject {
    /// `file-…`
    pub id: String,
    /// Always `file`.
    pub object: FileObjectName,
    /// Its length.
    pub bytes: u64,
    /// Seconds since the epoch.
    pub created_at: u64,
    /// Seconds since the epoch, if it is to go by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<u64>,
    /// As the client called it.
    pub filename: String,
    /// What for.
    pub purpose: FilePurpose,
    /// Always `processed`: there is nothing to do with a file before it can be used.
    pub status: FileStatus,
}

/// The word `file`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileObjectName {
    /// `file`
    #[default]
    File,
}

/// The word `processed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileStatus {
    /// `processed`
    #[default]
    Processed,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilePurpose {
    /// Requests of a batch.
    Batch,
    /// Answers of a batch.
    BatchOutput,
    /// Whatever the client likes.
    UserData,
}

impl FilePurpose {
    /// Reads the field `purpose` of an upload.
    ///
    /// # Errors
    /// If it is none that clients may give.
    pub fn read(purpose: &str) -> Result<Self, InvalidRequest> {
        match purpose {
            "batch" => Ok(Self::Batch),
            "user_data" => Ok(Self::UserData),
            other => Err(InvalidRequest::value(
                "purpose",
                format_args!("'{other}'. Supported values are: 'batch' and 'user_data'."),
            )),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BatchOutput => "batch_output",
            Self::UserData => "user_data",
        }
    }
}

/// A page of a list. Pages go on after `last_id`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page<T> {
    /// Always `list`.
    pub object: &'static str,
    /// The page.
    pub data: Vec<T>,
    /// The first of the page; empty if there is none.
    pub first_id: String,
    /// The last of the page; empty if there is none.
    pub last_id: String,
    /// Whether there is another page.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// A page of `data`, whose entries have the ids that `id` gives.
    pub fn new(data: Vec<T>, has_more: bool, id: impl Fn(&T) -> &str) -> Self {
        let of = |entry: Option<&T>| entry.map(&id).unwrap_or_default().to_owned();
        let (first_id, last_id) = (of(data.first()), of(data.last()));
        Self { object: "list", data, first_id, last_id, has_more }
    }
}

/// Something is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Deleted {
    /// What it was called.
    pub id: String,
    /// What it was.
    pub object: &'static str,
    /// Always `true`.
    pub deleted: bool,
}

impl Deleted {
    /// The `object` of this name and kind is gone.
    pub fn new(id: String, object: &'static str) -> Self {
        Self { id, object, deleted: true }
    }
}
