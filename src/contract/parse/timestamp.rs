//! The keys of timestamp and date columns: `formats` and `assumed_time_zone`.

use chrono_tz::Tz;
use toml_span::Span;
use toml_span::de_helpers::TableHelper;
use toml_span::span::Spanned;

use super::findings::{Findings, optional};
use crate::base::config::suggestion;
use crate::base::config::time_zone::parse_time_zone;
use crate::contract::coerce::{Pattern, Wanted};
use crate::contract::{ColumnType, EpochUnit, TimestampForm};

/// Names of forms that are no pattern; a date has only the first.
const FORMS: [(&str, TimestampForm); 5] = [
    ("rfc3339", TimestampForm::Rfc3339),
    ("epoch_s", TimestampForm::Epoch(EpochUnit::Second)),
    ("epoch_ms", TimestampForm::Epoch(EpochUnit::Millisecond)),
    ("epoch_us", TimestampForm::Epoch(EpochUnit::Microsecond)),
    ("epoch_ns", TimestampForm::Epoch(EpochUnit::Nanosecond)),
];

/// The keys as they stand in a column's table.
pub(super) struct TimestampKeys {
    formats: Option<Spanned<Vec<Spanned<String>>>>,
    assumed_time_zone: Option<Spanned<String>>,
}

impl TimestampKeys {
    pub(super) fn take(table: &mut TableHelper<'_>) -> Self {
        TimestampKeys {
            formats: optional(table, "formats"),
            assumed_time_zone: optional(table, "assumed_time_zone"),
        }
    }

    /// Finds fault with the keys on a column of another type.
    pub(super) fn refuse(&self, findings: &mut Findings<'_>, column_type: &str) {
        if let Some(formats) = &self.formats {
            let types = "types `timestamp` and `date`";
            let message = format!("`formats` goes with {types} only, found `{column_type}`");
            findings.add(formats.span, message);
        }
        self.refuse_zone(findings, column_type);
    }

    fn refuse_zone(&self, findings: &mut Findings<'_>, column_type: &str) {
        if let Some(zone) = &self.assumed_time_zone {
            let message = format!(
                "`assumed_time_zone` goes with type `timestamp` only, found `{column_type}`"
            );
            findings.add(zone.span, message);
        }
    }
}

/// The date type that the keys tell; none if one of them is wrong.
pub(super) fn read_date(keys: TimestampKeys, findings: &mut Findings<'_>) -> Option<ColumnType> {
    keys.refuse_zone(findings, "date");
    let forms = read_forms(keys.formats, Wanted::Date, findings)?;
    check_reach(&forms, false, findings);
    Some(ColumnType::Date { forms: forms.into_iter().map(|form| form.form).collect() })
}

/// The timestamp type that the keys tell; none if one of them is wrong.
pub(super) fn read_timestamp(
    keys: TimestampKeys,
    number_in_string: bool,
    findings: &mut Findings<'_>,
) -> Option<ColumnType> {
    let zone_span = keys.assumed_time_zone.as_ref().map(|zone| zone.span);
    let zone = keys.assumed_time_zone.map(|zone| read_zone(&zone, findings));
    let forms = read_forms(keys.formats, Wanted::Timestamp, findings)?;
    check_reach(&forms, number_in_string, findings);
    if zone_span.is_none() {
        let mut local = forms.iter().filter(|form| !form.names_offset());
        if let Some(form) = local.find(|form| form.pattern.is_some()) {
            let message = format!("pattern `{}` names no offset", form.form);
            let help = "add `%z` to it, or an `assumed_time_zone` to the column";
            findings.add_with_help(form.span?, message, help);
            return None;
        }
    }
    if let Some(span) = zone_span.filter(|_| !forms.iter().any(Form::heeds_assumed_zone)) {
        findings.add(span, "`assumed_time_zone` means nothing: every form names its offset");
    }
    let assumed_zone = match zone {
        None => None,
        Some(zone) => Some(zone?),
    };
    let forms = forms.into_iter().map(|form| form.form).collect();
    Some(ColumnType::Timestamp { forms, assumed_zone })
}

/// A form of the list, with its place.
struct Form {
    form: TimestampForm,
    pattern: Option<Pattern>,
    span: Option<Span>,
}

