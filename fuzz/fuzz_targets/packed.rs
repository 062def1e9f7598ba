//! A file of packed weights with any table and any data, and right checksums: a refusal, or a file
//! all of whose matrices can be read.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use phial_formats::packed::{PackedFile, PackedInfo, PackedWriter, Wanted};
use phial_formats::{ModelFile, SourceStamp};
use phial_tensor::SharedBytes;

const LAYOUT: u32 = 1;
const HEADER_BYTES: usize = 4096;

/// The stamp of a model file, and the header of an empty file of its packed weights.
static SOUND: LazyLock<(SourceStamp, Vec<u8>)> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("phial-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let sound = sound(&folder);
    std::fs::remove_dir_all(&folder).expect("the folder goes");
    sound
});

fn sound(folder: &Path) -> (SourceStamp, Vec<u8>) {
    let head = br#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut model = (head.len() as u64).to_le_bytes().to_vec();
    model.extend(head);
    model.extend([0; 4]);
    let path = folder.join("model.safetensors");
    std::fs::write(&path, model).expect("a model");
    let stamp = ModelFile::open(&path).expect("a model").stamp().expect("a stamp");
    let wanted = Wanted { source: &stamp, layout: LAYOUT };
    let packed = folder.join("packed");
    PackedWriter::create(&packed, &wanted, 0).and_then(PackedWriter::finish).expect("a file");
    let bytes = std::fs::read(&packed).expect("a file");
    let header = bytes[..HEADER_BYTES].to_vec();
    (stamp, header)
}

/// The header for so much data and this table.
fn header(data: usize, table: &[u8]) -> Vec<u8> {
    let mut header = SOUND.1.clone();
    header[48..56].copy_from_slice(&(data as u64).to_le_bytes());
    header[56..64].copy_from_slice(&(table.len() as u64).to_le_bytes());
    header[64..68].copy_from_slice(&crc32fast::hash(table).to_le_bytes());
    let sum = crc32fast::hash(&header[..HEADER_BYTES - 4]);
    header[HEADER_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
    header
}

fuzz_target!(|bytes: &[u8]| {
    let wanted = Wanted { source: &SOUND.0, layout: LAYOUT };
    let Some((&data, rest)) = bytes.split_first() else { return };
    // As it comes, behind a sound header of nothing.
    let raw = [SOUND.1.as_slice(), rest].concat();
    let _ = PackedFile::from_bytes(&SharedBytes::from(raw), &wanted);

    let (data, table) = rest.split_at(rest.len().min(usize::from(data)));
    let file = [header(data.len(), table).as_slice(), data, table].concat();
    let Ok(file) = PackedFile::from_bytes(&SharedBytes::from(file), &wanted) else { return };
    for piece in 0..file.pieces() {
        let _ = file.piece_is_sound(piece);
    }
    let table: serde_json::Value = serde_json::from_slice(table).expect("it was read");
    for entry in table["matrices"].as_array().into_iter().flatten() {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| entry[name].as_u64().unwrap_or_default() as usize;
        let (name, form) = (text("name"), text("form"));
        let info =
            PackedInfo { name: &name, form: &form, rows: number("rows"), columns: number("columns") };
        let matrix = file.matrix(&info).expect("a matrix of the table");
        assert_eq!(matrix.len(), number("bytes"));
    }
});
