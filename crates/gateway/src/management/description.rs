//! The description of the management API for machines.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

/// An OpenAPI document of every route, in JSON.
const OPENAPI: &str = include_str!("../../openapi.json");

/// `GET /api/openapi.json`
pub(super) async fn show() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::super::{ROUTES, entry, own, users};
    use super::*;
    use crate::wire::{ChannelDraft, OptionsDraft, PriceView, TokenDraft};

    fn document() -> Value {
        serde_json::from_str(OPENAPI).expect("JSON")
    }

    /// Method and address of everything that is described, with its description.
    fn operations(document: &Value) -> Vec<(String, String, &Value)> {
        let paths = document["paths"].as_object().expect("paths");
        let all = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods.iter().map(move |(name, what)| (name.to_uppercase(), path.clone(), what))
        });
        all.collect()
    }

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let described: BTreeSet<(String, String)> =
            operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
        let routes: BTreeSet<(String, String)> = ROUTES
            .iter()
            .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(described, routes);
        assert_eq!(routes.len(), ROUTES.len(), "a route stands twice");
    }

    #[test]
    fn whoever_changes_something_in_a_session_needs_its_token() {
        let document = document();
        for (method, path, operation) in operations(&document) {
            let session = match method.as_str() {
                "GET" => json!({ "session": [] }),
                _ => json!({ "session": [], "csrf": [] }),
            };
            let known = json!([session, { "accessToken": [] }]);
            let security = &operation["security"];
            assert!(*security == known || *security == json!([]), "{method} {path}");
            let refuses = operation["responses"].get("401").is_some();
            assert!(*security == json!([]) || refuses, "{method} {path}");
        }
    }

    /// The fields of a body, as its reader tells them when it meets one that nobody knows.
    fn fields_read<T: DeserializeOwned>() -> BTreeSet<String> {
        let error = serde_json::from_str::<T>(r#"{"?":0}"#).err().expect("refused").to_string();
        let known = error.strip_prefix("unknown field `?`").unwrap_or_else(|| panic!("{error}"));
        known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    fn fields_described(name: &str) -> BTreeSet<String> {
        let document = document();
        let schema = &document["components"]["schemas"][name];
        assert_eq!(schema["additionalProperties"], false, "{name}");
        schema["properties"].as_object().expect("properties").keys().cloned().collect()
    }

    #[test]
    fn bodies_have_the_fields_that_are_described() {
        let check = |read: BTreeSet<String>, names: &[&str]| {
            for name in names {
                assert_eq!(fields_described(name), read, "{name}");
            }
        };
        check(fields_read::<TokenDraft>(), &["NewKey", "ChangedKey"]);
        check(fields_read::<ChannelDraft>(), &["NewChannel", "ChangedChannel"]);
        check(fields_read::<OptionsDraft>(), &["ChangedOptions"]);
        check(fields_read::<PriceView>(), &["Price"]);
        check(fields_read::<entry::SetUp>(), &["SetUp"]);
        check(fields_read::<entry::Register>(), &["Register"]);
        check(fields_read::<entry::SignIn>(), &["SignIn"]);
        check(fields_read::<own::Profile>(), &["ChangedSelf"]);
        check(fields_read::<users::NewUser>(), &["NewUser"]);
        check(fields_read::<users::ChangedUser>(), &["ChangedUser"]);
        check(fields_read::<users::Credit>(), &["Credit"]);
    }
}
