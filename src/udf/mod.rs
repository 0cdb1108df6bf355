//! The SQL functions: one thin adapter a file over [`enrich`](crate::enrich).
//!
//! One call through each step:
//!
//! ```text
//! SELECT consumption_tax(price, 'reduced', at) FROM logs
//!   ─► row_source.rs       consumption_tax(price, 'reduced', at, _source, _line)
//!   ─► consumption_tax.rs  coerce: (Int64, Utf8, Timestamp(µs, "UTC"), Utf8, Int64), result Int64
//!   ─► arguments.rs        row 0: 1980, "reduced", day 20778 in Asia/Tokyo
//!   ─► enrich              rate 0.08, tax 158
//!   ─► arguments.rs        Int64Array [158]
//! ```
//!
//! Each file holds its function's documentation, whose examples a test runs.

mod adapter;
mod arguments;
mod checked_arithmetic;
mod checked_avg;
mod checked_shift;
mod checked_sum;
mod consumption_tax;
mod docs;
mod exact_aggregates;
mod exact_double;
mod exact_results;
mod geoip;
mod geoip_asn;
mod geoip_country;
mod invoice_tax;
mod item_ways;
mod kept_cast;
mod parse_user_agent;
mod pseudonymize;
mod rolling;
mod row_source;
mod tax_call;
mod tax_excluded;
mod tax_included;
mod tax_rate;
mod time_patterns;
mod url_host;
mod url_path;
mod url_query;
mod whole_numbers;

use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

pub(crate) use checked_arithmetic::{concatenation, operator_of};
pub use docs::FunctionDoc;
pub use exact_double::KeepCasts;
pub(crate) use exact_double::is_conversion;
pub(crate) use exact_results::aggregate_of;
pub(crate) use kept_cast::KEPT_CAST;
pub use row_source::AddRowSource;

use crate::enrich::Enrichment;
use adapter::{Function, udf};

/// Calls a macro with every function, in the order in which they are listed to users.
macro_rules! with_every_function {
    ($apply:ident) => {
        [
            $apply!(consumption_tax::ConsumptionTax),
            $apply!(tax_included::TaxIncluded),
            $apply!(tax_excluded::TaxExcluded),
            $apply!(tax_rate::TaxRate),
            $apply!(invoice_tax::InvoiceTax),
            $apply!(item_ways::ItemWays),
            $apply!(geoip::GeoIp),
            $apply!(geoip_country::GeoIpCountry),
            $apply!(geoip_asn::GeoIpAsn),
            $apply!(parse_user_agent::ParseUserAgent),
            $apply!(url_host::UrlHost),
            $apply!(url_path::UrlPath),
            $apply!(url_query::UrlQuery),
            $apply!(pseudonymize::Pseudonymize),
        ]
    };
}

/// Every function, looking up in an enrichment.
pub fn all(enrichment: &Arc<Enrichment>) -> Vec<ScalarUDF> {
    macro_rules! to_udf {
        ($function:path) => {
            udf::<$function>(enrichment)
        };
    }
    with_every_function!(to_udf).into()
}

/// The documentation of every function.
pub fn docs() -> Vec<FunctionDoc> {
    macro_rules! to_doc {
        ($function:path) => {
            <$function as Function>::DOC
        };
    }
    with_every_function!(to_doc).into()
}

/// Makes an engine know every function, reckon without wrapping around, and name the source of rows
/// in errors.
pub fn register(engine: &SessionContext, enrichment: &Arc<Enrichment>) {
    for function in all(enrichment) {
        engine.register_udf(function);
    }
    whole_numbers::register(engine);
    time_patterns::read_patterns_alike(engine);
    engine.register_udaf(checked_sum::checked_sum());
    engine.register_udaf(checked_avg::checked_avg());
    rolling::register(engine);
    engine.add_analyzer_rule(Arc::new(checked_arithmetic::CheckArithmetic));
    engine.add_analyzer_rule(Arc::new(exact_double::ExactDoubles));
    engine.add_analyzer_rule(Arc::new(exact_aggregates::ExactAggregates));
    engine.add_analyzer_rule(Arc::new(AddRowSource));
}

/// The names of functions that may refuse a row, and so take its source.
fn refusing_rows() -> [&'static str; 5] {
    [
        consumption_tax::ConsumptionTax::DOC.name,
        tax_included::TaxIncluded::DOC.name,
        tax_excluded::TaxExcluded::DOC.name,
        tax_rate::TaxRate::DOC.name,
        invoice_tax::InvoiceTax::DOC.name,
    ]
}

#[cfg(test)]
#[path = "udf_tests.rs"]
mod tests;
