//! Look-ups that make rows richer: tax, places, browsers, parts of URLs, pseudonyms.
//!
//! Nothing in here knows of SQL, files' layouts or the environment; `udf` makes the SQL functions
//! out of it. One purchase, and what becomes of its values:
//!
//! ```text
//! price 1980, category "reduced", at 2026-11-20T15:00:00Z
//!   ─► tax.rs         the day in Asia/Tokyo is 2026-11-21, the rate 8 %
//!   ─► rounding.rs    1980 × 8 % = 158.4, rounded down: 158 yen
//! ip "::ffff:133.11.0.1"
//!   ─► address.rs     the public address 133.11.0.1
//!   ─► geoip.rs       country_code "JP"
//!   ─► country.rs     country_name "Japan"
//! user_agent "Mozilla/5.0 (iPhone; …) … Safari/604.1"
//!   ─► user_agent.rs  browser "Mobile Safari", os "iOS", device_kind "smartphone", bot false
//! url "/search?q=%E6%9C%AC"
//!   ─► url.rs         path "/search", query value "本"
//! user "taro"
//!   ─► pseudonym.rs   64 hexadecimal digits
//! ```

use std::path::Path;
use std::{fs, io};

pub mod address;
pub mod country;
pub mod geoip;
mod geoip_kept;
mod geoip_record;
mod location;
#[cfg(test)]
mod mmdb_writer;
pub mod pseudonym;
pub mod rounding;
pub mod tax;
pub mod url;
pub mod user_agent;
pub mod warnings;

pub use geoip::GeoDatabases;
pub use location::Location;
pub use pseudonym::Keys;
pub use rounding::Rounding;
pub use tax::{Rate, RateLookup, TaxTable};
pub use user_agent::{UserAgent, UserAgents};
pub use warnings::Warnings;

/// What a sale does whose category or rate the tax table lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TaxUnknown {
    /// The result is NULL, and a warning is counted.
    #[default]
    Null,
    /// The run fails with an error that names the row.
    Error,
}

/// Everything that the SQL functions look up in, made once a run.
#[derive(Debug)]
pub struct Enrichment {
    /// Tax rates.
    pub tax: TaxTable,
    /// What a category or a rate that the table lacks does.
    pub tax_unknown: TaxUnknown,
    /// How tax is rounded where the SQL does not say.
    pub rounding: Rounding,
    /// GeoIP databases; may be none.
    pub geoip: GeoDatabases,
    /// Patterns of user agents, compiled at first use.
    pub user_agents: UserAgents,
    /// Keys of pseudonyms; may be none.
    pub keys: Keys,
    /// What was met and gone on from.
    pub warnings: Warnings,
}

impl Default for Enrichment {
    /// The bundled tax table, rounding down, unknown categories NULL; no database and no keys.
    fn default() -> Self {
        Enrichment {
            tax: TaxTable::bundled(),
            tax_unknown: TaxUnknown::default(),
            rounding: Rounding::default(),
            geoip: GeoDatabases::default(),
            user_agents: UserAgents::default(),
            keys: Keys::default(),
            warnings: Warnings::default(),
        }
    }
}

/// Reads a file; what would be waited for, as a named pipe without a writer, is refused.
///
/// # Errors
/// What the system says, or that it is no file.
pub fn read_regular_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("expected a file, found something else"));
    }
    fs::read(path)
}
