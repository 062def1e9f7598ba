//! `/v1/batches`: many requests in a file, answered when there is time.

mod input;
mod runner;

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use phial_openai::{Batch, BatchRequest, BatchStatus, FilePurpose, InvalidRequest, Page};

use crate::api_error::ApiError;
use crate::body::read_json;
use crate::clock::unix_seconds;
use crate::exchange::Exchange;
use crate::files;
use crate::lists::ListQuery;
use crate::server::Server;

pub(crate) use runner::{Routes, resume};

/// Entries of a page of the list.
const PAGE: (usize, usize) = (20, 100);

/// `POST /v1/batches`
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Extension(routes): Extension<Routes>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Batch>, ApiError> {
    let body = read_json(&headers, body, &server.options().limits).await?;
    let storage = server.storage(exchange.owner())?;
    let asked = BatchRequest::from_json(&body)?;
    let file = files::find(&storage, &asked.input_file_id)?;
    if file.purpose != FilePurpose::Batch {
        let problem = "the purpose of this file is not 'batch'.";
        return Err(InvalidRequest::value("input_file_id", problem).into());
    }
    if storage.batches.len() >= storage.limits.batches_max {
        return Err(ApiError::storage_full());
    }
    let now = unix_seconds();
    let batch = Batch {
        id: server.ids().next("batch_"),
        endpoint: asked.endpoint.to_owned(),
        input_file_id: asked.input_file_id,
        completion_window: "24h".to_owned(),
        created_at: now,
        expires_at: Some(now + BatchRequest::WINDOW_SECONDS),
        metadata: asked.metadata,
        ..Batch::default()
    };
    storage.batches.add(&batch, exchange.payer()).map_err(|error| files::storage_failed(&error))?;
    runner::start(&server, routes, batch.id.clone(), exchange.owner().cloned());
    Ok(Json(batch))
}

/// `GET /v1/batches`
pub(crate) async fn list(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<Batch>>, ApiError> {
    let query = ListQuery::read(query, PAGE, &[])?;
    Ok(Json(query.page(server.storage(exchange.owner())?.batches.list(), |batch| &batch.id)?))
}

/// `GET /v1/batches/{id}`
pub(crate) async fn show(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
) -> Result<Json<Batch>, ApiError> {
    let batch = server.storage(exchange.owner())?.batches.get(&id);
    batch.map(Json).ok_or_else(|| ApiError::not_found("Batch", &id))
}

/// `POST /v1/batches/{id}/cancel`
pub(crate) async fn cancel(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
) -> Result<Json<Batch>, ApiError> {
    let storage = server.storage(exchange.owner())?;
    let cancel = |batch: &mut Batch| {
        if !batch.status.is_final() && batch.status != BatchStatus::Finalizing {
            batch.status = BatchStatus::Cancelling;
            batch.cancelling_at.get_or_insert(unix_seconds());
        }
    };
    let batch = storage.batches.update(&id, cancel);
    let batch = batch.map_err(|error| files::storage_failed(&error))?;
    batch.map(Json).ok_or_else(|| ApiError::not_found("Batch", &id))
}
