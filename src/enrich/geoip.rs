//! Where an IP address is and whose it is, out of MaxMind DB files (MMDB 2.0).
//!
//! ```text
//! "::ffff:133.11.0.1"
//!   ─► public address            133.11.0.1        (address.rs)
//!   ─► a record per database     {country_code: "JP"}, {autonomous_system_number: 2501, …}
//!   ─► first non-null by field   country_code "JP", asn 2501, organization "The University of …"
//!   ─► name of the code          country_name "Japan"                       (country.rs)
//! ```
//!
//! A database is read into memory and checked through when it is opened: every record that its
//! search tree reaches must decode. So a damaged file is an error at start, and look-ups in what
//! passed cannot fail. (The reader's own `verify` is not used: it refuses databases without a
//! description, which the free ones are.)

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate};
use foldhash::{HashMap, HashMapExt};
use maxminddb::{Reader, WithinOptions};

use super::address::parse_public;
use super::country::country_name;
use super::geoip_kept::KeptLocation;
use super::geoip_record::Record;
use super::location::Location;
use super::read_regular_file;
use crate::base::error::{Diagnostic, Error, Result};

/// Records that are kept decoded: all of a database of countries or autonomous systems, and some
/// 20 MB at most. What a database has beyond them is decoded at each look-up.
const RECORDS_KEPT_MAX: usize = 100_000;

/// What a database says of itself, for the run's result.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GeoDatabaseInfo {
    /// The file as the pipeline named it.
    pub path: PathBuf,
    /// The type that its maker gave it, such as `GeoLite2-City`.
    pub database_type: String,
    /// The day it was built, in UTC.
    pub build_date: NaiveDate,
}

/// MMDB databases in the order in which they are asked.
#[derive(Debug, Default)]
pub struct GeoDatabases {
    databases: Vec<Database>,
}

#[derive(Debug)]
struct Database {
    info: GeoDatabaseInfo,
    reader: Reader<Vec<u8>>,
    /// Decoded records by their offsets, the first ones of the search tree.
    kept: HashMap<usize, KeptLocation>,
}

impl GeoDatabases {
    /// Reads and checks databases. Every file that is missing or damaged is a finding.
    pub fn open(paths: &[PathBuf]) -> Result<GeoDatabases> {
        let mut databases = Vec::new();
        let mut findings = Vec::new();
        for path in paths {
            let read = read_regular_file(path).map_err(|error| error.to_string());
            match read.and_then(|bytes| check(path, bytes)) {
                Ok(database) => databases.push(database),
                Err(why) => findings.push(unusable(path, &why)),
            }
        }
        if findings.is_empty() {
            Ok(GeoDatabases { databases })
        } else {
            Err(Error::Config(findings))
        }
    }

    /// Checks one database that is in memory already; `path` names it.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<GeoDatabases> {
        let checked = check(path, bytes);
        let database = checked.map_err(|why| Error::Config(vec![unusable(path, &why)]))?;
        Ok(GeoDatabases { databases: vec![database] })
    }

    /// Whether there is nothing to look up in.
    pub fn is_empty(&self) -> bool {
        self.databases.is_empty()
    }

    /// What each database says of itself, in the order in which they are asked.
    pub fn describe(&self) -> Vec<GeoDatabaseInfo> {
        self.databases.iter().map(|database| database.info.clone()).collect()
    }

    /// Looks an address up. None if the text is no public address (private, reserved, loopback,
    /// link-local, documentation, carrier-shared, multicast, malformed) or no database knows it.
    pub fn locate(&self, address: &str) -> Option<Location<'_>> {
        let address = parse_public(address)?;
        let known = self.databases.iter().filter_map(|database| database.locate(address));
        let mut location = known.reduce(Location::or)?;
        if location.country_name.is_none() {
            location.country_name = location.country_code.and_then(country_name);
        }
        (location != Location::default()).then_some(location)
    }
}

impl Database {
    fn locate(&self, address: IpAddr) -> Option<Location<'_>> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return None;
        }
        // No step fails for a database that passed `check`.
        let found = self.reader.lookup(address).ok()?;
        if let Some(kept) = self.kept.get(&found.offset()?) {
            return Some(kept.as_location());
        }
        let record: Record<'_> = found.decode().ok()??;
        Some(record.location())
    }
}

fn unusable(path: &Path, why: &str) -> Diagnostic {
    let message = format!("the GeoIP database cannot be used: {why}");
    Diagnostic::new(message).in_file(path).help("expected an undamaged MaxMind DB (.mmdb) file")
}

/// Opens a database and walks through all of it, once.
fn check(path: &Path, bytes: Vec<u8>) -> Result<Database, String> {
    let length = bytes.len();
    let reader = Reader::from_source(bytes).map_err(|e| e.to_string())?;
    let metadata = reader.metadata();
    let built = i64::try_from(metadata.build_epoch).ok();
    let built = built.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let info = GeoDatabaseInfo {
        path: path.to_owned(),
        database_type: metadata.database_type.clone(),
        build_date: built.ok_or("its build time is out of range")?.date_naive(),
    };
    let kept = check_records(&reader, length)?;
    Ok(Database { info, reader, kept })
}

/// Walks a database of so many bytes, which is more than any record's offset; gives the decoded
/// records that are to be kept.
fn check_records(
    reader: &Reader<Vec<u8>>,
    bytes: usize,
) -> Result<HashMap<usize, KeptLocation>, String> {
    // A tree of n nodes has n + 1 leaves, somewhat more if branches share a subtree, as those for
    // IPv4 do; a tree that has been made a knot has endlessly many.
    let leaves_max = u64::from(reader.metadata().node_count) * 3;
    let options = WithinOptions::default().include_networks_without_data();
    let mut decoded = vec![false; bytes];
    let mut kept = HashMap::new();
    let networks = reader.networks(options).map_err(|e| e.to_string())?;
    for (leaves, network) in (1_u64..).zip(networks) {
        if leaves > leaves_max {
            return Err("its search tree is no tree".to_owned());
        }
        let network = network.map_err(|e| e.to_string())?;
        let Some(offset) = network.offset() else { continue };
        if decoded.get_mut(offset).is_none_or(|decoded| std::mem::replace(decoded, true)) {
            continue;
        }
        let record = network.decode::<Record<'_>>().map_err(|e| e.to_string())?;
        if let Some(record) = record.filter(|_| kept.len() < RECORDS_KEPT_MAX) {
            kept.insert(offset, KeptLocation::of(record.location()));
        }
    }
    Ok(kept)
}

#[cfg(test)]
#[path = "geoip_tests.rs"]
mod tests;
