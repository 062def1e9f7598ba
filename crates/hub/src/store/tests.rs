use super::*;

fn name(text: &str) -> ModelName {
    ModelName::parse(text).unwrap()
}

fn publish(store: &Store, text: &str, content: &str) -> Model {
    let draft = store.begin(&name(text)).unwrap();
    fs::write(draft.folder().join("model.gguf"), content).unwrap();
    draft.publish("test", &["model.gguf"]).unwrap()
}

#[test]
fn a_model_is_published_found_listed_replaced_and_removed() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    assert!(store.list().unwrap().is_empty());
    assert!(!store.remove(&name("a/b")).unwrap());
    publish(&store, "z", "other");
    publish(&store, "a/b", "abc");
    let found = store.find(&name("a/b")).unwrap().unwrap();
    assert_eq!(found.manifest().bytes, 3);
    assert!(found.manifest().files[0].sha256.starts_with("ba7816bf"));
    assert_eq!(fs::read_to_string(found.path()).unwrap(), "abc");
    let names: Vec<_> = store.list().unwrap().iter().map(|m| m.manifest().name.clone()).collect();
    assert_eq!(names, ["a/b", "z"]);
    publish(&store, "a/b", "newer");
    assert_eq!(store.find(&name("a/b")).unwrap().unwrap().manifest().bytes, 5);
    assert!(store.remove(&name("a/b")).unwrap());
    assert!(store.find(&name("a/b")).unwrap().is_none());
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn an_unpublished_draft_is_no_model_and_can_be_gone_on_with() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let draft = store.begin(&name("m")).unwrap();
    fs::create_dir(draft.folder().join("sub")).unwrap();
    fs::write(draft.folder().join("sub/left.part"), "x").unwrap();
    drop(draft);
    assert!(store.find(&name("m")).unwrap().is_none() && store.list().unwrap().is_empty());
    let draft = store.begin(&name("m")).unwrap();
    assert!(draft.folder().join("sub/left.part").exists());
    fs::write(draft.folder().join("a"), "x").unwrap();
    let model = draft.publish("test", &["a"]).unwrap();
    assert!(!model.folder().join("sub").exists());
    drop(store.begin(&name("m")).unwrap());
    assert!(store.remove(&name("m")).unwrap());
    assert!(!store.remove(&name("m")).unwrap());
}

#[test]
fn two_makers_of_one_model_do_not_meet() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let draft = store.begin(&name("m")).unwrap();
    assert_eq!(store.begin(&name("m")).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(store.remove(&name("m")).unwrap_err().kind(), ErrorKind::Busy);
    store.begin(&name("n")).unwrap();
    drop(draft);
    store.begin(&name("m")).unwrap();
}

#[test]
fn damage_is_told() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let model = publish(&store, "m", "abc");
    fs::write(model.path(), "ab").unwrap();
    let error = store.find(&name("m")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(error.to_string().ends_with("run: phial pull m"), "{error}");
    for text in [
        "",
        "{}",
        r#"{"name":"m","source":"","files":[{"name":"../x","bytes":0,"sha256":""}],"bytes":0,"created":0}"#,
    ] {
        fs::write(model.folder().join(MANIFEST), text).unwrap();
        assert_eq!(store.find(&name("m")).unwrap_err().kind(), ErrorKind::Damaged);
        assert!(store.list().unwrap().is_empty());
    }
    assert!(store.remove(&name("m")).unwrap());
}

#[test]
fn names_that_share_a_folder_do_not_overwrite_each_other() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    publish(&store, "a/b", "abc");
    assert!(store.find(&name("a--b")).unwrap().is_none());
    assert!(!store.remove(&name("a--b")).unwrap());
    let draft = store.begin(&name("a--b")).unwrap();
    fs::write(draft.folder().join("x"), "x").unwrap();
    assert_eq!(draft.publish("test", &["x"]).unwrap_err().kind(), ErrorKind::Name);
    assert!(store.find(&name("a/b")).unwrap().is_some());
}

#[test]
fn only_files_inside_the_draft_are_published() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    for file in ["../x", "/etc/passwd", "manifest.json", ""] {
        let draft = store.begin(&name("m")).unwrap();
        assert_eq!(draft.publish("test", &[file]).unwrap_err().kind(), ErrorKind::Name, "{file}");
    }
    let draft = store.begin(&name("m")).unwrap();
    assert_eq!(draft.publish("test", &["missing"]).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn the_root_follows_the_environment() {
    let check = |pairs: &[(&str, &str)]| {
        root(|name| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.into()))
    };
    let home = ("HOME", "/h");
    assert_eq!(check(&[home, ("PHIAL_HOME", "p")]), Some("p".into()));
    assert_eq!(check(&[home, ("XDG_CACHE_HOME", "/c")]), Some("/c/phial".into()));
    assert_eq!(check(&[home, ("XDG_CACHE_HOME", "c")]), Some("/h/.cache/phial".into()));
    assert_eq!(check(&[home, ("PHIAL_HOME", "")]), Some("/h/.cache/phial".into()));
    assert_eq!(check(&[]), None);
}
