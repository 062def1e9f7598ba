//! Downloads from a hub on a loopback port that misbehaves on purpose.

mod server;

use std::fs;
use std::path::Path;
use std::time::Duration;

use phial_hub::{Error, ErrorKind, Hub, HubOptions, Limits, RemoteFile, RepositoryId, Snapshot};
use server::{Behaviour, Server, WEIGHTS, WEIGHTS_SHA256};

fn limits() -> Limits {
    let backoff = Duration::from_millis(1);
    Limits { backoff, backoff_max: backoff, progress_bytes: 8, ..Limits::default() }
}

fn hub(server: &Server) -> Hub {
    let endpoint = server.address();
    Hub::new(&HubOptions { endpoint, limits: limits(), ..HubOptions::default() }).unwrap()
}

fn repository() -> RepositoryId {
    RepositoryId::parse("owner/name").unwrap()
}

fn list(server: &Server) -> Result<Snapshot, Error> {
    hub(server).files(&repository(), "main")
}

fn weights(server: &Server) -> RemoteFile {
    list(server).unwrap().file("model.safetensors").unwrap().clone()
}

fn fetch(server: &Server, into: &Path) -> Result<Vec<u8>, Error> {
    let fetched = hub(server).fetch(&weights(server), into, &mut |_| {})?;
    assert_eq!(fetched.sha256, WEIGHTS_SHA256);
    Ok(fs::read(fetched.path).unwrap())
}

#[test]
fn a_listing_pins_the_commit_and_files_arrive_checked() {
    let server = Server::start(Behaviour::default());
    let folder = tempfile::tempdir().unwrap();
    let snapshot = list(&server).unwrap();
    assert_eq!(snapshot.commit(), server::COMMIT);
    let paths: Vec<_> = snapshot.model_files().unwrap().iter().map(|file| file.path()).collect();
    assert_eq!(paths, ["config.json", "model.safetensors"]);
    let mut seen = Vec::new();
    let hub = hub(&server);
    let file = snapshot.file("model.safetensors").unwrap();
    let fetched = hub
        .fetch(file, folder.path(), &mut |progress| {
            seen.push((progress.bytes_done, progress.bytes_total));
        })
        .unwrap();
    let all = WEIGHTS.len() as u64;
    assert_eq!(fetched.bytes, all);
    assert_eq!(seen.first(), Some(&(0, Some(all))));
    assert_eq!(seen.last(), Some(&(all, Some(all))));
    assert!(
        server.requests().iter().any(|line| line.contains(&format!("/resolve/{}", server::COMMIT)))
    );
    // Neither a second call nor an offline one asks again.
    let before = server.requests().len();
    hub.fetch(file, folder.path(), &mut |_| {}).unwrap();
    let offline = HubOptions { endpoint: server.address(), offline: true, ..HubOptions::default() };
    Hub::new(&offline).unwrap().fetch(file, folder.path(), &mut |_| {}).unwrap();
    assert_eq!(server.requests().len(), before);
    // A small file without a digest is checked by its length.
    let config = snapshot.file("config.json").unwrap();
    assert_eq!(config.sha256(), None);
    assert_eq!(hub.fetch(config, folder.path(), &mut |_| {}).unwrap().bytes, 2);
}

