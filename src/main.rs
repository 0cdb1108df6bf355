//! The binary: parse, run, print the error to stderr, exit code; nothing else.

use std::process::ExitCode;

/// What one thread allocates another one frees, all day long. With the system's allocator a request
/// of the collector took a third more of a core, and the more the longer it ran.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The allocator's settings, where it looks for them: few arenas, and what is free goes back to the
/// system within half a second, for memory is bounded.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_SETTINGS: &[u8; 48] = b"narenas:2,dirty_decay_ms:500,muzzy_decay_ms:0\0\0\0";

fn main() -> ExitCode {
    ashiato::cli::main(std::env::args_os())
}
