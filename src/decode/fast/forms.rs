//! What values may look like on the fast path.

use crate::contract::{Column, ColumnType, EpochUnit, TimestampForm};

/// What a column's numbers and timestamps may look like on the fast path.
#[derive(Debug, Clone, Default)]
pub(super) struct Forms {
    pub number_in_string: bool,
    /// Of a decimal: digits after the point.
    pub scale: usize,
    /// Of a decimal: what its digits are below, 10^precision.
    pub limit: u128,
    /// Of a timestamp: whether a text is tried as RFC 3339 before any pattern.
    pub rfc3339: bool,
    /// Of a timestamp: whether a number in a string is tried as an epoch before any pattern.
    pub epoch_in_string: bool,
    /// Of a timestamp: its epoch forms.
    pub epochs: Vec<EpochUnit>,
}

impl Forms {
    pub fn new(column: &Column) -> Self {
        let mut forms = Forms { number_in_string: column.number_in_string, ..Forms::default() };
        match &column.column_type {
            ColumnType::Decimal { precision, scale } => {
                forms.scale = usize::from(scale.unsigned_abs());
                forms.limit = 10_u128.checked_pow(u32::from(*precision)).unwrap_or(u128::MAX);
            }
            ColumnType::Timestamp { forms: accepted, .. } => {
                let is_pattern = |form: &TimestampForm| matches!(form, TimestampForm::Pattern(_));
                let mut before_patterns = accepted.iter().take_while(|form| !is_pattern(form));
                forms.rfc3339 = before_patterns.any(|form| *form == TimestampForm::Rfc3339);
                forms.epoch_in_string = column.number_in_string && !accepted.iter().any(is_pattern);
                forms.epochs = accepted.iter().filter_map(epoch_unit).collect();
            }
            _ => {}
        }
        forms
    }
}

fn epoch_unit(form: &TimestampForm) -> Option<EpochUnit> {
    match form {
        TimestampForm::Epoch(unit) => Some(*unit),
        TimestampForm::Rfc3339 | TimestampForm::Pattern(_) => None,
    }
}
