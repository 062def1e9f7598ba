//! `/v1/files`: what clients store here, and what batches leave.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use phial_openai::{Deleted, FileObject, FilePurpose, InvalidRequest, Page};
use tokio::io::AsyncWriteExt;

use crate::api_error::ApiError;
use crate::body::blocking;
use crate::clock::unix_seconds;
use crate::exchange::Exchange;
use crate::lists::ListQuery;
use crate::server::Server;
use crate::storage::{Storage, Upload};

/// Entries of a page of the list.
const PAGE: (usize, usize) = (10_000, 10_000);

/// Bytes of a field of an upload that is no file.
const FIELD_BYTES_MAX: usize = 1024;

/// `POST /v1/files`
pub(crate) async fn create(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<Json<FileObject>, ApiError> {
    let storage = server.storage(exchange.owner())?;
    let form = form.map_err(|_| ApiError::media_type_of_upload())?;
    let id = server.ids().next("file-");
    let received = receive(&storage, form, &id);
    // An upload may be large and slow; it is what arrives at all that is bounded.
    let Received { upload, filename, purpose, expires_after } = received.await?;
    let created_at = unix_seconds();
    let expires_at = expires_after.map(|seconds| created_at + seconds);
    blocking(move || {
        storage
            .files
            .keep(upload, (id, created_at, expires_at), filename, purpose)
            .map(Json)
            .map_err(|error| storage_failed(&error))
    })
    .await
}

/// An upload that has arrived.
struct Received {
    upload: Upload,
    filename: String,
    purpose: FilePurpose,
    expires_after: Option<u64>,
}

async fn receive(storage: &Storage, mut form: Multipart, id: &str) -> Result<Received, ApiError> {
    let mut file = None;
    let mut fields: HashMap<String, String> = HashMap::new();
    while let Some(field) = form.next_field().await.map_err(|error| broken_upload(&error))? {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "file" if file.is_none() => {
                let filename = field.file_name().unwrap_or("upload").to_owned();
                file = Some((write(storage, field, id).await?, filename));
            }
            "purpose" | "expires_after[anchor]" | "expires_after[seconds]" => {
                fields.insert(name, text(field).await?);
            }
            _ => return Err(InvalidRequest::unknown(name).into()),
        }
    }
    let (upload, filename) = file.ok_or_else(|| InvalidRequest::missing("file"))?;
    let purpose = fields.get("purpose").ok_or_else(|| InvalidRequest::missing("purpose"))?;
    let purpose = FilePurpose::read(purpose)?;
    let expires_after = read_expiry(&fields)?;
    Ok(Received { upload, filename, purpose, expires_after })
}

fn read_expiry(fields: &HashMap<String, String>) -> Result<Option<u64>, InvalidRequest> {
    let anchor = fields.get("expires_after[anchor]");
    let Some(seconds) = fields.get("expires_after[seconds]") else {
        return match anchor {
            Some(_) => Err(InvalidRequest::missing("expires_after[seconds]")),
            None => Ok(None),
        };
    };
    if anchor.map(String::as_str) != Some("created_at") {
        let problem = "the only supported value is 'created_at'.";
        return Err(InvalidRequest::value("expires_after[anchor]", problem));
    }
    match seconds.parse() {
        Ok(seconds @ 3600..=2_592_000) => Ok(Some(seconds)),
        _ => {
            let problem = "expected a value from 3600 to 2592000.";
            Err(InvalidRequest::value("expires_after[seconds]", problem))
        }
    }
}

async fn text(mut field: Field<'_>) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken_upload(&error))? {
        if bytes.len() + chunk.len() > FIELD_BYTES_MAX {
            return Err(ApiError::body_too_large(FIELD_BYTES_MAX));
        }
        bytes.extend_from_slice(&chunk);
    }
    let name = field.name().unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| InvalidRequest::value(name, "it is not UTF-8.").into())
}

/// Writes a file as it comes, so that none is ever held in memory.
async fn write(storage: &Storage, mut field: Field<'_>, id: &str) -> Result<Upload, ApiError> {
    if !storage.files.has_room(0, &storage.limits) {
        return Err(ApiError::storage_full());
    }
    let (upload, file) = storage.files.create(id).map_err(|error| storage_failed(&error))?;
    let mut file = tokio::fs::File::from_std(file);
    let mut length = 0u64;
    while let Some(chunk) = field.chunk().await.map_err(|error| broken_upload(&error))? {
        length += chunk.len() as u64;
        if length > storage.limits.file_bytes_max {
            return Err(ApiError::body_too_large(storage.limits.file_bytes_max as usize));
        }
        if !storage.files.has_room(length, &storage.limits) {
            return Err(ApiError::storage_full());
        }
        file.write_all(&chunk).await.map_err(|error| storage_failed(&error))?;
    }
    file.flush().await.map_err(|error| storage_failed(&error))?;
    Ok(upload)
}

fn broken_upload(error: &MultipartError) -> ApiError {
    tracing::debug!(%error, "an upload cannot be read");
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::body_too_large(FIELD_BYTES_MAX),
        _ => ApiError::broken_upload(),
    }
}

/// The disk does not do what it should; which is for the operator to read.
pub(crate) fn storage_failed(error: &std::io::Error) -> ApiError {
    tracing::error!(%error, "the folder of files cannot be used");
    ApiError::internal()
}

/// `GET /v1/files`
pub(crate) async fn list(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<FileObject>>, ApiError> {
    let query = ListQuery::read(query, PAGE, &["purpose"])?;
    let mut files = server.storage(exchange.owner())?.files.list(unix_seconds());
    if let Some(purpose) = query.other("purpose") {
        files.retain(|file| file.purpose.name() == purpose);
    }
    Ok(Json(query.page(files, |file| &file.id)?))
}

/// `GET /v1/files/{id}`
pub(crate) async fn show(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
) -> Result<Json<FileObject>, ApiError> {
    find(&*server.storage(exchange.owner())?, &id).map(Json)
}

/// The file of this id.
pub(crate) fn find(storage: &Storage, id: &str) -> Result<FileObject, ApiError> {
    let file = storage.files.get(id, unix_seconds());
    file.ok_or_else(|| ApiError::not_found("File", id))
}

/// `DELETE /v1/files/{id}`
pub(crate) async fn delete(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    if !server.storage(exchange.owner())?.files.delete(&id) {
        return Err(ApiError::not_found("File", &id));
    }
    Ok(Json(Deleted::new(id, "file")))
}

/// `GET /v1/files/{id}/content`
pub(crate) async fn content(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let storage = server.storage(exchange.owner())?;
    let file = find(&storage, &id)?;
    let opened = tokio::fs::File::open(storage.files.path(&file)).await;
    let opened = opened.map_err(|error| storage_failed(&error))?;
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_DISPOSITION, "attachment".to_owned()),
    ];
    let chunks = futures_util::stream::try_unfold(opened, async |mut file| {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let read = tokio::io::AsyncReadExt::read_buf(&mut file, &mut chunk).await?;
        Ok::<_, std::io::Error>((read > 0).then_some((chunk, file)))
    });
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// Bytes of a stored file that are sent at a time.
const CHUNK_BYTES: usize = 64 << 10;
