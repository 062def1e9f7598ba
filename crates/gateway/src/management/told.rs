//! Reading what the management API is told.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts as Head;
use serde::de::DeserializeOwned;

use super::BODY_BYTES_MAX;
use super::answer::Failure;
use crate::object::Object;

/// A JSON body, an object.
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let read: Result<Json<Object<T>>, JsonRejection> = Json::from_request(request, state).await;
        read.map(|Json(Object(value))| Self(value)).map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Failure::too_large(format!("A body has at most {BODY_BYTES_MAX} bytes."))
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Failure::unsupported_type(error.body_text()),
            _ => Failure::invalid(error.body_text()),
        })
    }
}

/// The query of an address.
pub(super) struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request_parts(head: &mut Head, state: &S) -> Result<Self, Failure> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(head, state).await;
        read.map(|Query(value)| Self(value)).map_err(|error| Failure::invalid(error.body_text()))
    }
}

/// The number in an address.
pub(super) struct Id(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Failure;

    async fn from_request_parts(head: &mut Head, state: &S) -> Result<Self, Failure> {
        let read: Result<Path<i64>, PathRejection> = Path::from_request_parts(head, state).await;
        read.map(|Path(id)| Self(id)).map_err(|_| Failure::not_found("There is no such number."))
    }
}
