//! Damaged and hostile files give errors: no panic, no large allocation, no endless loop.

use std::fs;
use std::path::Path;

use phial_formats::gguf::{Array, Metadata, Writer};
use phial_formats::{Gguf, ModelFile, Safetensors, TensorInfo, WeightSource, safetensors};
use phial_tensor::{DType, SharedBytes, Tensor};
use proptest::prelude::*;

/// Reads everything there is to read, so that no check is put off.
fn read_gguf(bytes: &[u8]) -> Result<(), String> {
    let shared = SharedBytes::from(bytes.to_vec());
    let file = Gguf::from_bytes(&shared, "f.gguf").map_err(|error| error.to_string())?;
    for info in file.tensors() {
        let tensor = file.tensor(&info.name).unwrap();
        assert_eq!(tensor.to_f32().len(), tensor.rows() * tensor.columns());
    }
    for (key, _) in file.metadata().iter() {
        let _ = (file.metadata().strings(key), file.metadata().f32s(key));
        let _ = (file.metadata().i32s(key), file.metadata().u64(key));
    }
    Ok(())
}

fn read_safetensors(bytes: &[u8]) -> Result<(), String> {
    let shared = SharedBytes::from(bytes.to_vec());
    let file = Safetensors::from_bytes(&shared, "f").map_err(|error| error.to_string())?;
    for info in file.tensors() {
        let tensor = file.tensor(&info.name).unwrap();
        assert_eq!(tensor.to_f32().len(), tensor.rows() * tensor.columns());
    }
    Ok(())
}

fn good_gguf() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.gguf");
    let mut metadata = Metadata::default();
    metadata.set("k.s", "text");
    metadata.set("k.b", true);
    metadata.set("k.strings", Array::strings(["a", "bc"]));
    metadata.set("k.floats", Array::from(&[1.0_f32, 2.0][..]));
    let info = |name: &str, dtype, shape: &[usize]| TensorInfo {
        name: name.into(),
        dtype,
        shape: shape.into(),
    };
    let tensors = [info("a", DType::Q8_0, &[2, 32]), info("b", DType::F32, &[8])];
    let mut writer = Writer::create(&path, &metadata, &tensors).unwrap();
    writer.append("a", &[1; 68]).unwrap();
    writer.append("b", &[0; 32]).unwrap();
    writer.finish().unwrap();
    fs::read(path).unwrap()
}

fn good_safetensors() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.safetensors");
    let a = Tensor { dtype: DType::F16, shape: vec![2, 3], bytes: vec![1; 12].into() };
    let b = Tensor { dtype: DType::F32, shape: vec![2], bytes: vec![2; 8].into() };
    safetensors::write(&path, &[("format", "pt")], &[("a", &a), ("b", &b)]).unwrap();
    fs::read(path).unwrap()
}

#[test]
fn every_truncation_is_an_error() {
    let gguf = good_gguf();
    read_gguf(&gguf).unwrap();
    let safetensors = good_safetensors();
    read_safetensors(&safetensors).unwrap();
    for end in 0..gguf.len() {
        assert!(read_gguf(&gguf[..end]).is_err(), "GGUF cut at {end}");
    }
    for end in 0..safetensors.len() {
        assert!(read_safetensors(&safetensors[..end]).is_err(), "safetensors cut at {end}");
    }
}

#[test]
fn no_flipped_bit_and_no_replaced_byte_panics() {
    for (good, read) in [
        (good_gguf(), read_gguf as fn(&[u8]) -> Result<(), String>),
        (good_safetensors(), read_safetensors),
    ] {
        for at in 0..good.len() {
            let mut bad = good.clone();
            for change in [1, 2, 4, 8, 16, 32, 64, 128, 0xFF] {
                bad[at] = good[at] ^ change;
                let _ = read(&bad);
            }
        }
        for at in 0..good.len() - 8 {
            for value in [0, 1, u64::MAX, u64::MAX / 2, 1 << 32, (1 << 63) + 1] {
                let mut bad = good.clone();
                bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
                let _ = read(&bad);
            }
        }
    }
}

/// The start of a GGUF file, for tests that write the rest by hand.
fn gguf_header(version: u32, tensors: u64, keys: u64) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(version.to_le_bytes());
    bytes.extend(tensors.to_le_bytes());
    bytes.extend(keys.to_le_bytes());
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

