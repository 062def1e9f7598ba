//! `GET /v1/models`: what all channels have together.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::http::{Method, Request, Response};
use axum::response::IntoResponse;
use http_body_util::{BodyExt, Limited};
use phial_openai::metering::Meter;
use phial_openai::{Model, ModelList};
use serde_json::{Value, json};

use super::channel::Channel;
use super::settings::ChannelKind;
use crate::refusal::Refusal;
use crate::upstream::Upstream;

const ROUTE: &str = "/v1/models";

/// A list of models is small.
const LIST_BYTES_MAX: usize = 1 << 20;

/// The model that is asked for: `Some("")` for all of them; `None` if it is another route.
pub(super) fn wanted<'a>(method: &Method, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(ROUTE)?;
    if method != Method::GET {
        return None;
    }
    if rest.is_empty() { Some("") } else { rest.strip_prefix('/').filter(|id| !id.is_empty()) }
}

/// Lists them, or describes the one that is wanted. The engine of this process describes its own.
pub(super) async fn answer(
    channels: &[Arc<Channel>],
    local: Option<&Arc<dyn Upstream>>,
    wanted: &str,
    created: u64,
) -> Response<Body> {
    let mut models = match local {
        Some(local) => local_models(local).await,
        None => Vec::new(),
    };
    let named = |model: &Value| model["id"].as_str().map(str::to_owned);
    let mut names: HashSet<String> = models.iter().filter_map(named).collect();
    let remote = channels
        .iter()
        .filter(|channel| channel.settings.enabled && channel.settings.kind == ChannelKind::OpenAi);
    for channel in remote {
        let context = usize::try_from(channel.settings.context_tokens).unwrap_or(usize::MAX);
        for model in &channel.settings.models {
            if names.insert(model.clone()) {
                models.push(json!(Model::new(model.clone(), created, context)));
            }
        }
    }
    if wanted.is_empty() {
        let mut list = json!(ModelList::new(Vec::new()));
        list["data"] = Value::Array(models);
        return Json(list).into_response();
    }
    match models.into_iter().find(|model| model["id"] == wanted) {
        Some(model) => Json(model).into_response(),
        None => Refusal::model_not_found(wanted).into_response_for(ROUTE),
    }
}

async fn local_models(local: &Arc<dyn Upstream>) -> Vec<Value> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = axum::http::Uri::from_static(ROUTE);
    let answer = local.call(request, Meter::new(Arc::new(Unmetered))).await;
    let Ok(body) = Limited::new(answer.into_body(), LIST_BYTES_MAX).collect().await else {
        return Vec::new();
    };
    let list: Option<Value> = serde_json::from_slice(&body.to_bytes()).ok();
    match list.as_ref().and_then(|list| list["data"].as_array()) {
        Some(models) => models.clone(),
        None => Vec::new(),
    }
}

/// A list costs nothing.
struct Unmetered;

impl phial_openai::metering::UsageSink for Unmetered {
    fn report(&self, _: phial_openai::metering::TokenCounts) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_asked_for_by_names_with_slashes() {
        for (path, expected) in [
            ("/v1/models", Some("")),
            ("/v1/models/phi", Some("phi")),
            ("/v1/models/owner/phi", Some("owner/phi")),
            ("/v1/models/", None),
            ("/v1/modelsx", None),
        ] {
            assert_eq!(wanted(&Method::GET, path), expected, "{path}");
        }
        assert_eq!(wanted(&Method::POST, ROUTE), None);
    }
}
