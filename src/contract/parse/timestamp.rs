//! The keys of a timestamp column: `formats` and `assumed_time_zone`.

use chrono_tz::{TZ_VARIANTS, Tz};
use toml_span::de_helpers::TableHelper;
use toml_span::span::Spanned;

use super::findings::{Findings, optional};
use crate::config::{nearest, suggestion};
use crate::contract::coerce::{PatternKind, pattern_kind};
use crate::contract::{ColumnType, TimestampForm};

/// Names of forms that are no pattern.
const FORMS: [(&str, TimestampForm); 4] = [
    ("rfc3339", TimestampForm::Rfc3339),
    ("epoch_s", TimestampForm::EpochSeconds),
    ("epoch_ms", TimestampForm::EpochMilliseconds),
    ("epoch_us", TimestampForm::EpochMicroseconds),
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
        let formats = self.formats.as_ref().map(|formats| ("formats", formats.span));
        let zone = self.assumed_time_zone.as_ref().map(|zone| ("assumed_time_zone", zone.span));
        for (key, span) in formats.into_iter().chain(zone) {
            let message = format!("`{key}` goes with type `timestamp` only, found `{column_type}`");
            findings.add(span, message);
        }
    }
}

/// The type that the keys tell; none if one of them is wrong.
pub(super) fn read_timestamp(
    keys: TimestampKeys,
    findings: &mut Findings<'_>,
) -> Option<ColumnType> {
    let has_zone = keys.assumed_time_zone.is_some();
    let zone_span = keys.assumed_time_zone.as_ref().map(|zone| zone.span);
    let zone = keys.assumed_time_zone.map(|zone| read_zone(&zone, findings));
    let forms = match keys.formats {
        None => vec![TimestampForm::Rfc3339],
        Some(formats) => {
            if formats.value.is_empty() {
                findings.add(formats.span, "expected at least one form, found none");
            }
            let form = |text: Spanned<String>| read_form(&text, has_zone, findings);
            formats
                .value
                .into_iter()
                .map(form)
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Option<_>>()?
        }
    };
    if let Some(span) = zone_span.filter(|_| !forms.iter().any(TimestampForm::may_lack_offset)) {
        findings.add(span, "`assumed_time_zone` means nothing: every form names its offset");
    }
    let assumed_zone = match zone {
        None => None,
        Some(zone) => Some(zone?),
    };
    Some(ColumnType::Timestamp { forms, assumed_zone })
}

fn read_zone(name: &Spanned<String>, findings: &mut Findings<'_>) -> Option<Tz> {
    let zone = name.value.parse::<Tz>().ok();
    if zone.is_none() {
        let names = TZ_VARIANTS.map(Tz::name);
        let help = match nearest(&name.value, &names) {
            // Abbreviations are all near each other: `JST` is no slip of the pen for `EST`.
            Some(near) if near.contains('/') => format!("did you mean `{near}`?"),
            _ => "expected a name of the IANA time zone database, as `Asia/Tokyo`".to_owned(),
        };
        findings.add_with_help(name.span, format!("unknown time zone `{}`", name.value), help);
    }
    zone
}

fn read_form(
    text: &Spanned<String>,
    has_zone: bool,
    findings: &mut Findings<'_>,
) -> Option<TimestampForm> {
    let name = text.value.as_str();
    if let Some((_, form)) = FORMS.iter().find(|(known, _)| *known == name) {
        return Some(form.clone());
    }
    if !name.contains('%') {
        let known = FORMS.iter().map(|(known, _)| *known).chain(["a strftime pattern"]);
        let help = suggestion(name, known);
        findings.add_with_help(text.span, format!("unknown form `{name}`"), help);
        return None;
    }
    match pattern_kind(name) {
        PatternKind::Absolute => {}
        PatternKind::Local if has_zone => {}
        PatternKind::Local => {
            let message = format!("pattern `{name}` names no offset");
            let help = "add `%z` to it, or an `assumed_time_zone` to the column";
            findings.add_with_help(text.span, message, help);
            return None;
        }
        PatternKind::Incomplete => {
            let message = format!("pattern `{name}` does not name a whole date, hour and minute");
            findings.add(text.span, message);
            return None;
        }
        PatternKind::Invalid => {
            findings.add(text.span, format!("pattern `{name}` has a directive that is unknown"));
            return None;
        }
    }
    Some(TimestampForm::Pattern(name.to_owned()))
}

impl TimestampForm {
    /// Whether it is a number.
    pub(super) fn is_epoch(&self) -> bool {
        match self {
            TimestampForm::EpochSeconds
            | TimestampForm::EpochMilliseconds
            | TimestampForm::EpochMicroseconds => true,
            TimestampForm::Rfc3339 | TimestampForm::Pattern(_) => false,
        }
    }

    fn may_lack_offset(&self) -> bool {
        match self {
            TimestampForm::Pattern(pattern) => pattern_kind(pattern) == PatternKind::Local,
            other => !other.is_epoch(),
        }
    }
}
