//! The console: pages for people, embedded, under `/console`.
//!
//! The files are served as they stand in `console/`: no build step, and nothing in them asks any
//! other host for anything. The content security policy says so to the browser: a script is a file of
//! ours, a style too, and no text becomes HTML.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

/// Every file of `console/`, with its content.
macro_rules! embedded {
    ($($path:literal)*) => {
        &[$(($path, include_bytes!(concat!("../console/", $path)).as_slice())),*]
    };
}

const FILES: &[(&str, &[u8])] = embedded!(
    "api.js"
    "app.js"
    "components/button.js"
    "components/chart.js"
    "components/code.js"
    "components/copy.js"
    "components/dialog.js"
    "components/form.js"
    "components/icons.js"
    "components/layout.js"
    "components/prose.js"
    "components/states.js"
    "components/table.js"
    "components/toast.js"
    "dom.js"
    "i18n.js"
    "icon.svg"
    "index.html"
    "locales/en.js"
    "locales/ru.js"
    "locales/zh.js"
    "pages/account.js"
    "pages/admin/audit.js"
    "pages/admin/invitations.js"
    "pages/admin/options.js"
    "pages/admin/upstreams.js"
    "pages/admin/users.js"
    "pages/entrance.js"
    "pages/key-form.js"
    "pages/keys.js"
    "pages/models.js"
    "pages/overview.js"
    "pages/playground.js"
    "pages/playground/answer.js"
    "pages/playground/composer.js"
    "pages/playground/settings.js"
    "pages/playground/state.js"
    "pages/playground/turns.js"
    "pages/reference.js"
    "pages/reference/document.js"
    "pages/reference/schema.js"
    "pages/reference/try-it.js"
    "pages/usage-log.js"
    "pages/usage.js"
    "router.js"
    "session.js"
    "shell.js"
    "snippets.js"
    "sse.js"
    "storage.js"
    "style/base.css"
    "style/components.css"
    "style/layout.css"
    "style/pages.css"
    "theme.js"
    "usage-data.js"
);

/// What every page begins with; its script shows the page of the address.
const INDEX: &str = "index.html";

/// Types by the ending of a file's name.
const TYPES: &[(&str, &str)] = &[
    (".css", "text/css; charset=utf-8"),
    (".html", "text/html; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".svg", "image/svg+xml"),
];

/// Images and sound that a user chose are `data:` and `blob:`; nothing else comes from elsewhere.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Sent with every answer of the console.
const SECURITY_HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", CONTENT_POLICY),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

/// A file as it is answered.
struct File {
    content: &'static [u8],
    content_type: &'static str,
    /// Of the content: a browser keeps a file until it changes, and asks each time.
    etag: HeaderValue,
}

type Files = Arc<HashMap<&'static str, File>>;

/// The console under `/console`, and `/` that leads to it. Needs no account: its pages are the same
/// for everybody, and what they show comes from the management API.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let to_console = get(|| async { Redirect::temporary("/console/") });
    Router::new()
        .route("/", to_console.clone())
        .route("/console", to_console)
        .route("/console/", get(show_index))
        .route("/console/{*path}", get(show))
        .with_state(files())
}

fn files() -> Files {
    let file = |&(path, content): &(&'static str, &'static [u8])| {
        (path, File { content, content_type: content_type(path), etag: etag(content) })
    };
    Arc::new(FILES.iter().map(file).collect())
}

fn content_type(path: &str) -> &'static str {
    let known = TYPES.iter().find(|(ending, _)| path.ends_with(ending));
    known.map_or("application/octet-stream", |(_, content_type)| content_type)
}

fn etag(content: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(content);
    let text: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("\"{text}\"")).expect("hexadecimal digits are visible ASCII")
}

async fn show_index(State(files): State<Files>, headers: HeaderMap) -> Response {
    answer(files.get(INDEX), &headers)
}

