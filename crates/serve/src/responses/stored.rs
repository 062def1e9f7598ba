//! Responses that were stored.

use std::collections::HashMap;

use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use phial_openai::{Deleted, InvalidRequest, Item, Page, ResponseObject};

use crate::api_error::ApiError;
use crate::exchange::Exchange;
use crate::lists::ListQuery;
use crate::response_store::Viewer;
use crate::server::Server;

/// Entries of a page of the list.
const PAGE: (usize, usize) = (20, 100);

/// `GET /v1/responses/{id}`
pub(crate) async fn show(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<ResponseObject>, ApiError> {
    for (name, value) in &query {
        match (name.as_str(), value.as_str()) {
            ("stream" | "include_obfuscation", "false") => {}
            ("stream" | "starting_after" | "include" | "include[]" | "include_obfuscation", _) => {
                return Err(InvalidRequest::unsupported(name.as_str()).into());
            }
            _ => return Err(InvalidRequest::unknown(name.as_str()).into()),
        }
    }
    let stored = server.responses().get(Viewer::Owner(exchange.owner()), &id);
    let stored = stored.ok_or_else(|| ApiError::not_found("Response", &id))?;
    Ok(Json(stored.response))
}

/// `DELETE /v1/responses/{id}`
pub(crate) async fn delete(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
) -> Result<Json<Deleted>, ApiError> {
    if !server.responses().delete(Viewer::Owner(exchange.owner()), &id) {
        return Err(ApiError::not_found("Response", &id));
    }
    Ok(Json(Deleted::new(id, "response")))
}

/// `GET /v1/responses/{id}/input_items`
pub(crate) async fn input_items(
    State(server): State<Server>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Page<Item>>, ApiError> {
    let query = ListQuery::read(query, PAGE, &[])?;
    let store = server.responses();
    let viewer = Viewer::Owner(exchange.owner());
    let stored = store.get(viewer, &id).ok_or_else(|| ApiError::not_found("Response", &id))?;
    let mut items = match &stored.response.previous_response_id {
        Some(previous) => store.conversation(viewer, previous).unwrap_or_default(),
        None => Vec::new(),
    };
    items.extend(stored.input);
    Ok(Json(query.page(items, Item::id)?))
}
