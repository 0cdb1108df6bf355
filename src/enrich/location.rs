//! What GeoIP databases know of an address.

/// What is known of an address; each field is none where no database knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Location<'a> {
    /// ISO 3166-1 alpha-2, upper case.
    pub country_code: Option<&'a str>,
    /// In English.
    pub country_name: Option<&'a str>,
    /// The first subdivision (prefecture, state), in English.
    pub subdivision: Option<&'a str>,
    /// In English.
    pub city: Option<&'a str>,
    /// Degrees north, WGS 84.
    pub latitude: Option<f64>,
    /// Degrees east, WGS 84.
    pub longitude: Option<f64>,
    /// IANA name, such as `Asia/Tokyo`.
    pub time_zone: Option<&'a str>,
    /// Number of the autonomous system.
    pub asn: Option<i64>,
    /// Organisation that runs the autonomous system.
    pub organization: Option<&'a str>,
}

impl<'a> Location<'a> {
    /// The fields of `self`, and those of `other` where `self` has none.
    pub(super) fn or(self, other: Location<'a>) -> Location<'a> {
        Location {
            country_code: self.country_code.or(other.country_code),
            country_name: self.country_name.or(other.country_name),
            subdivision: self.subdivision.or(other.subdivision),
            city: self.city.or(other.city),
            latitude: self.latitude.or(other.latitude),
            longitude: self.longitude.or(other.longitude),
            time_zone: self.time_zone.or(other.time_zone),
            asn: self.asn.or(other.asn),
            organization: self.organization.or(other.organization),
        }
    }
}
