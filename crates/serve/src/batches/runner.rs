//! Working through batches.
//!
//! A batch has a task of its own; one batch works at a time. Its requests go through the same
//! routes as those of clients, one after the other while clients have requests of their own, a few
//! at a time while they do not, and none while any of theirs waits.

use std::io;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::{BodyExt, Collected};
use phial_openai::metering::{Owner, Payer};
use phial_openai::{
    Batch, BatchFailure, BatchLine, BatchOutcome, BatchResponse, BatchStatus, FilePurpose,
};
use tower::ServiceExt;

use super::input::{self, Lines};
use crate::clock::unix_seconds;
use crate::engine_thread::EngineState;
use crate::exchange::Unhurried;
use crate::server::Server;
use crate::storage::{Progress, Storage};

/// Requests of a batch that are in the engine at a time, when nobody else needs it.
const CONCURRENCY: usize = 4;

/// How long to wait for a server that is busy with the requests of clients.
const PATIENCE: Duration = Duration::from_millis(50);

/// What makes the routes of a server: requests of batches go the same way as those of clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routes(pub fn(&Server) -> Router);

/// Goes on with the batches that the last run of the server left unfinished.
pub(crate) fn resume(server: &Server, routes: Routes) {
    for owner in server.owners() {
        let Ok(storage) = server.storage(owner.as_ref()) else { continue };
        for batch in storage.batches.list() {
            if !batch.status.is_final() {
                start(server, routes, batch.id, owner.clone());
            }
        }
    }
}

/// Works on a batch, after those that came before.
pub(super) fn start(server: &Server, routes: Routes, id: String, owner: Option<Owner>) {
    let server = server.clone();
    tokio::spawn(async move {
        let Ok(storage) = server.storage(owner.as_ref()) else { return };
        // Fair: batches take their turns in the order in which they came.
        let _turn = storage.batch_turn.lock().await;
        let routes = server.batch_routes().unwrap_or_else(|| (routes.0)(&server));
        let (server, storage, id) = (&server, &*storage, &*id);
        let payer = storage.batches.payer(id).ok().flatten();
        let run = Run { server, storage, routes, id, owner, payer };
        if let Err(error) = run.to_end().await {
            tracing::error!(%error, id, "a batch cannot be worked on");
            run.change(|batch| {
                batch.status = BatchStatus::Failed;
                batch.failed_at = Some(unix_seconds());
            });
        }
    });
}

/// How long to wait before a request is made again; `None` if its answer stands. Without a word
/// about when to come again, 429 means that nothing is left to pay with.
fn retry_after<B>(response: &Response<B>) -> Option<Duration> {
    if response.status() != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let milliseconds = response.headers().get("retry-after-ms");
    let seconds = response.headers().get("retry-after");
    let number = |value: Option<&HeaderValue>| value?.to_str().ok()?.parse::<u64>().ok();
    match (number(milliseconds), number(seconds)) {
        (None, None) => None,
        // The server's own queue, which is looked at before each request anyhow.
        (Some(_), _) => Some(PATIENCE),
        (None, Some(seconds)) => Some(Duration::from_secs(seconds.min(60)).max(PATIENCE)),
    }
}

/// Why no further requests of a batch are made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    Done,
    Cancelled,
    Expired,
    /// The server ends; the batch goes on when it is started again.
    Shutdown,
}

struct Run<'a> {
    server: &'a Server,
    storage: &'a Storage,
    routes: Router,
    id: &'a str,
    owner: Option<Owner>,
    payer: Option<Payer>,
}

