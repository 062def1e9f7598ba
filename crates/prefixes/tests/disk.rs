//! A folder of blocks across restarts, limits and damage.

use std::fs;
use std::path::{Path, PathBuf};

use phial_engine::{Before, BlockName, PrefixStore};
use phial_model::Regime;
use phial_prefixes::{DiskPrefixes, Error};

const START: Before<'_> = Before::Nothing { regime: Regime::Short, salt: None };

fn open(folder: &Path, bytes_max: u64) -> DiskPrefixes {
    DiskPrefixes::open(folder, [1; 32], bytes_max).expect("a folder")
}

/// Saves a chain of `count` blocks of 1,000 bytes; their names.
fn save(disk: &mut DiskPrefixes, salt: u32, count: u32) -> Vec<BlockName> {
    let mut before = START;
    let mut names = Vec::new();
    for block in 0..count {
        let name = disk.name(before, &[salt, block]);
        assert!(!disk.contains(&name));
        assert!(disk.save(&name, &[salt, block], vec![(salt + block) as u8; 1000]));
        assert!(disk.contains(&name));
        before = Before::Block(name);
        names.push(name);
    }
    names
}

fn loads(disk: &mut DiskPrefixes, name: &BlockName, salt: u32, block: u32) -> bool {
    let mut bytes = Vec::new();
    let loaded = disk.load(name, &[salt, block], &mut bytes);
    let expected = if loaded { vec![(salt + block) as u8; 1000] } else { Vec::new() };
    assert_eq!(bytes, expected);
    assert_eq!(disk.contains(name), loaded);
    loaded
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one").path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some()).collect();
    files.sort();
    files
}

#[test]
fn blocks_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = save(&mut open(folder.path(), 1 << 20), 7, 3);
    assert_eq!(files(folder.path()).len(), 3);
    let mut disk = open(folder.path(), 1 << 20);
    assert_eq!((disk.blocks(), disk.bytes()), (3, 3 * (1000 + 120 + 8)));
    for (block, name) in (0..3).zip(&names) {
        assert!(loads(&mut disk, name, 7, block));
    }
    // Names are the same in every process, and differ with all that counts.
    let salt = [0; 32];
    let others = [
        disk.name(START, &[7, 0]),
        disk.name(START, &[7, 1]),
        disk.name(START, &[7]),
        disk.name(Before::Nothing { regime: Regime::Long, salt: None }, &[7, 0]),
        disk.name(Before::Nothing { regime: Regime::Short, salt: Some(&salt) }, &[7, 0]),
        disk.name(Before::Block(salt), &[7, 0]),
    ];
    assert_eq!(others[0], names[0]);
    for (at, name) in others.iter().enumerate() {
        assert!(!others[..at].contains(name));
    }
}

#[test]
fn a_model_sees_only_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = save(&mut open(folder.path(), 1 << 20), 7, 1);
    let mut other = DiskPrefixes::open(folder.path(), [2; 32], 1 << 20).expect("a folder");
    assert_ne!(other.name(START, &[7, 0]), names[0]);
    assert!(!loads(&mut other, &names[0], 7, 0));
}

#[test]
fn damage_is_noticed_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = save(&mut open(folder.path(), 1 << 20), 7, 4);
    let mut disk = open(folder.path(), 1 << 20);
    let path = |name: &BlockName| {
        let stem: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        folder.path().join(stem).with_extension("kv")
    };
    let mut bytes = fs::read(path(&names[0])).expect("a file");
    bytes[600] ^= 1;
    fs::write(path(&names[0]), bytes).expect("written");
    fs::write(path(&names[1]), b"").expect("written");
    fs::write(path(&names[2]), vec![0; 100_000]).expect("written");
    fs::remove_file(path(&names[3])).expect("removed");
    for (block, name) in (0..4).zip(&names) {
        assert!(!loads(&mut disk, name, 7, block), "block {block}");
    }
    assert_eq!(disk.blocks(), 0);
    // They can be kept anew.
    save(&mut disk, 7, 4);
    drop(disk);
    let mut disk = open(folder.path(), 1 << 20);
    assert!(loads(&mut disk, &names[2], 7, 2));
}

#[test]
fn the_limit_holds_and_the_end_of_an_old_chain_goes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut disk = open(folder.path(), 6 * 1128);
    let old = save(&mut disk, 10, 3);
    let young = save(&mut disk, 20, 3);
    for name in young.iter().rev().chain(old.iter().rev()) {
        disk.touch(name);
    }
    save(&mut disk, 30, 2);
    assert_eq!(disk.bytes(), 6 * 1128);
    let there = |disk: &DiskPrefixes, names: &[BlockName]| {
        names.iter().map(|name| disk.contains(name)).collect::<Vec<_>>()
    };
    assert_eq!(there(&disk, &young), [true, false, false]);
    assert_eq!(there(&disk, &old), [true; 3]);
    drop(disk);
    assert_eq!(files(folder.path()).len(), 6);
    // The order survives, and a smaller limit holds from the start.
    let disk = open(folder.path(), 3 * 1128);
    assert_eq!(there(&disk, &young), [false; 3]);
    assert_eq!(there(&disk, &old), [true, false, false]);
    drop(disk);
    assert_eq!(files(folder.path()).len(), 3);
    // What can never fit is not taken.
    let mut disk = open(folder.path(), 100);
    assert!(!disk.save(&old[2], &[1], vec![0; 1000]));
}

#[test]
fn a_folder_has_one_process_and_keeps_what_is_not_ours() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("notes.kv"), "mine").expect("written");
    let stale = folder.path().join("ab".repeat(32)).with_extension("part");
    fs::write(&stale, "half").expect("written");
    let disk = open(folder.path(), 0);
    assert_eq!(disk.blocks(), 0);
    assert!(!stale.exists() && folder.path().join("notes.kv").exists());
    let again = DiskPrefixes::open(folder.path(), [1; 32], 1);
    assert!(matches!(again, Err(Error::InUse { .. })));
    drop(disk);
    open(folder.path(), 0);
    let nowhere = folder.path().join("notes.kv").join("inside");
    assert!(matches!(DiskPrefixes::open(&nowhere, [1; 32], 1), Err(Error::Folder { .. })));
}
