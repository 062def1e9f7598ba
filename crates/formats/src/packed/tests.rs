use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;

use super::header::HEADER_BYTES;
use super::*;
use crate::source_file::SourceFile;

const LAYOUT: u32 = 3;

/// A model file and a folder for what is packed from it.
struct Place {
    folder: TempDir,
    stamp: SourceStamp,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("model");
        fs::write(&source, "weights").unwrap();
        let stamp = SourceStamp::of(&[SourceFile::map(&source).unwrap()]);
        Self { folder, stamp }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { source: &self.stamp, layout: LAYOUT }
    }

    fn packed(&self) -> PathBuf {
        self.folder.path().join("packed")
    }

    fn path(&self) -> PathBuf {
        self.wanted().path(&self.packed())
    }

    fn write(&self, matrices: &[(PackedInfo, Vec<u8>)]) {
        let mut writer = PackedWriter::create(&self.path(), &self.wanted(), 0).unwrap();
        for (info, bytes) in matrices {
            assert_eq!(*writer.append(info, bytes).unwrap(), bytes[..]);
        }
        writer.finish().unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.packed()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn info(name: &str, rows: usize) -> PackedInfo<'_> {
    PackedInfo { name, form: "byte", rows, columns: 7 }
}

fn small() -> Vec<(PackedInfo<'static>, Vec<u8>)> {
    vec![(info("a", 1), vec![1; 100]), (info("b", 2), vec![]), (info("c", 3), (0..=255).collect())]
}

/// Reads everything there is to read.
fn read(bytes: &[u8], wanted: &Wanted) -> Result<(), Refusal> {
    let file = PackedFile::from_bytes(&SharedBytes::from(bytes.to_vec()), wanted)?;
    for entry in file.entries.values() {
        assert_eq!(file.matrix(&entry.info()).unwrap().len(), entry.bytes);
    }
    match (0..file.pieces()).all(|piece| file.piece_is_sound(piece)) {
        true => Ok(()),
        false => Err(Refusal::Damaged("data".into())),
    }
}

#[test]
fn what_was_written_is_read() {
    let place = Place::new();
    let large: Vec<u8> = (0..2 * PIECE_BYTES + 777).map(|index| (index % 251) as u8).collect();
    let whole = vec![5; PIECE_BYTES];
    for last in [small(), vec![(info("d", 4), large.clone())]] {
        let mut matrices = vec![(info("whole", 9), whole.clone()), (info("x", 4), large.clone())];
        matrices.extend(last);
        // The second time over the first file.
        place.write(&matrices);
        let file = PackedFile::open(&place.path(), &place.wanted()).unwrap();
        assert!(file.pieces() >= 4 && (0..file.pieces()).all(|piece| file.piece_is_sound(piece)));
        for (info, bytes) in &matrices {
            let found = file.matrix(info).unwrap();
            assert!(*found == bytes[..], "{info:?}");
            assert!(bytes.is_empty() || found.as_ptr().addr().is_multiple_of(ALIGNMENT));
        }
        let x = matrices[1].0.clone();
        assert!(file.matrix(&PackedInfo { name: "y", ..x.clone() }).is_none());
        assert!(file.matrix(&PackedInfo { form: "nibble", ..x.clone() }).is_none());
        assert!(file.matrix(&PackedInfo { rows: 5, ..x.clone() }).is_none());
        assert!(file.matrix(&PackedInfo { columns: 6, ..x }).is_none());
    }
    assert_eq!(place.names().len(), 1);
}

#[test]
fn no_damage_goes_unseen() {
    let place = Place::new();
    place.write(&small());
    let good = fs::read(place.path()).unwrap();
    read(&good, &place.wanted()).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        let refusal = read(&bad, &place.wanted()).unwrap_err();
        // Nobody can tell a damaged version from another one.
        let is_version = (8..12).contains(&at);
        assert_eq!(refusal == Refusal::Outdated, is_version, "byte {at}: {refusal:?}");
    }
    for end in 0..good.len() {
        let refusal = read(&good[..end], &place.wanted()).unwrap_err();
        assert!(matches!(refusal, Refusal::Damaged(_)), "cut at {end}: {refusal:?}");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(matches!(read(&longer, &place.wanted()), Err(Refusal::Damaged(_))));
    // What a crash may leave of a file that was renamed: its length, and zeros.
    assert!(matches!(read(&vec![0; good.len()], &place.wanted()), Err(Refusal::Damaged(_))));
}

#[test]
fn other_sources_and_layouts_are_outdated() {
    let (place, other) = (Place::new(), Place::new());
    place.write(&small());
    let open = |wanted: &Wanted| PackedFile::open(&place.path(), wanted).map(|_| ());
    assert_eq!(open(&place.wanted()), Ok(()));
    let layout = Wanted { layout: LAYOUT + 1, ..place.wanted() };
    assert_eq!(open(&layout), Err(Refusal::Outdated));
    fs::write(other.folder.path().join("model"), "other weights").unwrap();
    let source = SourceFile::map(&other.folder.path().join("model")).unwrap();
    let stamp = SourceStamp::of(&[source]);
    assert_eq!(open(&Wanted { source: &stamp, layout: LAYOUT }), Err(Refusal::Outdated));
    let nowhere = PackedFile::open(&place.packed().join("no"), &place.wanted());
    assert_eq!(nowhere.map(|_| ()), Err(Refusal::Absent));
    let folder = PackedFile::open(&place.packed(), &place.wanted()).map(|_| ());
    assert!(matches!(folder, Err(Refusal::Damaged(_))), "{folder:?}");
}

