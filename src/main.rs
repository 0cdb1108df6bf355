//! The binary: parse, run, print the error to stderr, exit code; nothing else.

use std::process::ExitCode;

/// What one thread allocates another one frees, all day: the system's allocator locks for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ashiato::cli::main(std::env::args_os())
}
