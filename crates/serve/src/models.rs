//! Which models there are.

use axum::Json;
use axum::extract::{Path, State};
use phial_openai::{Model, ModelList};

use crate::api_error::ApiError;
use crate::server::Server;

/// `GET /v1/models`
pub(crate) async fn list(State(server): State<Server>) -> Json<ModelList> {
    let names = server.model_names();
    Json(ModelList::new(names.map(|name| describe(&server, name)).collect()))
}

/// `GET /v1/models/{*id}`; names contain slashes.
pub(crate) async fn show(
    State(server): State<Server>,
    Path(id): Path<String>,
) -> Result<Json<Model>, ApiError> {
    server.check_model(&id)?;
    Ok(Json(describe(&server, &id)))
}

fn describe(server: &Server, name: &str) -> Model {
    Model::new(name, server.model().created, server.context_tokens())
}