fn put_tensor(bytes: &mut Vec<u8>, name: &str, sizes: &[u64], type_id: u32, offset: u64) {
    put_text(bytes, name);
    bytes.extend((sizes.len() as u32).to_le_bytes());
    for size in sizes {
        bytes.extend(size.to_le_bytes());
    }
    bytes.extend(type_id.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
}

#[test]
fn gguf_headers_that_lie_are_named() {
    let check = |bytes: &[u8], expected: &str| {
        let error = read_gguf(bytes).unwrap_err();
        assert!(error.contains(expected), "{error:?} should hold {expected:?}");
    };
    check(b"", "`magic` needs 4 bytes");
    check(b"GGML1234", "does not start with GGUF");
    check(&gguf_header(1, 0, 0), "version 1 is too old");
    check(&gguf_header(3_u32.swap_bytes(), 0, 0), "big-endian");
    check(&gguf_header(4, 0, 0), "version 4 is not known");
    check(&gguf_header(3, u64::MAX, 0), "too many");
    check(&gguf_header(3, 0, u64::MAX), "too many");
    check(&gguf_header(3, 1 << 20, 0), "needs 8 bytes");

    let keys = |keys: &[(&str, u32, &[u8])]| {
        let mut bytes = gguf_header(3, 0, keys.len() as u64);
        for (key, id, value) in keys {
            put_text(&mut bytes, key);
            bytes.extend(id.to_le_bytes());
            bytes.extend(*value);
        }
        bytes
    };
    check(&keys(&[("k", 0, &[1]), ("k", 0, &[2])]), "metadata key `k` appears twice");
    check(&keys(&[("", 0, &[1])]), "an empty metadata key");
    check(&keys(&[("k", 13, &[1])]), "value type 13");
    check(&keys(&[("k", 7, &[2])]), "neither true nor false");
    check(&keys(&[("k", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xFF])]), "`k` is not UTF-8");
    check(&keys(&[("k", 8, &u64::MAX.to_le_bytes())]), "and the file has 0 left");
    let mut huge = vec![6, 0, 0, 0];
    huge.extend((u64::MAX / 4 + 2).to_le_bytes());
    check(&keys(&[("k", 9, &huge)]), "and the file has 0 left");
    huge[0] = 8;
    check(&keys(&[("k", 9, &huge)]), "needs 8 bytes");
    // Arrays inside arrays, many deep: refused at the first.
    check(&keys(&[("k", 9, &[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0].repeat(9))]), "arrays inside");
    check(&keys(&[("general.alignment", 4, &[24, 0, 0, 0])]), "24 is not a power of two");
    check(&keys(&[("general.alignment", 4, &[0, 0, 0, 0])]), "0 is not a power of two");
    check(&keys(&[("general.alignment", 8, &[0; 8])]), "holds a string");
    check(&keys(&[("split.count", 2, &[2, 0])]), "one part of a model");

    let tensors = |tensors: &[(&str, &[u64], u32, u64)]| {
        let mut bytes = gguf_header(3, tensors.len() as u64, 0);
        for (name, sizes, type_id, offset) in tensors {
            put_tensor(&mut bytes, name, sizes, *type_id, *offset);
        }
        bytes.resize(bytes.len().next_multiple_of(32) + 64, 0);
        bytes
    };
    read_gguf(&tensors(&[("t", &[8], 0, 0), ("u", &[8], 0, 32)])).unwrap();
    check(&tensors(&[("t", &[8], 0, 0), ("t", &[8], 0, 32)]), "tensor `t`: appears twice");
    check(&tensors(&[("t", &[9], 0, 0), ("u", &[7], 0, 32)]), "shares bytes with tensor `t`");
    check(&tensors(&[("t", &[8], 0, 64)]), "behind the end of the file");
    check(&tensors(&[("t", &[8], 0, u64::MAX - 31)]), "not possible");
    check(&tensors(&[("t", &[8], 0, 8)]), "offset 8 is not possible");
    check(&tensors(&[("t", &[1 << 62, 1 << 62], 0, 0)]), "no whole blocks");
    check(&tensors(&[("t", &[u64::MAX], 0, 0)]), "no whole blocks");
    check(&tensors(&[("t", &[0, 8], 0, 0)]), "a size out of range");
    check(&tensors(&[("t", &[1; 5], 0, 0)]), "5 dimensions");
    check(&tensors(&[("t", &[33], 8, 0)]), "no whole blocks of q8_0");
    check(&tensors(&[("t", &[256], 16, 0)]), "tensor `t`: IQ2_XXS (type 16) is not supported");
    check(&tensors(&[("t", &[8], 999, 0)]), "type 999 is not supported");
}

fn safetensors_with(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data_bytes, 0);
    bytes
}

