//! Any bytes as a safetensors file: an error or a file that can be read to its end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phial_formats::{Safetensors, WeightSource};
use phial_tensor::SharedBytes;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Safetensors::from_bytes(&SharedBytes::from(bytes.to_vec()), "fuzz") else {
        return;
    };
    for info in file.tensors() {
        let tensor = file.tensor(&info.name).expect("listed tensors are there");
        assert_eq!(tensor.to_f32().len(), tensor.rows() * tensor.columns());
    }
});
