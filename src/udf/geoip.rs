//! `geoip(ip)`.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, Float64Array, Int64Array, StringArray, StructArray,
};
use datafusion::arrow::buffer::NullBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, plan_err};
use foldhash::{HashMap, HashMapExt};

use super::adapter::Function;
use super::arguments::{Texts, text_type};
use super::docs::{ArgumentDoc, ExampleDoc, FunctionDoc};
use crate::enrich::{Enrichment, Location};

pub(super) const IP: ArgumentDoc = ArgumentDoc {
    name: "ip",
    description: "text: an IPv4, IPv6 or IPv4-mapped IPv6 address (`::ffff:192.0.2.1`), without a \
        port",
};
pub(super) const SOURCE: &str = "the pipeline's databases (MaxMind DB format 2.0); IANA's \
    registries of special-purpose addresses; Unicode CLDR for names of countries that a database \
    has only codes of";

/// See [`Function::DOC`].
pub(super) struct GeoIp;

impl Function for GeoIp {
    const DOC: FunctionDoc = FunctionDoc {
        name: "geoip",
        syntax: "geoip(ip)",
        description: "Where an address is and whose it is, as a struct of country_code (ISO 3166-1 \
            alpha-2), country_name, subdivision, city (in English), latitude, longitude (degrees), \
            time_zone (IANA), asn and organization (of the autonomous system).\nEach field is \
            that of the first of the pipeline's databases that has it, NULL where none has.\nNULL \
            for NULL, for addresses that no database knows, for private, reserved, loopback, \
            link-local, documentation, carrier-shared and multicast addresses, and for malformed \
            ones.",
        arguments: &[IP],
        examples: &[
            ExampleDoc { sql: "SELECT geoip('133.11.0.1')['country_name']", result: "Japan" },
            ExampleDoc { sql: "SELECT geoip('192.168.1.1')", result: "NULL" },
        ],
        source: SOURCE,
        see_also: &["geoip_country", "geoip_asn"],
    };

    fn coerce(enrichment: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_ip(Self::DOC.name, enrichment, types)
    }

    fn return_type(_: &Enrichment, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn evaluate(enrichment: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let locations = locate(enrichment, &arguments[0])?;
        Ok(Arc::new(to_structs(&locations)?))
    }
}

fn fields() -> Fields {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Fields::from(vec![
        field("country_code", DataType::Utf8),
        field("country_name", DataType::Utf8),
        field("subdivision", DataType::Utf8),
        field("city", DataType::Utf8),
        field("latitude", DataType::Float64),
        field("longitude", DataType::Float64),
        field("time_zone", DataType::Utf8),
        field("asn", DataType::Int64),
        field("organization", DataType::Utf8),
    ])
}

fn to_structs(locations: &[Option<Location<'_>>]) -> Result<StructArray> {
    let known = || locations.iter().map(|location| location.unwrap_or_default());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(known().map(|l| l.country_code).collect::<StringArray>()),
        Arc::new(known().map(|l| l.country_name).collect::<StringArray>()),
        Arc::new(known().map(|l| l.subdivision).collect::<StringArray>()),
        Arc::new(known().map(|l| l.city).collect::<StringArray>()),
        Arc::new(known().map(|l| l.latitude).collect::<Float64Array>()),
        Arc::new(known().map(|l| l.longitude).collect::<Float64Array>()),
        Arc::new(known().map(|l| l.time_zone).collect::<StringArray>()),
        Arc::new(known().map(|l| l.asn).collect::<Int64Array>()),
        Arc::new(known().map(|l| l.organization).collect::<StringArray>()),
    ];
    let nulls: NullBuffer = locations.iter().map(Option::is_some).collect::<Vec<bool>>().into();
    Ok(StructArray::try_new_with_length(fields(), columns, Some(nulls), locations.len())?)
}

/// The types for `(ip)`, if there is a database to look up in.
pub(super) fn coerce_ip(
    function: &str,
    enrichment: &Enrichment,
    types: &[DataType],
) -> Result<Vec<DataType>> {
    if enrichment.geoip.is_empty() {
        return plan_err!(
            "{function}: no GeoIP database; name one or more MMDB files under `geoip` in the \
             `[enrichment]` table of pipeline.toml"
        );
    }
    match types {
        [ip] => Ok(vec![text_type(function, "ip", ip)?]),
        _ => plan_err!("{function}: expected (ip), found {} arguments", types.len()),
    }
}

/// The location of each row. An address that repeats in the batch is looked up once.
pub(super) fn locate<'a>(
    enrichment: &'a Enrichment,
    addresses: &ArrayRef,
) -> Result<Vec<Option<Location<'a>>>> {
    let texts = Texts::of(addresses.as_ref())?;
    let mut known: HashMap<&str, Option<Location<'a>>> = HashMap::new();
    let rows = (0..addresses.len()).map(|row| {
        let text = texts.get(row)?;
        *known.entry(text).or_insert_with(|| enrichment.geoip.locate(text))
    });
    Ok(rows.collect())
}
