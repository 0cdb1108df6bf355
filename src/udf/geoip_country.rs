//! `geoip_country(ip)`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::adapter::Function;
use super::docs::{ExampleDoc, FunctionDoc};
use super::geoip::{IP, SOURCE, coerce_ip, locate};
use crate::enrich::Enrichment;

/// See [`Function::DOC`].
pub(super) struct GeoIpCountry;

impl Function for GeoIpCountry {
    const DOC: FunctionDoc = FunctionDoc {
        name: "geoip_country",
        syntax: "geoip_country(ip)",
        description: "The country of an address as an ISO 3166-1 alpha-2 code: \
            geoip(ip)['country_code'], but without the rest.\nNULL wherever that is.",
        arguments: &[IP],
        examples: &[ExampleDoc { sql: "SELECT geoip_country('::ffff:133.11.0.1')", result: "JP" }],
        source: SOURCE,
        see_also: &["geoip", "geoip_asn"],
    };

    fn coerce(enrichment: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_ip(Self::DOC.name, enrichment, types)
    }

    fn return_type(_: &Enrichment, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn evaluate(enrichment: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let locations = locate(enrichment, &arguments[0])?.into_iter();
        let found = locations.map(|location| location.and_then(|l| l.country_code));
        Ok(Arc::new(found.collect::<StringArray>()))
    }
}
