//! The keys of a column that say which values of another type it takes for its own.

use toml_span::Span;
use toml_span::de_helpers::TableHelper;
use toml_span::span::Spanned;
use toml_span::value::ValueInner;

use super::findings::{Findings, optional, wanted};
use crate::contract::{ColumnType, Mending, OnItemMismatch, Spelling, TimestampForm};

/// The keys as they stand in a column's table.
pub(super) struct MendingKeys {
    number_as_text: Option<Spanned<bool>>,
    true_values: Option<(Span, Vec<Spelling>)>,
    false_values: Option<(Span, Vec<Spelling>)>,
    on_item_mismatch: Option<Spanned<String>>,
}

impl MendingKeys {
    pub(super) fn take(table: &mut TableHelper<'_>, findings: &mut Findings<'_>) -> Self {
        MendingKeys {
            number_as_text: optional(table, "number_as_text"),
            true_values: take_spellings(table, "true_values", findings),
            false_values: take_spellings(table, "false_values", findings),
            on_item_mismatch: optional(table, "on_item_mismatch"),
        }
    }

    /// What they mean for a column of this type.
    pub(super) fn read(self, findings: &mut Findings<'_>, column_type: &ColumnType) -> Mending {
        let mut mending = Mending::default();
        if let Some(asked) = self.number_as_text {
            mending.number_as_text = asked.value;
            if asked.value {
                check_number_as_text(asked.span, findings, column_type);
            }
        }
        let mut refuse = |key: &str, span| {
            if *column_type != ColumnType::Bool {
                let message = format!("`{key}` goes with type `bool` only, found `{column_type}`");
                findings.add(span, message);
            }
        };
        if let Some((span, spellings)) = self.true_values {
            refuse("true_values", span);
            mending.true_values = spellings;
        }
        if let Some((span, spellings)) = self.false_values {
            refuse("false_values", span);
            mending.false_values = spellings;
            let both = mending.false_values.iter().find(|one| mending.true_values.contains(one));
            if let Some(both) = both {
                findings.add(span, format!("{both} stands for true as well: leave one of them"));
            }
        }
        let on_item_span = self.on_item_mismatch.as_ref().map(|word| word.span);
        let policies = [("reject", OnItemMismatch::Reject), ("drop", OnItemMismatch::Drop)];
        let policy = findings.word(self.on_item_mismatch, "a policy", &policies);
        if let (Some(span), false) = (on_item_span, matches!(column_type, ColumnType::List(_))) {
            let message =
                format!("`on_item_mismatch` goes with type `list` only, found `{column_type}`");
            findings.add(span, message);
        }
        mending.on_item_mismatch = policy.unwrap_or_default();
        mending
    }
}

fn check_number_as_text(span: Span, findings: &mut Findings<'_>, column_type: &ColumnType) {
    let is_pattern = |form: &TimestampForm| matches!(form, TimestampForm::Pattern(_));
    let fits = match column_type {
        ColumnType::String => true,
        ColumnType::Date { forms } => forms.iter().any(is_pattern),
        ColumnType::Timestamp { forms, .. } => {
            forms.iter().any(is_pattern) && !forms.iter().any(TimestampForm::is_epoch)
        }
        _ => false,
    };
    if !fits {
        let message = format!("`number_as_text` means nothing for type `{column_type}`");
        let help = "it is for strings, and for dates and timestamps by patterns alone";
        findings.add_with_help(span, message, help);
    }
}

/// An array of texts and integers.
fn take_spellings(
    table: &mut TableHelper<'_>,
    key: &'static str,
    findings: &mut Findings<'_>,
) -> Option<(Span, Vec<Spelling>)> {
    let (_, mut value) = table.take(key)?;
    let span = value.span;
    let ValueInner::Array(items) = value.take() else {
        findings.add(span, format!("`{key}`: expected an array of texts and integers"));
        return None;
    };
    let mut spellings = Vec::with_capacity(items.len());
    for mut item in items {
        match item.take() {
            ValueInner::String(text) => spellings.push(Spelling::Text(text.into_owned())),
            ValueInner::Integer(number) => spellings.push(Spelling::Integer(number)),
            other => findings.add(item.span, wanted("a text or an integer", &other)),
        }
    }
    Some((span, spellings))
}