impl Run<'_> {
    async fn to_end(&self) -> io::Result<()> {
        let Some(batch) = self.storage.batches.get(self.id) else { return Ok(()) };
        let Some(batch) = self.validate(batch).await? else { return Ok(()) };
        let mut progress = self.storage.batches.progress(self.id)?;
        let stop = self.answer(&batch, &mut progress).await?;
        tracing::info!(id = self.id, ?stop, "a batch ends");
        if stop != Stop::Shutdown {
            self.finish(&batch, progress, stop)?;
        }
        Ok(())
    }

    /// Reads the input of a new batch; `None` if it cannot be used.
    async fn validate(&self, batch: Batch) -> io::Result<Option<Batch>> {
        if batch.status != BatchStatus::Validating {
            return Ok(Some(batch));
        }
        let path = self.input(&batch).unwrap_or_default();
        let (endpoint, limits) = (batch.endpoint.clone(), self.storage.limits.clone());
        let check = move || input::check(&path, &endpoint, &limits);
        let checked = tokio::task::spawn_blocking(check).await.map_err(io::Error::other)?;
        let now = unix_seconds();
        let failed = checked.is_err();
        let batch = self.storage.batches.update(self.id, |batch| match checked {
            Ok(total) => {
                // It may have been cancelled meanwhile.
                if batch.status == BatchStatus::Validating {
                    batch.status = BatchStatus::InProgress;
                }
                batch.in_progress_at = Some(now);
                batch.request_counts.total = total;
            }
            Err(errors) => {
                batch.status = BatchStatus::Failed;
                batch.failed_at = Some(now);
                batch.errors = Some(errors);
            }
        })?;
        Ok(batch.filter(|_| !failed))
    }

    fn input(&self, batch: &Batch) -> Option<std::path::PathBuf> {
        let file = self.storage.files.get(&batch.input_file_id, unix_seconds())?;
        Some(self.storage.files.path(&file))
    }

    /// Makes the requests that are yet to be made.
    async fn answer(&self, batch: &Batch, progress: &mut Progress) -> io::Result<Stop> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "the input file is gone");
        let path = self.input(batch).ok_or_else(missing)?;
        let mut lines = Lines::open(&path, &self.storage.limits)?;
        let mut running = FuturesUnordered::new();
        let stop = loop {
            if let Some(stop) = self.stop(batch) {
                break stop;
            }
            if !running.is_empty() && running.len() >= self.places(running.len()) {
                let Some(outcome) = running.next().await else { continue };
                self.record(progress, &outcome)?;
                continue;
            }
            if self.places(running.len()) == 0 {
                tokio::time::sleep(PATIENCE).await;
                continue;
            }
            let Some((number, line)) = lines.next()? else { break Stop::Done };
            let Ok(line) = BatchLine::read(&line, number, &batch.endpoint) else { continue };
            if !progress.done.contains(&line.custom_id) {
                running.push(self.request(&batch.endpoint, line));
            }
        };
        // What is under way ends, whatever comes after; but a server that ends takes it along.
        while stop != Stop::Shutdown
            && let Some(outcome) = running.next().await
        {
            self.record(progress, &outcome)?;
        }
        if stop == Stop::Cancelled || stop == Stop::Expired {
            self.give_up(batch, progress, lines, stop)?;
        }
        Ok(stop)
    }

    fn stop(&self, batch: &Batch) -> Option<Stop> {
        let status = self.storage.batches.get(self.id).map(|batch| batch.status);
        if status.is_none_or(|status| status == BatchStatus::Cancelling) {
            Some(Stop::Cancelled)
        } else if batch.expires_at.is_some_and(|end| end <= unix_seconds()) {
            Some(Stop::Expired)
        } else if self.server.engine().state() != EngineState::Running {
            Some(Stop::Shutdown)
        } else {
            None
        }
    }

    /// How many requests of this batch may be under way, of which `own` are.
    fn places(&self, own: usize) -> usize {
        let engine = self.server.engine();
        if engine.requests_waiting() > 0 {
            0
        } else if engine.requests_active() > own {
            1
        } else {
            CONCURRENCY.min(engine.requests_max())
        }
    }

    /// Makes one request, as often as it takes until the server has room for it.
    async fn request(&self, endpoint: &str, line: BatchLine) -> BatchOutcome {
        let body = line.body.to_string();
        loop {
            let mut request = Request::post(endpoint)
                .header("content-type", "application/json")
                .extension(Unhurried)
                .body(Body::from(body.clone()))
                .unwrap_or_default();
            if let (Some(owner), Some(payer)) = (&self.owner, &self.payer) {
                request.extensions_mut().insert(owner.clone());
                request.extensions_mut().insert(payer.clone());
            }
            let Ok(response) = self.routes.clone().oneshot(request).await;
            let retry_after = retry_after(&response);
            if let Some(delay) = retry_after {
                tokio::time::sleep(delay).await;
                continue;
            }
            let status_code = response.status().as_u16();
            let request_id = response.headers().get("x-request-id");
            let request_id = request_id.and_then(|id| id.to_str().ok()).unwrap_or_default();
            let request_id = request_id.to_owned();
            let bytes = response.into_body().collect().await.map(Collected::to_bytes);
            let body = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
            return BatchOutcome {
                id: self.server.ids().next("batch_req_"),
                custom_id: line.custom_id,
                response: Some(BatchResponse { status_code, request_id, body }),
                error: None,
            };
        }
    }

    fn record(&self, progress: &mut Progress, outcome: &BatchOutcome) -> io::Result<()> {
        // A server that ends answers so; the request is made again by the next.
        let status = outcome.response.as_ref().map(|response| response.status_code);
        if status == Some(StatusCode::SERVICE_UNAVAILABLE.as_u16()) {
            return Ok(());
        }
        progress.push(outcome)?;
        let (completed, failed) = (progress.completed, progress.failed);
        self.change(|batch| {
            batch.request_counts.completed = completed;
            batch.request_counts.failed = failed;
        });
        Ok(())
    }

    /// Tells of all requests that are not made why they are not.
    fn give_up(
        &self,
        batch: &Batch,
        progress: &mut Progress,
        mut lines: Lines,
        stop: Stop,
    ) -> io::Result<()> {
        let (code, message) = match stop {
            Stop::Expired => {
                ("batch_expired", "This request was not made before the batch expired.")
            }
            _ => ("batch_cancelled", "This request was not made before the batch was cancelled."),
        };
        while let Some((number, line)) = lines.next()? {
            let Ok(line) = BatchLine::read(&line, number, &batch.endpoint) else { continue };
            if progress.done.contains(&line.custom_id) {
                continue;
            }
            let error = BatchFailure { code: code.to_owned(), message: message.to_owned() };
            progress.push(&BatchOutcome {
                id: self.server.ids().next("batch_req_"),
                custom_id: line.custom_id,
                response: None,
                error: Some(error),
            })?;
        }
        Ok(())
    }

    /// Makes files of the answers.
    fn finish(&self, batch: &Batch, progress: Progress, stop: Stop) -> io::Result<()> {
        let now = unix_seconds();
        self.change(|batch| {
            batch.finalizing_at = Some(now);
            if stop == Stop::Done {
                batch.status = BatchStatus::Finalizing;
            }
        });
        let output = self.keep(batch, &progress.output_path, progress.completed, "output")?;
        let errors = self.keep(batch, &progress.errors_path, progress.failed, "errors")?;
        let (completed, failed) = (progress.completed, progress.failed);
        self.change(|batch| {
            batch.output_file_id = output;
            batch.error_file_id = errors;
            batch.request_counts.completed = completed;
            batch.request_counts.failed = failed;
            let now = Some(unix_seconds());
            match stop {
                Stop::Expired => {
                    batch.status = BatchStatus::Expired;
                    batch.expired_at = now;
                }
                Stop::Cancelled => {
                    batch.status = BatchStatus::Cancelled;
                    batch.cancelled_at = now;
                }
                Stop::Done | Stop::Shutdown => {
                    batch.status = BatchStatus::Completed;
                    batch.completed_at = now;
                }
            }
        });
        progress.remove();
        Ok(())
    }

    /// A file of the outcomes at `path`, if there are any.
    fn keep(
        &self,
        batch: &Batch,
        path: &std::path::Path,
        count: usize,
        kind: &str,
    ) -> io::Result<Option<String>> {
        if count == 0 {
            return Ok(None);
        }
        let id = self.server.ids().next("file-");
        let (upload, mut file) = self.storage.files.create(&id)?;
        io::copy(&mut std::fs::File::open(path)?, &mut file)?;
        let name = format!("{}_{kind}.jsonl", batch.id);
        let about = (id.clone(), unix_seconds(), None);
        self.storage.files.keep(upload, about, name, FilePurpose::BatchOutput)?;
        Ok(Some(id))
    }

    /// Changes the batch. One that cannot be written is the same in memory.
    fn change(&self, change: impl FnOnce(&mut Batch)) {
        if let Err(error) = self.storage.batches.update(self.id, change) {
            tracing::error!(%error, id = self.id, "a batch cannot be written");
        }
    }
}
