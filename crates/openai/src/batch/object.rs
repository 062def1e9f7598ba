//! A batch as clients see it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A batch. Moments are in seconds since the epoch, and absent until they come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Batch {
    /// `batch_…`
    pub id: String,
    /// Always `batch`.
    pub object: BatchObjectName,
    /// Where its requests go.
    pub endpoint: String,
    /// What is wrong with the input file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<BatchErrors>,
    /// The file with the requests.
    pub input_file_id: String,
    /// `24h`
    pub completion_window: String,
    /// How far it is.
    pub status: BatchStatus,
    /// The file with the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_file_id: Option<String>,
    /// The file with the errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_file_id: Option<String>,
    /// When it was asked for.
    pub created_at: u64,
    /// When work began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_progress_at: Option<u64>,
    /// When it ends, done or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// When all answers were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finalizing_at: Option<u64>,
    /// When its files were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<u64>,
    /// When it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<u64>,
    /// When its time was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<u64>,
    /// When it was asked to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelling_at: Option<u64>,
    /// When it ended for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<u64>,
    /// How many requests there are.
    pub request_counts: BatchCounts,
    /// Labels of the client.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// The word `batch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchObjectName {
    /// `batch`
    #[default]
    Batch,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStatus {
    /// Its input is yet to be read.
    #[default]
    Validating,
    /// Its input cannot be used.
    Failed,
    /// Its requests are being answered.
    InProgress,
    /// Its files are being made.
    Finalizing,
    /// It is done.
    Completed,
    /// Its time was over.
    Expired,
    /// It was asked to end.
    Cancelling,
    /// It ended for that.
    Cancelled,
}

impl BatchStatus {
    /// Whether nothing more happens to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Expired | Self::Cancelled)
    }
}

/// How many requests of a batch there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchCounts {
    /// In the input.
    pub total: usize,
    /// Answered.
    pub completed: usize,
    /// Not answered.
    pub failed: usize,
}

/// What is wrong with the input of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchErrors {
    /// `list`
    pub object: String,
    /// The errors.
    pub data: Vec<BatchError>,
}

/// One thing that is wrong with the input of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchError {
    /// For a program.
    pub code: String,
    /// For a person.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// The line at fault, from 1.
    pub line: Option<usize>,
}
