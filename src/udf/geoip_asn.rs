//! `geoip_asn(ip)`.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;

use super::adapter::Function;
use super::docs::{ExampleDoc, FunctionDoc};
use super::geoip::{IP, SOURCE, coerce_ip, locate};
use crate::enrich::Enrichment;

/// See [`Function::DOC`].
pub(super) struct GeoIpAsn;

impl Function for GeoIpAsn {
    const DOC: FunctionDoc = FunctionDoc {
        name: "geoip_asn",
        syntax: "geoip_asn(ip)",
        description: "The number of the autonomous system of an address as a BIGINT: \
            geoip(ip)['asn'], but without the rest.\nNULL wherever that is.",
        arguments: &[IP],
        examples: &[ExampleDoc { sql: "SELECT geoip_asn('133.11.0.1')", result: "2501" }],
        source: SOURCE,
        see_also: &["geoip", "geoip_country"],
    };

    fn coerce(enrichment: &Enrichment, types: &[DataType]) -> Result<Vec<DataType>> {
        coerce_ip(Self::DOC.name, enrichment, types)
    }

    fn return_type(_: &Enrichment, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int64)
    }

    fn evaluate(enrichment: &Enrichment, arguments: &[ArrayRef], _: &DataType) -> Result<ArrayRef> {
        let locations = locate(enrichment, &arguments[0])?.into_iter();
        let found = locations.map(|location| location.and_then(|l| l.asn));
        Ok(Arc::new(found.collect::<Int64Array>()))
    }
}
