//! Keys of `pipeline.toml` that stand without an effect: each is refused.

use std::collections::BTreeSet;

use toml_span::Spanned;

use super::{Expectation, Format};
use crate::base::config::section::Findings;

/// A list of columns in which one stands twice.
pub(super) fn refuse_repeated(key: &str, columns: &[Spanned<String>], found: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for column in columns {
        if !seen.insert(column.value.as_str()) {
            found.at(column.span, format!("`{key}`: column `{}` stands twice", column.value));
        }
    }
}

/// Options of a format that the output does not have.
pub(super) fn refuse_options_without_format(
    options: [(&str, bool); 2],
    formats: &[Format],
    span: toml_span::Span,
    found: &mut Findings<'_>,
) {
    for (name, stands) in options {
        if stands && !formats.iter().any(|format| format.name() == name) {
            let message = format!(
                "`[output.{name}]` has no effect: `formats` has no `{name}`; add it there, or \
                 leave the table out"
            );
            found.at(span, message);
        }
    }
}

/// Expectations are told apart by their names in results and in the quarantine.
pub(super) fn refuse_expectations_of_one_name(
    expectations: &[Expectation],
    found: &mut Findings<'_>,
) {
    let mut seen = BTreeSet::new();
    for expectation in expectations {
        if !seen.insert(expectation.name.as_str()) {
            let (line, column) = expectation.place;
            let message = format!("expectation `{}` is defined twice", expectation.name);
            let diagnostic = crate::base::error::Diagnostic::new(message);
            found.diagnostics.push(diagnostic.in_file(&found.file.path).at(line, column));
        }
    }
}