/// A file whose checksums are right and whose header and table say what they like.
fn forged(place: &Place, data: &[u8], table: &str, sizes: Option<(u64, u64)>) -> Vec<u8> {
    let (data_bytes, table_bytes) = sizes.unwrap_or((data.len() as u64, table.len() as u64));
    let header = Header {
        layout: LAYOUT,
        source: *place.stamp.content(),
        data_bytes,
        table_bytes,
        table_sum: crc32fast::hash(table.as_bytes()),
    };
    [&header.to_bytes()[..], data, table.as_bytes()].concat()
}

#[test]
fn lies_with_right_checksums_are_refused() {
    let place = Place::new();
    let sum = crc32fast::hash(&[7; 128]);
    let table = |entries: &str, sums: &str| {
        format!(r#"{{"source":[],"matrices":[{entries}],"sums":[{sums}]}}"#)
    };
    let entry = |start: u128, bytes: u128| {
        format!(r#"{{"name":"a","form":"f","rows":1,"columns":1,"start":{start},"bytes":{bytes}}}"#)
    };
    let max = u128::from(u64::MAX);
    let good = table(&entry(64, 64), &sum.to_string());
    read(&forged(&place, &[7; 128], &good, None), &place.wanted()).unwrap();
    for bad in [
        table(&entry(64, 65), &sum.to_string()),
        table(&entry(63, 1), &sum.to_string()),
        table(&entry(max - 63, 64), &sum.to_string()),
        table(&entry(0, max), &sum.to_string()),
        table(&entry(0, max + 1), &sum.to_string()),
        table(&format!("{},{}", entry(0, 1), entry(0, 1)), &sum.to_string()),
        table(&entry(0, 1), ""),
        table(&entry(0, 1), &format!("{sum},{sum}")),
        "[".repeat(100_000),
        String::new(),
    ] {
        let refusal = read(&forged(&place, &[7; 128], &bad, None), &place.wanted());
        assert!(matches!(refusal, Err(Refusal::Damaged(_))), "{refusal:?}: {bad:.200}");
    }
    let len = good.len() as u64;
    for sizes in [(u64::MAX, len), (128, u64::MAX), (u64::MAX - 4095, len), (0, 0), (127, len)] {
        let refusal = read(&forged(&place, &[7; 128], &good, Some(sizes)), &place.wanted());
        assert!(matches!(refusal, Err(Refusal::Damaged(_))), "{sizes:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        data in prop::collection::vec(any::<u8>(), 0..300),
        table in ".{0,300}",
        at in 0..HEADER_BYTES,
        byte: u8,
    ) {
        let place = Place::new();
        let mut bytes = forged(&place, &data, &table, None);
        let _ = read(&bytes, &place.wanted());
        bytes[at] = byte;
        let _ = read(&bytes, &place.wanted());
    }
}

#[test]
fn one_writer_at_a_time_and_nothing_by_halves() {
    let place = Place::new();
    let mut first = PackedWriter::create(&place.path(), &place.wanted(), 0).unwrap();
    first.append(&info("a", 1), &[1; 100]).unwrap();
    let second = PackedWriter::create(&place.path(), &place.wanted(), 0).map(|_| ());
    assert!(matches!(second, Err(Error::Busy { .. })), "{second:?}");
    assert!(!place.path().exists());
    drop(first);
    assert_eq!(place.names(), [""; 0]);
    // An empty folder in the place gives way, a full one does not.
    fs::create_dir(place.path()).unwrap();
    place.write(&small());
    fs::remove_file(place.path()).unwrap();
    fs::create_dir_all(place.path().join("something")).unwrap();
    let writer = PackedWriter::create(&place.path(), &place.wanted(), 0).unwrap();
    writer.finish().unwrap_err();
    assert!(place.path().join("something").is_dir());
    assert_eq!(place.names().len(), 1);
}

#[test]
fn what_is_of_no_use_is_swept() {
    let place = Place::new();
    place.write(&small());
    let name = place.names().remove(0);
    let put = |name: String, bytes: &[u8]| fs::write(place.packed().join(name), bytes).unwrap();
    let digits = "0123456789abcdef".repeat(2);
    put(format!("{digits}.phialpack"), b"broken");
    put(format!("{name}.part"), b"left behind");
    put("notes.phialpack".into(), b"somebody else's");
    put("notes.part".into(), b"somebody else's");
    fs::create_dir(place.packed().join("f".repeat(32) + ".phialpack")).unwrap();
    assert_eq!(sweep(&place.packed()), 2);
    assert_eq!(place.names().len(), 4, "{:?}", place.names());
    assert!(place.path().exists());
    // A part that is being written stays, and so does what was packed from files that are there.
    let writer = PackedWriter::create(&place.path(), &place.wanted(), 0).unwrap();
    assert_eq!(sweep(&place.packed()), 0);
    writer.finish().unwrap();
    fs::remove_file(place.folder.path().join("model")).unwrap();
    assert_eq!(sweep(&place.packed()), 1);
    assert!(!place.path().exists());
    assert_eq!(sweep(&place.folder.path().join("nowhere")), 0);
}

#[test]
fn a_file_that_the_disk_has_no_room_for_is_not_begun() {
    let place = Place::new();
    let refused = PackedWriter::create(&place.path(), &place.wanted(), 1 << 60).map(|_| ());
    assert!(matches!(refused, Err(Error::Room { .. })), "{refused:?}");
    assert_eq!(place.names(), [""; 0]);
}
