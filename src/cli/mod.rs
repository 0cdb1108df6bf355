//! The command line: arguments, exit codes, one file a subcommand.
//!
//! stdout is for machines: the run's result is its last line. Everything else goes to stderr.

mod adopt;
mod agreement;
mod args;
mod check;
mod collect;
mod context;
mod distcp;
mod functions;
mod gc;
mod generate;
mod load;
mod output;
mod run;
mod runs;
mod signals;
mod verify;
mod visits;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use clap::error::ErrorKind;

use crate::base::clock::SystemClock;
use crate::base::environment::Environment;
use crate::base::error::{Error, Result};
use crate::base::telemetry::flush_logs;
use crate::store::Stores;

use args::{Cli, Command};

/// Parses the arguments, does what they say, and gives the exit code; a panic is a bug.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_script = arguments.get(1).is_some_and(|command| command == "distcp")
        && !arguments.iter().any(|argument| argument == "--run");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return print_usage(&error, is_script),
    };
    let done = std::panic::catch_unwind(|| do_command(cli.command)).unwrap_or_else(|_| {
        Err(Error::Bug("the program panicked; its message stands above".to_owned()))
    });
    flush_logs();
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::print_error(&error);
            fail_script(&error, is_script);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Whoever pipes a script into a shell must not take nothing for success.
fn fail_script(error: &Error, is_script: bool) {
    if is_script {
        // Nothing is left to do if stdout is gone.
        let _ = output::print_line(&format!("exit {}", error.exit_code()));
    }
}

fn do_command(command: Command) -> Result<u8> {
    let environment = Environment::new(std::env::vars_os());
    match command {
        Command::Run(args) => run::run(*args, &environment),
        Command::Publish(args) => run::publish(*args, &environment),
        Command::Runs(args) => runs::runs(&args, &environment).map(|()| 0),
        Command::Distcp(args) => distcp::distcp(&args, &environment),
        Command::Verify(args) => verify::verify(&args, &environment),
        Command::Adopt(args) => adopt::adopt(&args, &environment).map(|()| 0),
        Command::Gc(args) => gc::gc(&args, &environment).map(|()| 0),
        Command::Check(args) => check::check(&args, &environment),
        Command::Functions(args) => functions::functions(&args).map(|()| 0),
        Command::Collect(args) => collect::run(&args, &environment).map(|()| 0),
        Command::Load(args) => load::run(&args).map(|()| 0),
        Command::Visits(args) => visits::visits(&args, &environment),
        Command::Generate(args) => generate::run(&args).map(|()| 0),
    }
}

/// What this process's stores share.
fn new_stores(environment: &Environment) -> Result<Stores> {
    // Of an id, the second half is random.
    let (_, seed) = uuid::Uuid::now_v7().as_u64_pair();
    Stores::new(environment.clone(), Arc::new(SystemClock::default()), seed)
}

/// Help and version are no errors; everything else is wrong usage.
fn print_usage(error: &clap::Error, is_script: bool) -> ExitCode {
    // Nothing is left to do if the terminal is gone.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => {
            let error = Error::Usage(String::new());
            fail_script(&error, is_script);
            ExitCode::from(error.exit_code())
        }
    }
}
