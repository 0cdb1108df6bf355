//! Records of MMDB databases in the layouts that are in use.
//!
//! A record is a map. MaxMind nests it (`country.iso_code`, `city.names.en`), others keep it flat
//! (`country_code`, `city`), with numbers as numbers or as text. A field of an unexpected type is
//! as good as absent.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::location::Location;

/// One step of a path into a record.
enum Step {
    Key(&'static str),
    First,
}
use Step::{First, Key};

type Paths = &'static [&'static [Step]];

// Each field's places: MaxMind's GeoIP2 and GeoLite2 first, then the flat layout of ip-location-db.
const COUNTRY_CODE: Paths = &[&[Key("country"), Key("iso_code")], &[Key("country_code")]];
const COUNTRY_NAME: Paths = &[&[Key("country"), Key("names"), Key("en")], &[Key("country_name")]];
const SUBDIVISION: Paths =
    &[&[Key("subdivisions"), First, Key("names"), Key("en")], &[Key("state1")]];
const CITY: Paths = &[&[Key("city"), Key("names"), Key("en")], &[Key("city")]];
const LATITUDE: Paths = &[&[Key("location"), Key("latitude")], &[Key("latitude")]];
const LONGITUDE: Paths = &[&[Key("location"), Key("longitude")], &[Key("longitude")]];
const TIME_ZONE: Paths = &[&[Key("location"), Key("time_zone")], &[Key("timezone")]];
const ASN: Paths =
    &[&[Key("autonomous_system_number")], &[Key("traits"), Key("autonomous_system_number")]];
const ORGANIZATION: Paths = &[
    &[Key("autonomous_system_organization")],
    &[Key("traits"), Key("autonomous_system_organization")],
];

/// A record, whose texts lie in the database.
#[derive(Debug, Clone, PartialEq)]
pub struct Record<'a>(Value<'a>);

/// What a record is made of; types that no field has are [`Value::Other`].
#[derive(Debug, Clone, PartialEq)]
enum Value<'a> {
    Text(&'a str),
    Integer(i64),
    Real(f64),
    Map(Vec<(&'a str, Value<'a>)>),
    List(Vec<Value<'a>>),
    Other,
}

impl<'a> Record<'a> {
    /// The record's fields in the common form.
    pub fn location(&self) -> Location<'a> {
        Location {
            country_code: self.first(COUNTRY_CODE, Value::text),
            country_name: self.first(COUNTRY_NAME, Value::text),
            subdivision: self.first(SUBDIVISION, Value::text),
            city: self.first(CITY, Value::text),
            latitude: self.first(LATITUDE, Value::real),
            longitude: self.first(LONGITUDE, Value::real),
            time_zone: self.first(TIME_ZONE, Value::text),
            asn: self.first(ASN, Value::integer),
            organization: self.first(ORGANIZATION, Value::text),
        }
    }

    fn first<T>(&self, paths: Paths, read: impl Fn(&Value<'a>) -> Option<T>) -> Option<T> {
        paths.iter().find_map(|path| read(self.0.at(path)?))
    }
}

impl<'a> Value<'a> {
    fn at(&self, path: &[Step]) -> Option<&Value<'a>> {
        path.iter().try_fold(self, |value, step| match (value, step) {
            (Value::Map(entries), Key(key)) => {
                entries.iter().find(|(k, _)| k == key).map(|(_, value)| value)
            }
            (Value::List(values), First) => values.first(),
            _ => None,
        })
    }

    /// A text; flat layouts write an absent one as an empty one.
    fn text(&self) -> Option<&'a str> {
        match self {
            Value::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    fn real(&self) -> Option<f64> {
        let number = match self {
            Value::Integer(number) => Some(*number as f64),
            Value::Real(number) => Some(*number),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite())
    }
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Record)
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a MaxMind DB record")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(text))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(number).map_or(Value::Other, Value::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Real(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Value<'de>, E> {
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<&'de str>()? {
            // Names stand in many languages; only the English ones are read.
            if is_language_other_than_english(key) {
                map.next_value::<IgnoredAny>()?;
            } else {
                entries.push((key, map.next_value()?));
            }
        }
        Ok(Value::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }
}

fn is_language_other_than_english(key: &str) -> bool {
    matches!(key, "de" | "es" | "fr" | "ja" | "pt-BR" | "ru" | "zh-CN")
}
