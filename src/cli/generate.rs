//! `ashiato generate`: synthetic action logs.

use super::output::print_json;
use crate::base::error::Result;
use crate::tools::generate::{GenerateArgs, generate};

/// Writes the logs, and prints what was written.
pub fn run(args: &GenerateArgs) -> Result<()> {
    print_json(&generate(args)?)
}
