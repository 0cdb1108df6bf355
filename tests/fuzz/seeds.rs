//! The seeds through both decoders: for Miri, which is too slow for more, and for all choices.

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

fn main() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/seeds");
    for seed in std::fs::read_dir(folder).expect("the seeds") {
        let path = seed.expect("a seed").path();
        let text = std::fs::read(&path).expect("a seed");
        // Seven steps over the product of 5 contracts, 3 CPUs and 2 kinds meet each of them.
        let every = if cfg!(miri) { 7 } else { 1 };
        for choice in both::Choice::all(2).step_by(every) {
            both::agree_on(choice, &text[2..]);
        }
        println!("{}: both agree", path.display());
    }
    println!("CPUs: {:?}", json::scan::Cpu::available());
}