#[test]
fn a_connection_cut_anywhere_is_resumed() {
    for cut_after in 0..WEIGHTS.len() {
        let server =
            Server::start(Behaviour { cut_after: Some(cut_after), ..Behaviour::default() });
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(fetch(&server, folder.path()).unwrap(), WEIGHTS, "cut after {cut_after}");
        let ranges: Vec<_> =
            server.requests().iter().filter(|line| line.contains("bytes=")).cloned().collect();
        assert_eq!(ranges.len(), usize::from(cut_after > 0), "{ranges:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn a_part_of_an_earlier_process_is_gone_on_with() {
    for have in [1, WEIGHTS.len() / 2, WEIGHTS.len() - 1, WEIGHTS.len(), WEIGHTS.len() + 5] {
        let server = Server::start(Behaviour::default());
        let folder = tempfile::tempdir().unwrap();
        let part = folder.path().join(format!("model.safetensors.{}.part", &WEIGHTS_SHA256[..12]));
        let mut bytes = WEIGHTS.to_vec();
        bytes.resize(have.max(WEIGHTS.len()), b'x');
        fs::write(&part, &bytes[..have]).unwrap();
        assert_eq!(fetch(&server, folder.path()).unwrap(), WEIGHTS, "{have}");
        let asked = server.requests().iter().filter(|line| line.contains("resolve")).count();
        assert_eq!(asked, usize::from(have != WEIGHTS.len()));
    }
}

#[test]
fn a_server_that_ignores_or_confuses_ranges_is_survived() {
    for behaviour in [
        Behaviour { ignores_range: true, cut_after: Some(20), ..Behaviour::default() },
        Behaviour { shifts_range: true, cut_after: Some(20), ..Behaviour::default() },
        Behaviour { refuses_range: true, cut_after: Some(20), ..Behaviour::default() },
    ] {
        let shown = format!("{behaviour:?}");
        let server = Server::start(behaviour);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(fetch(&server, folder.path()).unwrap(), WEIGHTS, "{shown}");
    }
}

#[test]
fn a_wrong_checksum_removes_the_bytes() {
    let server = Server::start(Behaviour { corrupts: true, ..Behaviour::default() });
    let folder = tempfile::tempdir().unwrap();
    let error = fetch(&server, folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checksum);
    assert!(error.to_string().ends_with("it was removed, run the same command again"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_wrong_length_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Behaviour { appends: 3, ..Behaviour::default() });
    let error = fetch(&server, folder.path()).unwrap_err();
    assert!(error.to_string().contains("were announced"), "{error}");
    // Without a Content-Length the excess shows only while reading.
    let server =
        Server::start(Behaviour { appends: 3, hides_length: true, ..Behaviour::default() });
    let error = fetch(&server, folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn transient_failures_are_tried_again_and_others_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Behaviour { failures: vec![503, 429], ..Behaviour::default() });
    assert_eq!(fetch(&server, folder.path()).unwrap(), WEIGHTS);
    for (status, kind, part) in [
        (401, ErrorKind::Denied, "HF_TOKEN"),
        (403, ErrorKind::Denied, "HF_TOKEN"),
        (404, ErrorKind::NotFound, "no repository owner/name at main"),
        (400, ErrorKind::Network, "status 400"),
    ] {
        let server = Server::start(Behaviour { failures: vec![status], ..Behaviour::default() });
        let error = list(&server).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    let server = Server::start(Behaviour { failures: vec![500; 9], ..Behaviour::default() });
    assert_eq!(list(&server).unwrap_err().kind(), ErrorKind::Network);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_redirect_is_followed_without_the_token() {
    let storage = Server::start(Behaviour::default());
    let redirects_to = Some(storage.address().replace("127.0.0.1", "localhost"));
    let server = Server::start(Behaviour { redirects_to, cut_after: None, ..Behaviour::default() });
    let folder = tempfile::tempdir().unwrap();
    let token = Some("secret".to_owned());
    let endpoint = server.address();
    let options = HubOptions { endpoint, token, limits: limits(), ..HubOptions::default() };
    let hub = Hub::new(&options).unwrap();
    let part = folder.path().join(format!("model.safetensors.{}.part", &WEIGHTS_SHA256[..12]));
    fs::write(part, &WEIGHTS[..7]).unwrap();
    let fetched = hub.fetch(&weights(&server), folder.path(), &mut |_| {}).unwrap();
    assert_eq!(fs::read(fetched.path).unwrap(), WEIGHTS);
    assert!(server.requests().iter().any(|request| request.contains("Bearer secret")));
    let stored = storage.requests();
    assert!(stored.iter().all(|request| !request.contains("secret")), "{stored:?}");
    assert!(stored.iter().any(|request| request.contains("bytes=7-")), "{stored:?}");
}

#[test]
fn offline_and_unreachable_are_told() {
    let server = Server::start(Behaviour::default());
    let file = weights(&server);
    let folder = tempfile::tempdir().unwrap();
    let before = server.requests().len();
    let offline = HubOptions { endpoint: server.address(), offline: true, ..HubOptions::default() };
    let hub = Hub::new(&offline).unwrap();
    for error in [
        hub.files(&repository(), "main").unwrap_err(),
        hub.fetch(&file, folder.path(), &mut |_| {}).unwrap_err(),
        hub.fetch_head(&file, 8).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Offline);
        assert!(error.to_string().contains("phial list"), "{error}");
    }
    assert_eq!(server.requests().len(), before);
    // A port that was just free refuses connections.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{free}");
    let options = HubOptions { endpoint, limits: limits(), ..HubOptions::default() };
    let error = Hub::new(&options).unwrap().files(&repository(), "main").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Network);
    assert!(error.to_string().contains("HTTPS_PROXY"), "{error}");
}

#[test]
fn a_header_can_be_read_alone() {
    for ignores_range in [false, true] {
        let server = Server::start(Behaviour { ignores_range, ..Behaviour::default() });
        let file = weights(&server);
        assert_eq!(hub(&server).fetch_head(&file, 8).unwrap(), &WEIGHTS[..8]);
        assert_eq!(hub(&server).fetch_head(&file, 10_000).unwrap(), WEIGHTS);
        assert!(hub(&server).fetch_head(&file, 0).is_err());
        assert!(hub(&server).fetch_head(&file, 1 << 40).is_err());
    }
}

#[test]
fn hostile_listings_are_refused() {
    for listing in [
        r#"{"sha": "SHA", "siblings": [{"rfilename": "../x"}]}"#.to_owned(),
        r#"{"sha": "../../x", "siblings": []}"#.to_owned(),
        "x".repeat((16 << 20) + 10),
    ] {
        let listing = Some(listing.replace("SHA", server::COMMIT));
        let server = Server::start(Behaviour { listing, ..Behaviour::default() });
        assert_eq!(list(&server).unwrap_err().kind(), ErrorKind::Malformed);
    }
    let server = Server::start(Behaviour::default());
    assert_eq!(hub(&server).files(&repository(), "../x").unwrap_err().kind(), ErrorKind::Name);
    assert!(server.requests().is_empty());
}
