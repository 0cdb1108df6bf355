//! Kinds of types, of which those that the engine would make one of without a word are told apart.

use datafusion::arrow::datatypes::DataType;

/// What a value is, however it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
    /// A date, a time of day, or both.
    Time,
    Other,
}

/// A kind as users call it.
pub(crate) fn shown(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "number",
        Kind::Text => "text",
        Kind::Time => "date or time",
        Kind::Other => "value",
    }
}

/// The kinds of two types of which one is a number and the other a text or a time; of lists those
/// of their elements, of structs those of the first fields that differ so.
pub(crate) fn mismatch(left: &DataType, right: &DataType) -> Option<(Kind, Kind)> {
    let (left, right) = (element_of(left), element_of(right));
    if let (DataType::Struct(left), DataType::Struct(right)) = (left, right) {
        let mut pairs = left.iter().zip(right);
        return pairs.find_map(|(left, right)| mismatch(left.data_type(), right.data_type()));
    }
    match (kind(left), kind(right)) {
        found @ ((Kind::Number, Kind::Text | Kind::Time)
        | (Kind::Text | Kind::Time, Kind::Number)) => Some(found),
        _ => None,
    }
}

/// Whether a value is made of others.
pub(crate) fn is_nested(data_type: &DataType) -> bool {
    let element = element_of(data_type);
    element != data_type || matches!(element, DataType::Struct(_))
}

/// What the innermost list holds; of what is no list, the type itself.
fn element_of(mut data_type: &DataType) -> &DataType {
    loop {
        data_type = match data_type {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::FixedSizeList(field, _)
            | DataType::ListView(field) => field.data_type(),
            other => return other,
        };
    }
}

fn kind(data_type: &DataType) -> Kind {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
        DataType::Dictionary(_, values) => kind(values),
        DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..) => Kind::Time,
        other if other.is_numeric() => Kind::Number,
        _ => Kind::Other,
    }
}
