//! Arguments that are constants are looked at here: patterns of times, units of time, zones.
//!
//! The engine would see them row by row: each row would be a reject, or the same wrong text.
//!
//! ```text
//! to_char(at, 'yyyy-MM-dd')      the pattern has no directive; write `%Y-%m-%d`
//! date_trunc(at, 'day')          the unit stands first
//! at AT TIME ZONE 'JST'          unknown time zone; write `Asia/Tokyo`
//! ```

use datafusion::arrow::array::timezone::Tz;
use datafusion::arrow::compute::kernels::cast_utils::IntervalUnit;
use datafusion::sql::sqlparser::ast::{
    DateTimeField, Expr, FunctionArg, FunctionArgExpr, FunctionArgumentList, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::tokenizer::Span;

use super::Walk;
use crate::base::config::suggestion;
use crate::base::config::time_zone::parse_time_zone;
use crate::contract::{TimeOfDayPattern, TimePattern, pattern_to_write};

/// Functions whose arguments after the first are patterns, as a contract has them.
const TAKES_TIME_PATTERN: [&str; 6] =
    ["date_format", "to_char", "to_date", "to_time", "to_timestamp", "to_unixtime"];
/// Units of `date_trunc`.
const TRUNC_UNITS: [&str; 10] = [
    "year",
    "quarter",
    "month",
    "week",
    "day",
    "hour",
    "minute",
    "second",
    "millisecond",
    "microsecond",
];
/// Units of `date_part` besides the engine's units of intervals.
const PART_UNITS: [&str; 7] = ["doy", "dow", "epoch", "isodow", "isoyear", "quarter", "qtr"];

impl Walk<'_> {
    /// The arguments of a call that are constants.
    pub(crate) fn constant_arguments(&mut self, called: &str, list: &FunctionArgumentList) {
        let arguments: Vec<&Expr> = list.args.iter().filter_map(value_of).collect();
        match (called, arguments.as_slice()) {
            (name, [_, patterns @ ..]) if TAKES_TIME_PATTERN.contains(&name) => {
                patterns.iter().for_each(|pattern| self.time_pattern(called, pattern));
            }
            ("date_trunc" | "datetrunc", [first, second]) => self.trunc_unit(called, first, second),
            ("date_part" | "datepart", [first, second]) => {
                if !self.refuse_turned(called, first, second)
                    && let Some((unit, span)) = text_of(first)
                {
                    self.part_unit(unit, span);
                }
            }
            ("from_unixtime", [_, zone]) => self.time_zone(zone),
            _ => {}
        }
    }

    /// The zone of `AT TIME ZONE`.
    pub(crate) fn time_zone(&mut self, zone: &Expr) {
        let Some((name, span)) = text_of(zone) else { return };
        if name.parse::<Tz>().is_ok() {
            return;
        }
        let help = parse_time_zone(name).err().unwrap_or_default();
        let message = format!("unknown time zone `{name}`");
        self.within(span, |walk| walk.refuse_as("", message, help));
    }

    /// The field of `EXTRACT`.
    pub(crate) fn extracted(&mut self, field: &DateTimeField, span: Span) {
        self.part_unit(field.to_string().trim_matches('\''), span);
    }

    fn time_pattern(&mut self, called: &str, pattern: &Expr) {
        let Some((text, span)) = text_of(pattern) else { return };
        let checked = match called {
            "date_format" | "to_char" => pattern_to_write(text).map(|_| ()),
            "to_time" => TimeOfDayPattern::new(text).map(|_| ()),
            _ => TimePattern::new(text).map(|_| ()),
        };
        let (message, help) = if !text.contains('%') {
            let message = format!("the pattern `{text}` has no directive");
            (message, "directives begin with `%`: `%Y-%m-%d %H:%M:%S`".to_owned())
        } else if let Err(fault) = checked {
            (fault.message, fault.help)
        } else {
            return;
        };
        self.within(span, |walk| walk.refuse_as("", message, help));
    }

    fn trunc_unit(&mut self, called: &str, first: &Expr, second: &Expr) {
        if self.refuse_turned(called, first, second) {
            return;
        }
        let Some((unit, span)) = text_of(first) else { return };
        if TRUNC_UNITS.contains(&unit.to_lowercase().as_str()) {
            return;
        }
        let help = suggestion(&unit.to_lowercase(), TRUNC_UNITS.into_iter());
        let message = format!("no unit `{unit}` of time");
        self.within(span, |walk| walk.refuse_as("", message, help));
    }

    fn part_unit(&mut self, unit: &str, span: Span) {
        let lower = unit.to_lowercase();
        if lower.parse::<IntervalUnit>().is_ok() || PART_UNITS.contains(&lower.as_str()) {
            return;
        }
        let help = match lower.as_str() {
            "dayofweek" | "dayofweek_iso" | "weekday" => {
                "write `dow` (0 is Sunday) or `isodow`".to_owned()
            }
            "dayofyear" => "write `doy`".to_owned(),
            "date" => "write `CAST(at AS DATE)`".to_owned(),
            "isoweek" => "write `week`, which is ISO's".to_owned(),
            _ => suggestion(&lower, TRUNC_UNITS.into_iter().chain(PART_UNITS)),
        };
        let message = format!("no part `{unit}` of a time");
        self.within(span, |walk| walk.refuse_as("", message, help));
    }

    /// Refuses `date_trunc(at, 'day')` and `date_trunc(at, DAY)`.
    fn refuse_turned(&mut self, called: &str, first: &Expr, second: &Expr) -> bool {
        let unit = match second {
            Expr::Identifier(name) => Some(name.value.as_str()),
            other => text_of(other).map(|(text, _)| text),
        };
        let Some(unit) = unit.map(str::to_lowercase) else { return false };
        // A parameter may be the unit: it has become a constant, in a cast or not.
        let is_time =
            matches!(first, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Function(_));
        let turned = is_time && TRUNC_UNITS.contains(&unit.as_str());
        if turned {
            let message = format!("the unit of `{called}` stands first, in quotes");
            self.refuse_as("", message, format!("write `{called}('{unit}', {first})`"));
        }
        turned
    }
}

fn value_of(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
        _ => None,
    }
}

fn text_of(expression: &Expr) -> Option<(&str, Span)> {
    match expression {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), span }) => {
            Some((text, *span))
        }
        _ => None,
    }
}
