//! The binary: parse, run, print the error to stderr, exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashiato::cli::main(std::env::args_os())
}
