//! `to_date`, `to_timestamp`, `to_time`, `to_unixtime` and `to_char` read and write by the patterns
//! of a contract.
//!
//! The engine's own take chrono's: `%Y` reads `26` as the year 26, `%f` counts nanoseconds, and a
//! wrong pattern fails on each row. Here a pattern means the same in SQL and in `contract.toml`:
//!
//! ```text
//! to_timestamp('21/Nov/2026:13:05:00 +0900', '%d/%b/%Y:%H:%M:%S %z')
//!   ─► planned     the constant pattern is taken apart; a wrong one is an error of `check`
//!   ─► evaluated   1795233900000000 µs, as nanoseconds
//! to_char(at, '%H:%M:%S.%f')
//!   ─► written by the engine as '%H:%M:%S.%6f'
//! ```
//!
//! A call without a pattern is the engine's own.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, Date32Array, Int64Array, StringArray, Time64NanosecondArray,
    TimestampNanosecondArray,
};
use datafusion::arrow::datatypes::{DataType, FieldRef, TimeUnit};
use datafusion::common::{
    DataFusionError, Result, ScalarValue, exec_datafusion_err, exec_err, internal_err,
    plan_datafusion_err,
};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};
use datafusion::prelude::SessionContext;

use super::arguments::{Texts, is_text};
use crate::contract::{PatternFault, TimeOfDayPattern, TimePattern, pattern_to_write};

/// Functions that read a text by patterns, and the one that writes.
const FUNCTIONS: [(&str, Kind); 5] = [
    ("to_date", Kind::Instant),
    ("to_timestamp", Kind::Instant),
    ("to_unixtime", Kind::Instant),
    ("to_time", Kind::TimeOfDay),
    (TO_CHAR, Kind::Written),
];
const TO_CHAR: &str = "to_char";

/// Puts the functions in the place of the engine's.
pub(super) fn read_patterns_alike(engine: &SessionContext) {
    let state = engine.state();
    for (name, kind) in FUNCTIONS {
        if let Some(function) = state.scalar_functions().get(name) {
            let function = Arc::clone(function.inner());
            engine.register_udf(ScalarUDF::from(ByPatterns { function, kind }));
        }
    }
}

/// What a function's patterns are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Instant,
    TimeOfDay,
    Written,
}

/// A pattern made ready for reading.
enum Reading {
    Instant(TimePattern),
    TimeOfDay(TimeOfDayPattern),
}

impl Reading {
    fn new(kind: Kind, text: &str) -> Result<Self, PatternFault> {
        match kind {
            Kind::TimeOfDay => TimeOfDayPattern::new(text).map(Reading::TimeOfDay),
            Kind::Instant | Kind::Written => TimePattern::new(text).map(Reading::Instant),
        }
    }

    /// Microseconds since the epoch or midnight.
    fn read(&self, text: &str) -> Option<i64> {
        match self {
            Reading::Instant(pattern) => pattern.read(text),
            Reading::TimeOfDay(pattern) => pattern.read(text),
        }
    }
}

/// A function of the engine with the patterns of a contract.
#[derive(Debug)]
struct ByPatterns {
    function: Arc<dyn ScalarUDFImpl>,
    kind: Kind,
}

impl ByPatterns {
    /// Whether a call with arguments of these types has patterns.
    fn has_patterns(&self, types: &[DataType]) -> bool {
        let [value, patterns @ ..] = types else { return false };
        let takes_patterns = match self.kind {
            // Of a duration it is the name of a form.
            Kind::Written => !matches!(value, DataType::Duration(_)),
            Kind::Instant | Kind::TimeOfDay => is_text(value),
        };
        takes_patterns && !patterns.is_empty() && patterns.iter().all(is_text)
    }

    /// Refuses a constant pattern that cannot be honoured for values of a type.
    fn check_pattern(&self, pattern: &str, value: &DataType) -> Result<()> {
        let wrong = |message: String| plan_datafusion_err!("{}: {message}", self.name());
        if self.kind != Kind::Written {
            let read = Reading::new(self.kind, pattern).map(|_| ());
            return read.map_err(|fault| wrong(fault.to_string()));
        }
        let written = pattern_to_write(pattern).map_err(|fault| wrong(fault.to_string()))?;
        // What the type lacks, as a time without a zone its offset, shows by any value of it.
        let Ok(sample) = ScalarValue::new_zero(value) else { return Ok(()) };
        let tried = self.write(&[ColumnarValue::Scalar(sample), constant(Some(written))]);
        tried.map(|_| ()).map_err(|_| {
            wrong(format!(
                "pattern `{pattern}` names what {value} has not; leave it out, or cast the value \
                 to a type that has it"
            ))
        })
    }

    fn write(&self, args: &[ColumnarValue]) -> Result<ColumnarValue> {
        let field = |argument: &ColumnarValue| {
            let field = datafusion::arrow::datatypes::Field::new("a", argument.data_type(), true);
            Arc::new(field)
        };
        self.function.invoke_with_args(ScalarFunctionArgs {
            args: args.to_vec(),
            arg_fields: args.iter().map(field).collect(),
            number_rows: 1,
            return_field: field(&constant(None)),
            config_options: Arc::new(ConfigOptions::default()),
        })
    }