/// A file, or for the address of a page, which has no ending, the beginning of every page.
async fn show(
    State(files): State<Files>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response {
    let is_page = !path.rsplit('/').next().unwrap_or_default().contains('.');
    let file = files.get(path.as_str()).or_else(|| files.get(INDEX).filter(|_| is_page));
    answer(file, &headers)
}

fn answer(file: Option<&File>, request: &HeaderMap) -> Response {
    let mut response = match file {
        None => (StatusCode::NOT_FOUND, "There is no such file in the console.\n").into_response(),
        Some(file) if is_known(request, &file.etag) => StatusCode::NOT_MODIFIED.into_response(),
        Some(file) => Response::new(Body::from(Bytes::from_static(file.content))),
    };
    let headers = response.headers_mut();
    if let Some(file) = file {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.content_type));
        headers.insert(ETAG, file.etag.clone());
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    for (name, value) in SECURITY_HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Whether the browser has that content already.
fn is_known(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let lists = request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = lists.flat_map(|list| list.split(',')).map(str::trim);
    known.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION, X_CONTENT_TYPE_OPTIONS};
    use axum::http::{Method, Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn ask(method: Method, path: &str, known: Option<&str>) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(known) = known {
            request = request.header(IF_NONE_MATCH, known);
        }
        routes::<()>().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn text(response: Response) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn header(response: &Response, name: HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Paths of all files below `folder`, as the table has them.
    fn below(folder: &std::path::Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                below(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_is_embedded_and_has_a_type() {
        let mut found = BTreeSet::new();
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
        below(&folder, "", &mut found);
        let embedded: BTreeSet<_> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(embedded, found);
        for path in &embedded {
            assert_ne!(content_type(path), "application/octet-stream", "{path}");
        }
    }

    #[test]
    fn no_file_breaks_the_policy_or_names_another_host() {
        for (path, content) in FILES {
            let text = std::str::from_utf8(content).unwrap();
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "@import"] {
                assert!(!text.contains(forbidden), "{path} has {forbidden}");
            }
            for (at, scheme) in text.match_indices("://") {
                let rest = &text[at + scheme.len()..];
                let host: String = rest.chars().take_while(|c| !"/\"'`) ,;".contains(*c)).collect();
                let is_name_of_a_format = host == "www.w3.org";
                let is_an_example = host.is_empty() || host == "…";
                assert!(is_name_of_a_format || is_an_example, "{path} names the host '{host}'");
            }
        }
        let index =
            std::str::from_utf8(FILES.iter().find(|file| file.0 == INDEX).unwrap().1).unwrap();
        assert!(!index.contains("style=") && !index.contains("<style") && !index.contains(" on"));
        let scripts = index.matches("<script").count();
        assert_eq!(scripts, index.matches(" src=\"/console/").count());
    }

    #[tokio::test]
    async fn addresses_of_pages_begin_with_the_index() {
        for path in ["/console/", "/console/keys", "/console/admin/users", "/console/setup"] {
            let response = ask(Method::GET, path, None).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(header(&response, CONTENT_TYPE), "text/html; charset=utf-8");
            assert!(text(response).await.contains("/console/app.js"), "{path}");
        }
        for path in ["/", "/console"] {
            let response = ask(Method::GET, path, None).await;
            assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT, "{path}");
            assert_eq!(header(&response, LOCATION), "/console/");
        }
    }

    #[tokio::test]
    async fn every_answer_has_the_policy_and_nothing_outside_of_the_folder_is_served() {
        for path in ["/console/app.js", "/console/keys", "/console/missing.js"] {
            let response = ask(Method::GET, path, None).await;
            assert_eq!(header(&response, CONTENT_SECURITY_POLICY), CONTENT_POLICY, "{path}");
            assert_eq!(header(&response, X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        }
        for path in [
            "/console/missing.js",
            "/console/../Cargo.toml",
            "/console/%2e%2e/Cargo.toml",
            "/console/..%2fCargo.toml",
            "/console//etc/host.conf",
        ] {
            assert_eq!(
                ask(Method::GET, path, None).await.status(),
                StatusCode::NOT_FOUND,
                "{path}"
            );
        }
        assert!(!CONTENT_POLICY.contains("unsafe"));
        let response = ask(Method::POST, "/console/app.js", None).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }

    #[tokio::test]
    async fn a_file_that_is_known_is_not_sent_again() {
        let first = ask(Method::GET, "/console/app.js", None).await;
        let tag = header(&first, ETAG).to_owned();
        assert_eq!(header(&first, CACHE_CONTROL), "no-cache");
        assert_eq!(header(&first, CONTENT_TYPE), "text/javascript; charset=utf-8");
        assert!(!text(first).await.is_empty());
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()]
        {
            let again = ask(Method::GET, "/console/app.js", Some(&known)).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(header(&again, ETAG), tag);
            assert_eq!(text(again).await, "");
        }
        let other = ask(Method::GET, "/console/router.js", Some(&tag)).await;
        assert_eq!(other.status(), StatusCode::OK);
        let head = ask(Method::HEAD, "/console/app.js", None).await;
        assert_eq!(header(&head, ETAG), tag);
        assert_eq!(text(head).await, "");
    }
}