impl Form {
    fn names_offset(&self) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.names_offset(),
            None => self.form.is_epoch(),
        }
    }

    fn heeds_assumed_zone(&self) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.heeds_assumed_zone(),
            None => !self.form.is_epoch(),
        }
    }

    /// Whether nothing that `later` would take gets past this form.
    fn covers(&self, later: &Form, number_in_string: bool) -> bool {
        match (&self.form, &later.form) {
            (TimestampForm::Epoch(unit), TimestampForm::Epoch(later)) => unit >= later,
            (TimestampForm::Epoch(EpochUnit::Second), TimestampForm::Pattern(pattern)) => {
                number_in_string && pattern == "%s"
            }
            (TimestampForm::Rfc3339, TimestampForm::Rfc3339) => true,
            _ => match (&self.pattern, &later.pattern) {
                (Some(pattern), Some(later)) => pattern.covers(later),
                _ => false,
            },
        }
    }
}

/// The forms; none, with a finding, if one of them is none. Without the key it is `rfc3339`.
fn read_forms(
    formats: Option<Spanned<Vec<Spanned<String>>>>,
    wanted: Wanted,
    findings: &mut Findings<'_>,
) -> Option<Vec<Form>> {
    let Some(formats) = formats else {
        return Some(vec![Form { form: TimestampForm::Rfc3339, pattern: None, span: None }]);
    };
    if formats.value.is_empty() {
        findings.add(formats.span, "expected at least one form, found none");
    }
    let forms: Vec<Option<Form>> =
        formats.value.into_iter().map(|text| read_form(&text, wanted, findings)).collect();
    forms.into_iter().collect()
}

/// Finds forms that are never tried on anything they take, for an earlier one takes all of it.
fn check_reach(forms: &[Form], number_in_string: bool, findings: &mut Findings<'_>) {
    for (place, form) in forms.iter().enumerate() {
        let mut earlier = forms[..place].iter();
        let covering = earlier.find(|earlier| earlier.covers(form, number_in_string));
        if let (Some(covering), Some(span)) = (covering, form.span) {
            let (form, by) = (&form.form, &covering.form);
            let help = match (by, form) {
                (TimestampForm::Epoch(unit), TimestampForm::Epoch(later)) if unit > later => {
                    format!("the first form in whose range a number is wins: write `{form}` first")
                }
                _ => "leave one of them".to_owned(),
            };
            let message = format!("`{form}` is never reached: `{by}` before it takes all it would");
            findings.add_with_help(span, message, help);
        }
    }
}

fn read_zone(name: &Spanned<String>, findings: &mut Findings<'_>) -> Option<Tz> {
    let zone = parse_time_zone(&name.value);
    let zone = zone.map_err(|advice| {
        let message = format!("unknown time zone `{}`", name.value);
        findings.add_with_help(name.span, message, advice);
    });
    zone.ok()
}

fn read_form(text: &Spanned<String>, wanted: Wanted, findings: &mut Findings<'_>) -> Option<Form> {
    let name = text.value.as_str();
    let span = Some(text.span);
    let known = match wanted {
        Wanted::Date => &FORMS[..1],
        Wanted::Timestamp => &FORMS[..],
    };
    if let Some((_, form)) = known.iter().find(|(known, _)| *known == name) {
        return Some(Form { form: form.clone(), pattern: None, span });
    }
    if !name.contains('%') {
        let help = if name.contains("yy") || name.contains("YY") {
            "patterns are those of strptime, as `%Y-%m-%d %H:%M:%S`".to_owned()
        } else {
            let known = known.iter().map(|(known, _)| *known).chain(["a strptime pattern"]);
            suggestion(name, known)
        };
        findings.add_with_help(text.span, format!("unknown form `{name}`"), help);
        return None;
    }
    let pattern = Pattern::new(name);
    match pattern.and_then(|pattern| pattern.check(wanted).map(|()| pattern)) {
        Ok(pattern) => {
            let form = TimestampForm::Pattern(name.to_owned());
            Some(Form { form, pattern: Some(pattern), span })
        }
        Err(fault) => {
            let message = format!("pattern `{name}` {}", fault.message);
            findings.add_with_help(text.span, message, fault.help);
            None
        }
    }
}

impl TimestampForm {
    /// Whether it is a number.
    pub(super) fn is_epoch(&self) -> bool {
        matches!(self, TimestampForm::Epoch(_))
    }
}
