//! What is written is read back; what is not finished is not there.

use std::fs;
use std::path::Path;

use phial_formats::gguf::{Array, Metadata, Value, Writer};
use phial_formats::{Error, Gguf, ModelFile, Safetensors, TensorInfo, WeightSource, safetensors};
use phial_tensor::{DType, Tensor};

fn info(name: &str, dtype: DType, shape: &[usize]) -> TensorInfo {
    TensorInfo { name: name.into(), dtype, shape: shape.into() }
}

fn bytes_of(info: &TensorInfo, fill: u8) -> Vec<u8> {
    let count = info.data_bytes().unwrap();
    (0..count).map(|index| fill.wrapping_add(index as u8)).collect()
}

fn sample() -> (Metadata, Vec<TensorInfo>) {
    let mut metadata = Metadata::default();
    metadata.set("general.architecture", "phi3");
    metadata.set("a.u8", 7_u8);
    metadata.set("a.i64", -7_i64);
    metadata.set("a.f64", Value::F64(0.5));
    metadata.set("a.bool", true);
    metadata.set("a.texts", Array::strings(["", "Ġa", "b"]));
    metadata.set("a.floats", Array::from(&[1.0_f32, -2.0][..]));
    metadata.set("a.numbers", Array::from(&[3_i32, -4][..]));
    metadata.set("a.none", Array::strings([""; 0]));
    let tensors = vec![
        info("first", DType::F32, &[3]),
        info("second", DType::Q4_K, &[2, 256]),
        info("third", DType::BF16, &[2, 2, 5]),
    ];
    (metadata, tensors)
}

fn write_sample(path: &Path) {
    let (metadata, tensors) = sample();
    let mut writer = Writer::create(path, &metadata, &tensors).unwrap();
    let second = bytes_of(&tensors[1], 2);
    writer.append("second", &second[..144]).unwrap();
    writer.append("third", &bytes_of(&tensors[2], 3)).unwrap();
    writer.append("second", &second[144..]).unwrap();
    writer.append("first", &bytes_of(&tensors[0], 1)).unwrap();
    let total_bytes = writer.total_bytes();
    writer.finish().unwrap();
    assert_eq!(fs::metadata(path).unwrap().len(), total_bytes);
}

#[test]
fn gguf_comes_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write_sample(&path);
    let (metadata, tensors) = sample();
    let file = Gguf::open(&path).unwrap();
    assert!(file.metadata().iter().eq(metadata.iter()));
    assert_eq!(file.tensors(), tensors);
    for (fill, info) in (1..).zip(&tensors) {
        assert_eq!(*file.tensor(&info.name).unwrap().bytes, bytes_of(info, fill));
    }
    assert_eq!(file.metadata().strings("a.texts").unwrap().unwrap(), ["", "Ġa", "b"]);
    assert_eq!(file.metadata().f32s("a.floats").unwrap().unwrap(), [1.0, -2.0]);
    assert_eq!(file.metadata().i32s("a.numbers").unwrap().unwrap(), [3, -4]);
    assert!(file.metadata().u32s("a.numbers").is_err(), "-4 is no u32");
    assert!(file.metadata().u64("a.i64").is_err(), "-7 is no u64");
    assert!(file.metadata().i32s("a.texts").is_err());
    let left: Vec<_> = fs::read_dir(&folder).unwrap().collect();
    assert_eq!(left.len(), 1, "no part is left");

    // A copy of the metadata with one key changed, over the file that is still mapped.
    let mut changed = file.metadata().clone();
    changed.set("a.u8", 8_u8);
    Writer::create(&path, &changed, &[]).unwrap().finish().unwrap();
    assert_eq!(Gguf::open(&path).unwrap().metadata().usize("a.u8").unwrap(), Some(8));
    assert_eq!(file.metadata().usize("a.u8").unwrap(), Some(7));
}

#[test]
fn an_unfinished_gguf_leaves_nothing_unless_it_is_to_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let part = folder.path().join("model.gguf.part");
    let (metadata, tensors) = sample();
    drop(Writer::create(&path, &metadata, &tensors).unwrap());
    assert!(!part.exists() && !path.exists());

    let mut writer = Writer::create(&path, &metadata, &tensors).unwrap();
    writer.append("second", &bytes_of(&tensors[1], 2)).unwrap();
    let rival = Writer::create(&path, &metadata, &tensors).err().unwrap().to_string();
    assert!(rival.contains("another process is writing it"), "{rival}");
    writer.keep_part(true);
    drop(writer);
    assert!(part.exists() && !path.exists());

    assert!(Writer::resume(&path, &metadata, &tensors[..2]).is_err(), "another plan");
    let mut writer = Writer::resume(&path, &metadata, &tensors).unwrap();
    writer.skip("second").unwrap();
    writer.append("third", &bytes_of(&tensors[2], 3)).unwrap();
    writer.append("first", &bytes_of(&tensors[0], 1)).unwrap();
    writer.finish().unwrap();
    let file = Gguf::open(&path).unwrap();
    assert_eq!(*file.tensor("second").unwrap().bytes, bytes_of(&tensors[1], 2));
}

