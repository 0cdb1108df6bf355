//! Data types: lengths and widths that nothing would keep to are refused.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType, ExactNumberInfo, StructField, TimezoneInfo,
};

use super::Walk;

/// What to write instead of a text type with a length.
const TEXT_HELP: &str = "nothing would be cut off: write `VARCHAR` or `TEXT`, and `left(text, n)` \
                         to cut";

impl Walk<'_> {
    /// A type of a cast or a typed literal.
    pub(crate) fn data_type(&mut self, data_type: &DataType) {
        match data_type {
            DataType::Varchar(Some(_)) | DataType::String(Some(_)) => {
                self.refuse_type(data_type, TEXT_HELP);
            }
            DataType::Char(_) => {
                let help = "a `CHAR` is of a fixed length, which nothing would keep to: write \
                            `VARCHAR` or `TEXT`, and `rpad` or `left` for a length";
                self.refuse_type(data_type, help);
            }
            DataType::TinyInt(Some(_))
            | DataType::SmallInt(Some(_))
            | DataType::Int2(Some(_))
            | DataType::Int(Some(_))
            | DataType::Integer(Some(_))
            | DataType::Int4(Some(_))
            | DataType::BigInt(Some(_))
            | DataType::Int8(Some(_))
            | DataType::TinyIntUnsigned(Some(_))
            | DataType::SmallIntUnsigned(Some(_))
            | DataType::Int2Unsigned(Some(_))
            | DataType::IntUnsigned(Some(_))
            | DataType::IntegerUnsigned(Some(_))
            | DataType::Int4Unsigned(Some(_))
            | DataType::BigIntUnsigned(Some(_))
            | DataType::Int8Unsigned(Some(_)) => {
                let help = "the width of an integer would have no effect: leave it out, or write \
                            `DECIMAL(digits, 0)` for a bound";
                self.refuse_type(data_type, help);
            }
            DataType::Float(precision) if *precision != ExactNumberInfo::None => {
                self.refuse_type(data_type, "write `REAL` (32 bits) or `DOUBLE` (64 bits)");
            }
            DataType::Decimal(precision) | DataType::Numeric(precision) => {
                if matches!(precision, ExactNumberInfo::PrecisionAndScale(_, scale) if *scale < 0) {
                    self.refuse_type(data_type, "write a scale from 0 on");
                }
            }
            DataType::Timestamp(Some(precision), _) if ![0, 3, 6, 9].contains(precision) => {
                self.refuse_type(data_type, "write a precision of 0, 3, 6 or 9");
            }
            DataType::Time(precision, zone) => {
                let plain = matches!(zone, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone);
                if precision.is_some() || !plain {
                    self.refuse_type(data_type, "write `TIME`, which has no zone and nanoseconds");
                }
            }
            DataType::Array(element) => self.element(data_type, element),
            DataType::Struct(fields, _) => {
                for StructField { field_name: _, field_type, options } in fields {
                    self.data_type(field_type);
                    if options.is_some() {
                        self.refuse("OPTIONS", "the options of a field would have no effect");
                    }
                }
            }
            // All others are honoured as they stand, or refused by the planner in plain words.
            other => self.foreign_type(other),
        }
    }

    /// A type of other databases.
    fn foreign_type(&mut self, data_type: &DataType) {
        match data_type {
            DataType::Int64 => self.refuse_type(data_type, "write `BIGINT`"),
            DataType::Int32 => self.refuse_type(data_type, "write `INT`"),
            DataType::Int16 => self.refuse_type(data_type, "write `SMALLINT`"),
            DataType::Float64 => self.refuse_type(data_type, "write `DOUBLE`"),
            DataType::Float32 => self.refuse_type(data_type, "write `REAL`"),
            DataType::Bytes(_) => self.refuse_type(data_type, "write `BYTEA`"),
            DataType::Datetime(_) => self.refuse_type(data_type, "write `TIMESTAMP`"),
            DataType::BigNumeric(_) => self.refuse_type(data_type, "write `DECIMAL(38, n)`"),
            DataType::JSON | DataType::JSONB => {
                let help = "name the field in contract.toml as a column's `path`, which types it";
                self.refuse_type(data_type, help);
            }
            DataType::Custom(name, _) => {
                let help = match name.to_string().to_uppercase().as_str() {
                    "LONG" => "write `BIGINT`",
                    "SHORT" => "write `SMALLINT`",
                    "BYTE" => "write `TINYINT`",
                    "NUMBER" => "write `DECIMAL(38, n)`, or `BIGINT`",
                    "TIMESTAMP_NTZ" | "DATETIME2" => "write `TIMESTAMP`",
                    "TIMESTAMP_LTZ" | "TIMESTAMP_TZ" => "write `TIMESTAMPTZ`",
                    "VARIANT" | "OBJECT" => {
                        "name the field in contract.toml as a column's `path`, which types it"
                    }
                    _ => {
                        "write `VARCHAR`, `BIGINT`, `DOUBLE`, `DECIMAL(p, s)`, `BOOLEAN`, `DATE`, \
                         `TIMESTAMP` or `BYTEA`"
                    }
                };
                self.refuse_as(&name.to_string(), format!("no type `{name}`"), help);
            }
            _ => {}
        }
    }

    fn element(&mut self, whole: &DataType, element: &ArrayElemTypeDef) {
        match element {
            ArrayElemTypeDef::AngleBracket(inner) | ArrayElemTypeDef::SquareBracket(inner, _) => {
                self.data_type(inner);
            }
            ArrayElemTypeDef::None | ArrayElemTypeDef::Parenthesis(_) => {
                self.refuse_type(whole, "write the type of its elements: `BIGINT[]`");
            }
        }
    }

    /// Refuses a type, found by its first word.
    fn refuse_type(&mut self, data_type: &DataType, help: &str) {
        let text = data_type.to_string();
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        let message = format!("type `{text}` is not supported");
        self.refuse_as(&text[..end], message, help);
    }
}
