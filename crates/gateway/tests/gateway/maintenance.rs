//! Backups, restoring, and what is done to accounts from outside.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use phial_gateway::{Gateway, Maintenance, Settings, restore};
use serde_json::json;
use tempfile::TempDir;
use tower::ServiceExt;

use crate::books::Books;
use crate::service::{CHAT, Place, Service, chat, hear, post};
use crate::stub::Stub;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_server_under_load_is_served_from_elsewhere() {
    let service = Service::start(Place::Sqlite).await;
    let user = service.user("ann", 1_000_000).await;
    let (_, key) = service.key(&user, json!({ "remain_quota": 500_000 })).await;
    let elsewhere = TempDir::new().unwrap();
    let copy = elsewhere.path().join("copy.sqlite");
    let backing_up = async {
        let maintenance = Maintenance::open(service.home.settings("one")).await.unwrap();
        maintenance.back_up(&copy).await.unwrap();
        maintenance.close().await;
    };
    let load = async {
        for _ in 0..40 {
            assert_eq!(service.chat(&key, json!({})).await.status, 200);
        }
    };
    tokio::join!(load, backing_up);
    service.gateway.close().await;

    let settings = Settings::in_folder(elsewhere.path().join("restored"));
    restore(&settings, &copy).await.unwrap();
    let folder = elsewhere.path().join("restored");
    let gateway = Gateway::open(settings, Arc::new(Stub::default())).await.unwrap();
    let request = post(CHAT, &key, &chat(false, 5, json!({})));
    let answer = gateway.routes().oneshot(request).await.unwrap();
    assert_eq!(hear(answer).await.status, 200);
    gateway.close().await;
    let books = Books::open(None, &folder.join("accounts.sqlite")).await;
    let paid: i64 = books.settled().values().map(|entry| entry.cost).sum();
    assert!(paid > 0);
    let held: i64 = books
        .entries
        .iter()
        .filter(|entry| entry.kind == "reserve")
        .filter(|entry| !books.settled().contains_key(entry.request.as_str()))
        .map(|entry| entry.user_amount)
        .sum();
    let (_, balance, ..) = books.users.into_iter().find(|user| user.0 == 2).unwrap();
    assert_eq!(balance, 1_000_000 - paid + held, "nothing but what was made and is held");
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("restoring"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_but_their_owner_reads_accounts_and_backups() {
    use std::os::unix::fs::PermissionsExt;
    let service = Service::start(Place::Sqlite).await;
    let elsewhere = TempDir::new().unwrap();
    let copy = elsewhere.path().join("copy.sqlite");
    let maintenance = Maintenance::open(service.home.settings("one")).await.unwrap();
    maintenance.back_up(&copy).await.unwrap();
    // As another program may have left it on its way.
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    let folder = elsewhere.path().join("restored");
    restore(&Settings::in_folder(&folder), &copy).await.unwrap();
    let at_home = service.home.path().join("one/accounts.sqlite");
    let beside = elsewhere.path().join("copy.sqlite.pepper");
    let restored = [folder.join("accounts.sqlite"), folder.join("pepper")];
    for file in [at_home, beside].iter().chain(&restored) {
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", file.display());
    }
}

async fn restore_refused(settings: &Settings, file: &Path) -> String {
    let told = restore(settings, file).await.unwrap_err().to_string();
    assert!(!told.contains('\n'), "{told}");
    assert!(told.contains(&file.display().to_string()), "{told}");
    told
}

#[tokio::test]
async fn what_is_no_backup_is_refused_and_changes_nothing() {
    let service = Service::start(Place::Sqlite).await;
    let user = service.user("ann", 1_000_000).await;
    let (_, key) = service.key(&user, json!({})).await;
    let elsewhere = TempDir::new().unwrap();
    let at = |name: &str| elsewhere.path().join(name);
    let copy = at("copy.sqlite");
    let maintenance = Maintenance::open(service.home.settings("one")).await.unwrap();
    maintenance.back_up(&copy).await.unwrap();
    let taken = maintenance.back_up(&copy).await.unwrap_err().to_string();
    assert!(taken.contains("there already"), "{taken}");
    let nowhere = maintenance.back_up(&at("no/copy.sqlite")).await.unwrap_err().to_string();
    assert!(nowhere.contains("no/copy.sqlite"), "{nowhere}");

    let target = Settings { pepper_file: None, ..service.home.settings("one") };
    let busy = restore(&target, &copy).await.unwrap_err().to_string();
    assert!(busy.contains("another process"), "{busy}");
    service.gateway.close().await;
    let home = service.end();

    let pepper = "p".repeat(43);
    let other = sqlx::sqlite::SqliteConnectOptions::new().filename(at("other.sqlite"));
    let other = sqlx::SqlitePool::connect_with(other.create_if_missing(true)).await.unwrap();
    sqlx::query("CREATE TABLE t (a)").execute(&other).await.unwrap();
    other.close().await;
    fs::write(at("empty"), "").unwrap();
    fs::write(at("text"), "this is not what was meant at all").unwrap();
    fs::write(at("torn"), &fs::read(&copy).unwrap()[..5000]).unwrap();
    fs::copy(&copy, at("bare")).unwrap();
    fs::copy(&copy, at("foreign")).unwrap();
    for name in ["other.sqlite", "empty", "text", "torn", "foreign"] {
        fs::write(at(&format!("{name}.pepper")), &pepper).unwrap();
    }
    for (name, part) in [
        ("nothing", "No such file"),
        ("empty", "no copy of accounts"),
        ("text", "no copy of accounts"),
        ("other.sqlite", "another database"),
        ("torn", "cannot be read"),
        ("bare", "bare.pepper"),
        ("foreign", "another secret"),
    ] {
        let told = restore_refused(&home.settings("one"), &at(name)).await;
        assert!(told.contains(part), "{name}: {told}");
        assert!(!home.path().join("one/restoring.sqlite").exists(), "{name}");
    }
    // All is as it was.
    let gateway = Gateway::open(home.settings("one"), Arc::new(Stub::default())).await.unwrap();
    let request = post(CHAT, &key, &chat(false, 5, json!({})));
    let answer = gateway.routes().oneshot(request).await.unwrap();
    assert_eq!(hear(answer).await.status, 200);
    gateway.close().await;
}

#[tokio::test]
async fn a_misspelt_place_does_not_become_accounts() {
    let elsewhere = TempDir::new().unwrap();
    let folder = elsewhere.path().join("misspelt");
    let told = Maintenance::open(Settings::in_folder(&folder)).await.err().unwrap().to_string();
    assert!(told.contains("accounts.sqlite"), "{told}");
    assert!(!folder.exists());
    let settings = Settings {
        database: Some("postgres://nobody@127.0.0.1:1/nothing".to_owned()),
        ..Settings::in_folder(&folder)
    };
    let told = Maintenance::open(settings.clone()).await.err().unwrap().to_string();
    assert!(told.contains("pepper"), "{told}");
    let told = Gateway::open(settings, Arc::new(Stub::default())).await.err().unwrap();
    let told = told.to_string();
    assert!(told.contains("127.0.0.1:1 cannot be reached") && told.contains("refused"), "{told}");
}

#[tokio::test]
async fn accounts_whose_pepper_is_gone_are_not_given_a_new_one() {
    let service = Service::start(Place::Sqlite).await;
    service.gateway.close().await;
    let home = service.end();
    let pepper = home.path().join("pepper");
    fs::rename(&pepper, home.path().join("moved")).unwrap();
    let opened = Gateway::open(home.settings("one"), Arc::new(Stub::default())).await;
    let told = opened.err().unwrap().to_string();
    assert!(told.contains("is missing") && !pepper.exists(), "{told}");
}

#[tokio::test]
async fn a_new_password_and_a_new_link_are_good_at_once() {
    let service = Service::start(Place::Sqlite).await;
    let user = service.user("ann", 0).await;
    let maintenance = Maintenance::open(service.home.settings("one")).await.unwrap();
    let told = maintenance.reset_password("nobody", "long enough for all").await.unwrap_err();
    assert!(told.to_string().contains("nobody"), "{told}");
    assert!(maintenance.reset_password("ann", "short").await.is_err());
    let token = service.api("GET", "/api/user/token", &user, None).await.data();
    let token = token.as_str().unwrap();
    let by_token = || {
        let request = Request::get("/api/user/self").header("authorization", token);
        service.hear(request.body(Body::empty()).unwrap())
    };
    assert_eq!(by_token().await.status, 200);
    maintenance.reset_password("ann", "another correct horse").await.unwrap();
    assert_eq!(service.api("GET", "/api/user/self", &user, None).await.status, 401);
    assert_eq!(by_token().await.status, 401);
    let told = json!({ "username": "ann", "password": "another correct horse" });
    service.enter("/api/user/login", told).await;
    let first = maintenance.setup_secret().await.unwrap();
    let second = maintenance.setup_secret().await.unwrap();
    let told =
        |secret: &str| json!({ "secret": secret, "username": "eve", "password": "correct horse" });
    let late = service.api("POST", "/api/setup", &user, Some(told(&first))).await;
    assert!(late.status >= 400, "{late:?}");
    service.enter("/api/setup", told(&second)).await;
}