#[test]
fn impossible_plans_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let check = |tensors: &[TensorInfo], expected: &str| {
        let error = Writer::create(&path, &Metadata::default(), tensors).err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(&[info("a", DType::Q4_K, &[2, 100])], "no whole blocks of q4_k");
    check(&[info("a", DType::F32, &[usize::MAX, 8])], "no whole blocks");
    check(&[info("a", DType::F32, &[0])], "none zero");
    check(&[info("a", DType::F32, &[1; 5])], "one to four");
    check(&[info(&"a".repeat(64), DType::F32, &[1])], "1 to 63 bytes");
    check(&[info("a", DType::F32, &[1]), info("a", DType::F32, &[1])], "two tensors are named `a`");

    let mut writer =
        Writer::create(&path, &Metadata::default(), &[info("a", DType::F32, &[2])]).unwrap();
    assert!(writer.append("b", &[]).is_err());
    assert!(writer.append("a", &[0; 9]).is_err());
    writer.append("a", &[0; 4]).unwrap();
    let error = writer.finish().unwrap_err().to_string();
    assert!(error.contains("tensor `a` has only 4 of its 8 bytes"), "{error}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

/// Writes part `number` of `count` with one tensor of its own.
fn write_part(folder: &Path, number: u16, count: u16, tensor: &str) {
    let mut metadata = Metadata::default();
    metadata.set("split.no", number);
    metadata.set("split.count", count);
    metadata.set("split.tensors.count", i32::from(count));
    metadata.set("general.name", "parts");
    let path = folder.join(format!("m-{:05}-of-{count:05}.gguf", number + 1));
    let tensors = [info(tensor, DType::F32, &[1])];
    let mut writer = Writer::create(path, &metadata, &tensors).unwrap();
    writer.append(tensor, &f32::from(number).to_le_bytes()).unwrap();
    writer.finish().unwrap();
}

#[test]
fn the_first_part_opens_all() {
    let folder = tempfile::tempdir().unwrap();
    let open = |number: u16| {
        Gguf::open(folder.path().join(format!("m-{number:05}-of-00003.gguf")))
            .map_err(|error| error.to_string())
    };
    write_part(folder.path(), 0, 3, "a");
    write_part(folder.path(), 1, 3, "b");
    let error = open(1).unwrap_err();
    assert!(error.contains("m-00003-of-00003.gguf: part 3 of 3 is missing"), "{error}");
    write_part(folder.path(), 2, 3, "c");
    let file = open(1).unwrap();
    assert_eq!(file.tensors().len(), 3);
    assert_eq!(file.tensor("c").unwrap().to_f32(), [2.0]);
    assert_eq!(file.metadata().iter().count(), 1, "keys of the split are gone");
    assert!(open(2).unwrap_err().contains("this is part 2 of 3, open the first part"));
    assert!(matches!(ModelFile::open(folder.path()).unwrap(), ModelFile::Gguf(_)));
    write_part(folder.path(), 2, 3, "a");
    assert!(open(1).unwrap_err().contains("tensor `a`: is in an earlier part too"));
}

fn tensor(dtype: DType, shape: &[usize]) -> Tensor {
    let bytes = bytes_of(&info("", dtype, shape), 9);
    Tensor { dtype, shape: shape.into(), bytes: bytes.into() }
}

#[test]
fn safetensors_come_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let narrow = tensor(DType::BF16, &[3, 5]);
    let wide = tensor(DType::F32, &[2]);
    let (scalar, none) = (tensor(DType::F16, &[]), tensor(DType::F32, &[4, 0]));
    let all = [("narrow", &narrow), ("wide", &wide), ("scalar", &scalar), ("none", &none)];
    safetensors::write(&path, &[("format", "pt")], &all).unwrap();
    let file = Safetensors::open(folder.path()).unwrap();
    assert_eq!(file.metadata(), [("format".to_owned(), "pt".to_owned())]);
    assert_eq!(file.tensors().len(), 4);
    for (name, expected) in all {
        let found = file.tensor(name).unwrap();
        assert_eq!((found.dtype, &found.shape), (expected.dtype, &expected.shape));
        assert_eq!(*found.bytes, *expected.bytes);
    }

    let bytes = fs::read(&path).unwrap();
    let length = safetensors::header_bytes(&bytes[..8], "shard").unwrap();
    let header = safetensors::header_of(&bytes[..length], "shard").unwrap();
    assert_eq!(header.file_bytes, bytes.len());
    let entry = header.tensors.iter().find(|entry| entry.info.name == "narrow").unwrap();
    assert_eq!(bytes[entry.range.clone()], *narrow.bytes);

    let quantised = tensor(DType::Q8_0, &[32]);
    let error = safetensors::write(&path, &[], &[("a", &quantised)]).unwrap_err();
    assert!(matches!(error, Error::Plan { .. }), "{error}");
}
