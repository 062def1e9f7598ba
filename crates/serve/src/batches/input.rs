//! The input file of a batch.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use phial_openai::{BatchError, BatchErrors, BatchLine};

use crate::storage::StorageLimits;

/// Mistakes of an input file that are reported; the others are like them.
const ERRORS_MAX: usize = 100;

/// The lines of a file, one after the other; none is longer than allowed.
pub(super) struct Lines {
    reader: BufReader<File>,
    number: usize,
    bytes_max: usize,
}

impl Lines {
    pub fn open(path: &Path, limits: &StorageLimits) -> io::Result<Self> {
        let reader = BufReader::new(File::open(path)?);
        Ok(Self { reader, number: 0, bytes_max: limits.batch_line_bytes_max })
    }

    /// The next line that is not empty, with its number from 1.
    pub fn next(&mut self) -> io::Result<Option<(usize, String)>> {
        loop {
            let mut line = Vec::new();
            let limit = self.bytes_max as u64 + 1;
            let length = self.reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(None);
            }
            self.number += 1;
            let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
            if length > self.bytes_max {
                return Err(invalid(format!(
                    "line {} has more than {} bytes",
                    self.number, self.bytes_max
                )));
            }
            let line = String::from_utf8(line)
                .map_err(|_| invalid(format!("line {} is not UTF-8", self.number)))?;
            if !line.trim().is_empty() {
                return Ok(Some((self.number, line)));
            }
        }
    }
}

/// Reads the whole file; gives the number of requests, or what is wrong.
pub(super) fn check(
    path: &Path,
    endpoint: &str,
    limits: &StorageLimits,
) -> Result<usize, BatchErrors> {
    let mut errors = Vec::new();
    let mut names = HashSet::new();
    let whole = |code: &str, message: String, line| BatchError {
        code: code.to_owned(),
        message,
        param: None,
        line,
    };
    let mut lines = match Lines::open(path, limits) {
        Ok(lines) => lines,
        Err(_) => {
            let message = "The input file is not there any more.".to_owned();
            return Err(list(vec![whole("file_not_found", message, None)]));
        }
    };
    while errors.len() < ERRORS_MAX {
        let (number, line) = match lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(error) => {
                let message = format!("The input file cannot be read: {error}.");
                errors.push(whole("invalid_file", message, None));
                break;
            }
        };
        match BatchLine::read(&line, number, endpoint) {
            Err(error) => errors.push(error),
            Ok(read) => {
                let message = format!("The custom_id '{}' occurs twice.", read.custom_id);
                if !names.insert(read.custom_id) {
                    errors.push(whole("duplicate_custom_id", message, Some(number)));
                }
            }
        }
        if names.len() > limits.batch_requests_max {
            let message = format!("A batch has at most {} requests.", limits.batch_requests_max);
            errors.push(whole("too_many_requests", message, None));
            break;
        }
    }
    if names.is_empty() && errors.is_empty() {
        errors.push(whole("empty_file", "The input file has no requests.".to_owned(), None));
    }
    if errors.is_empty() { Ok(names.len()) } else { Err(list(errors)) }
}

fn list(data: Vec<BatchError>) -> BatchErrors {
    BatchErrors { object: "list".to_owned(), data }
}
