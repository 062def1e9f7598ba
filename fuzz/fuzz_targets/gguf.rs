//! Any bytes as a GGUF file: an error or a file that can be read to its end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phial_formats::{Gguf, WeightSource};
use phial_tensor::SharedBytes;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Gguf::from_bytes(&SharedBytes::from(bytes.to_vec()), "fuzz") else {
        return;
    };
    for info in file.tensors() {
        let tensor = file.tensor(&info.name).expect("listed tensors are there");
        assert_eq!(tensor.to_f32().len(), tensor.rows() * tensor.columns());
    }
    for (key, _) in file.metadata().iter() {
        let _ = (file.metadata().strings(key), file.metadata().f32s(key));
        let _ = (file.metadata().i32s(key), file.metadata().u64(key));
    }
});
