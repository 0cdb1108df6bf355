//! Any bytes through both decoders.

#![no_main]
// The modules are the program's own; what of them is used nowhere here is used there.
#![allow(dead_code, unused_imports, missing_docs)]

mod base;
mod both;
#[path = "../../src/contract/mod.rs"]
mod contract;
#[path = "../../src/decode/mod.rs"]
mod decode;
#[path = "../../src/json/mod.rs"]
mod json;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| both::agree(data));