#[test]
fn safetensors_headers_that_lie_are_named() {
    let check = |header: &str, expected: &str| {
        let error = read_safetensors(&safetensors_with(header, 8)).unwrap_err();
        assert!(error.contains(expected), "{error:?} should hold {expected:?}");
    };
    let entry = |name: &str, dtype: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!("{{{}}}", entry("t", dtype, shape, offsets))
    };
    check("", "EOF");
    check("[]", "an object of tensors");
    check("{}", "the file has");
    check(&"[".repeat(100_000), "an object of tensors");
    check(&format!(r#"{{"t":{}"#, r#"{"a":"#.repeat(100_000)), "header");
    check(r#"{"t":{"dtype":"F32"}}"#, "missing field");
    check(&one("F8_E4M3", "[8]", "[0,8]"), "tensor `t`: type F8_E4M3 is not supported");
    check(&one("F32", "[3]", "[0,8]"), "do not fit the shape");
    check(&one("F32", "[2]", "[8,0]"), "not possible");
    check(&one("F32", "[-2]", "[0,8]"), "invalid value");
    check(&one("F32", "[4]", "[0,16]"), "the file has");
    check(&one("F32", "[1]", "[4,8]"), "starts at byte");
    check(&one("F32", "[4611686018427387904]", "[0,0]"), "do not fit");
    check(&one("I64", "[4611686018427387904,4]", "[0,0]"), "do not fit");
    check(&one("F32", "[0,18446744073709551615,18446744073709551615]", "[0,0]"), "do not fit");
    check(&one("F32", "[2]", "[18446744073709551607,18446744073709551615]"), "not possible");
    let pair = |first: &str, second: &str| format!("{{{first},{second}}}");
    let t = entry("t", "F32", "[1]", "[0,4]");
    check(&pair(&t, &entry("t", "F32", "[1]", "[4,8]")), "`t` appears twice");
    check(&pair(&t, &entry("u", "F32", "[1]", "[0,4]")), "starts at byte");
    check(&pair(&t, &entry("u", "F16", "[3]", "[2,8]")), "starts at byte");
    read_safetensors(&safetensors_with(&pair(&t, &entry("u", "I32", "[1]", "[4,8]")), 8)).unwrap();

    let too_long = read_safetensors(&200_000_000_u64.to_le_bytes()).unwrap_err();
    assert!(too_long.contains("over the limit"), "{too_long}");
}

#[test]
fn an_index_that_lies_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors.index.json");
    fs::write(folder.path().join("one.safetensors"), good_safetensors()).unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let open = |index: &str| {
        fs::write(&path, index).unwrap();
        Safetensors::open(folder.path()).map_err(|error| error.to_string())
    };
    let map =
        |entries: &str| format!(r#"{{"metadata":{{"total_size":9}},"weight_map":{entries}}}"#);
    let file = open(&map(r#"{"a":"one.safetensors"}"#)).unwrap();
    assert_eq!(file.tensors().len(), 1, "only what the index names");
    for (entries, expected) in [
        (r#"{"a":"../one.safetensors"}"#, "is not a file in the folder"),
        (r#"{"a":"sub/../../one.safetensors"}"#, "is not a file in the folder"),
        (r#"{"a":"/absolute.safetensors"}"#, "is not a file in the folder"),
        (r#"{"a":"..\\one.safetensors"}"#, "is not a file in the folder"),
        (r#"{"a":""}"#, "is not a file in the folder"),
        (r#"{"a":"sub"}"#, "not there"),
        (r#"{"a":"two.safetensors"}"#, "`two.safetensors` is named in the index but not there"),
        (r#"{"a":"one.safetensors","a":"one.safetensors"}"#, "tensor `a`: appears twice"),
        (r#"{"z":"one.safetensors"}"#, "tensor `z`: is in the index but not in this file"),
        ("{}", "names 0 files"),
        ("7", "an object of strings"),
    ] {
        let error = open(&map(entries)).unwrap_err();
        assert!(error.contains(expected), "{entries}: {error}");
    }
    assert!(open("").is_err());
}

#[test]
fn model_file_says_what_is_there_instead() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &Path, expected: &str| {
        let error = ModelFile::open(path).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    };
    check(folder.path(), "download the weights into it");
    check(&folder.path().join("absent"), "cannot open");
    for (name, start, expected) in [
        ("empty.gguf", &b""[..], "the file is empty"),
        ("pytorch_model.bin", b"PK\x03\x04....", "PyTorch checkpoint"),
        ("old.pt", b"\x80\x02.......", "PyTorch checkpoint"),
        ("pointer.gguf", b"version https://git-lfs", "git lfs pull"),
        ("old.bin", b"tjgg........", "before GGUF"),
        ("page.html", b"<!doctype html>", "neither a GGUF nor"),
        ("short.safetensors", b"abc", "fewer than 8 bytes"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, start).unwrap();
        check(&path, expected);
    }
    fs::remove_file(folder.path().join("short.safetensors")).unwrap();
    fs::remove_file(folder.path().join("pointer.gguf")).unwrap();
    fs::remove_file(folder.path().join("empty.gguf")).unwrap();
    check(folder.path(), "PyTorch checkpoint");
    fs::write(folder.path().join("x.gguf"), good_gguf()).unwrap();
    ModelFile::open(folder.path()).unwrap();
    fs::write(folder.path().join("y.gguf"), good_gguf()).unwrap();
    check(folder.path(), "2 GGUF models");
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = read_gguf(&bytes);
        let _ = read_safetensors(&bytes);
        let mut header = gguf_header(3, u64::from(bytes.len() as u8 % 4), 2);
        header.extend(&bytes);
        let _ = read_gguf(&header);
        let _ = read_safetensors(&safetensors_with(&String::from_utf8_lossy(&bytes), 16));
    }

    #[test]
    fn several_changed_bytes_do_not_panic(
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..12),
    ) {
        let (mut gguf, mut safetensors) = (good_gguf(), good_safetensors());
        for (at, byte) in changes {
            let (one, other) = (at % gguf.len(), at % safetensors.len());
            gguf[one] = byte;
            safetensors[other] = byte;
        }
        let _ = read_gguf(&gguf);
        let _ = read_safetensors(&safetensors);
    }
}
