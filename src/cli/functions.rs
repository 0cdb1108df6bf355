//! `ashiato functions`: what the SQL functions are.

use super::args::FunctionsArgs;
use super::output;
use crate::base::error::{Error, Result};
use crate::udf;

/// Prints the functions' documentation as text, JSON or Markdown.
///
/// # Errors
/// `Error::Usage` if no function has such a name.
pub(super) fn functions(args: &FunctionsArgs) -> Result<()> {
    let all = udf::docs();
    let wanted = args.name.as_deref().unwrap_or_default();
    let found: Vec<_> = all.iter().filter(|doc| doc.name.contains(wanted)).collect();
    if found.is_empty() {
        let names = all.iter().map(|doc| doc.name);
        let help = crate::base::config::suggestion(wanted, names);
        return Err(Error::Usage(format!("no function `{wanted}`; {help}")));
    }
    if args.json {
        return output::print_json(&found);
    }
    if args.markdown {
        let sections: Vec<String> = found.iter().map(|doc| doc.to_markdown()).collect();
        return output::print_line(&sections.join("\n"));
    }
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    output::print_line(&text.join("\n\n"))
}
