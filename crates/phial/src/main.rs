//! phial
fn main() {}
