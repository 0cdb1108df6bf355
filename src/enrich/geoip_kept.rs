//! A location that owns its texts: decoded once, looked up often.

use super::location::Location;

/// [`Location`] with texts of its own.
#[derive(Debug)]
pub(super) struct KeptLocation {
    country_code: Option<Box<str>>,
    country_name: Option<Box<str>>,
    subdivision: Option<Box<str>>,
    city: Option<Box<str>>,
    latitude: Option<f64>,
    longitude: Option<f64>,
    time_zone: Option<Box<str>>,
    asn: Option<i64>,
    organization: Option<Box<str>>,
}

impl KeptLocation {
    pub(super) fn of(location: Location<'_>) -> Self {
        KeptLocation {
            country_code: location.country_code.map(Box::from),
            country_name: location.country_name.map(Box::from),
            subdivision: location.subdivision.map(Box::from),
            city: location.city.map(Box::from),
            latitude: location.latitude,
            longitude: location.longitude,
            time_zone: location.time_zone.map(Box::from),
            asn: location.asn,
            organization: location.organization.map(Box::from),
        }
    }

    pub(super) fn as_location(&self) -> Location<'_> {
        Location {
            country_code: self.country_code.as_deref(),
            country_name: self.country_name.as_deref(),
            subdivision: self.subdivision.as_deref(),
            city: self.city.as_deref(),
            latitude: self.latitude,
            longitude: self.longitude,
            time_zone: self.time_zone.as_deref(),
            asn: self.asn,
            organization: self.organization.as_deref(),
        }
    }
}