    /// The same call with patterns that mean to the engine what they mean here.
    fn write_by_patterns(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(pattern) = args.args.get_mut(1) else {
            return internal_err!("{} without a pattern", self.name());
        };
        let patterns = pattern.to_array(1)?;
        let patterns = Texts::of(patterns.as_ref())?;
        let translate = |row: usize| {
            let written = patterns.get(row).map(pattern_to_write).transpose();
            written.map_err(|fault| exec_datafusion_err!("{TO_CHAR}: {fault}"))
        };
        *pattern = match pattern {
            ColumnarValue::Scalar(_) => constant(translate(0)?),
            ColumnarValue::Array(array) => {
                let written = (0..array.len()).map(translate).collect::<Result<StringArray>>()?;
                ColumnarValue::Array(Arc::new(written))
            }
        };
        self.function.invoke_with_args(args)
    }

    fn read_by_patterns(&self, args: &ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let texts = args.args[0].to_array(rows)?;
        let texts = Texts::of(texts.as_ref())?;
        let patterns = args.args[1..].iter().map(|argument| PatternColumn::of(argument, self.kind));
        let mut patterns = patterns.collect::<Result<Vec<_>>>()?;
        let micros = (0..rows).map(|row| match texts.get(row) {
            Some(text) => read_text(text, &mut patterns, row),
            None => Ok(None),
        });
        let micros = micros.map(|micros| micros.map_err(|error| self.in_words(error)));
        let times = self.times(micros.collect::<Result<_>>()?, args.return_field.data_type())?;
        match is_constant {
            true => ScalarValue::try_from_array(&times, 0).map(ColumnarValue::Scalar),
            false => Ok(ColumnarValue::Array(times)),
        }
    }

    fn in_words(&self, message: String) -> DataFusionError {
        exec_datafusion_err!("{}: {message}", self.name())
    }

    /// The times in the unit of the result.
    fn times(&self, micros: Vec<Option<i64>>, result: &DataType) -> Result<ArrayRef> {
        let nanos = |micros: Option<i64>| match micros.map(|micros| micros.checked_mul(1000)) {
            Some(None) => exec_err!(
                "{}: nanoseconds hold times from the year 1677 to 2262 only; read others by the \
                 contract",
                self.name()
            ),
            nanos => Ok(nanos.flatten()),
        };
        let in_units =
            |unit: i64| micros.iter().map(move |micros| Some((*micros)?.div_euclid(unit)));
        Ok(match result {
            DataType::Date32 => {
                let days = in_units(86_400_000_000).map(|days| days.map(|days| days as i32));
                Arc::new(days.collect::<Date32Array>())
            }
            DataType::Int64 => Arc::new(in_units(1_000_000).collect::<Int64Array>()),
            DataType::Time64(TimeUnit::Nanosecond) => {
                let nanos = micros.into_iter().map(nanos);
                Arc::new(nanos.collect::<Result<Time64NanosecondArray>>()?)
            }
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
                let nanos = micros.into_iter().map(nanos);
                let nanos = nanos.collect::<Result<TimestampNanosecondArray>>()?;
                Arc::new(nanos.with_timezone_opt(zone.clone()))
            }
            other => return internal_err!("{} gives {other}", self.name()),
        })
    }
}

fn constant(text: Option<String>) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::Utf8(text))
}

/// One of a call's patterns: the same for all rows, or a column of them.
struct PatternColumn {
    kind: Kind,
    texts: ArrayRef,
    is_constant: bool,
    /// The last row's: it rarely differs.
    last: Option<(String, Reading)>,
}

impl PatternColumn {
    fn of(argument: &ColumnarValue, kind: Kind) -> Result<Self> {
        let is_constant = matches!(argument, ColumnarValue::Scalar(_));
        Ok(PatternColumn { kind, texts: argument.to_array(1)?, is_constant, last: None })
    }

    /// The pattern of a row; none for NULL.
    fn of_row(&mut self, row: usize) -> Result<Option<&(String, Reading)>, String> {
        if !self.is_constant || self.last.is_none() {
            let texts = Texts::of(self.texts.as_ref()).map_err(|error| error.to_string())?;
            let text = texts.get(if self.is_constant { 0 } else { row });
            let Some(text) = text else { return Ok(None) };
            if self.last.as_ref().is_none_or(|(known, _)| known != text) {
                let reading = Reading::new(self.kind, text).map_err(|fault| fault.to_string())?;
                self.last = Some((text.to_owned(), reading));
            }
        }
        Ok(self.last.as_ref())
    }
}

/// By the first pattern that the text is of; NULL if all patterns are.
fn read_text(
    text: &str,
    patterns: &mut [PatternColumn],
    row: usize,
) -> Result<Option<i64>, String> {
    let mut tried = Vec::new();
    for column in patterns {
        if let Some((pattern, reading)) = column.of_row(row)? {
            if let Some(micros) = reading.read(text) {
                return Ok(Some(micros));
            }
            tried.push(format!("`{pattern}`"));
        }
    }
    match tried.as_slice() {
        [] => Ok(None),
        [pattern] => Err(format!("expected a text as {pattern}, found \"{text}\"")),
        several => Err(format!("expected a text as {}, found \"{text}\"", several.join(" or "))),
    }
}

impl ScalarUDFImpl for ByPatterns {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        if self.has_patterns(&types) {
            let constants = args.scalar_arguments.iter().skip(1).flatten();
            for pattern in constants.filter_map(|constant| constant.try_as_str().flatten()) {
                self.check_pattern(pattern, &types[0])?;
            }
        }
        self.function.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        match self.kind {
            _ if !self.has_patterns(&types) => self.function.invoke_with_args(args),
            Kind::Written => self.write_by_patterns(args),
            Kind::Instant | Kind::TimeOfDay => self.read_by_patterns(&args),
        }
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }
}

impl PartialEq for ByPatterns {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ByPatterns {}

impl Hash for ByPatterns {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}
