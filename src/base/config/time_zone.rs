//! Names of time zones, and what may have been meant by what is none.

use chrono_tz::{TZ_VARIANTS, Tz};

use super::nearest;

/// Abbreviations that are no names of zones, and a zone that has them. Some stand for several.
const ABBREVIATIONS: [(&str, &str); 48] = [
    ("ACST", "Australia/Adelaide"),
    ("AEDT", "Australia/Sydney"),
    ("AEST", "Australia/Sydney"),
    ("AKDT", "America/Anchorage"),
    ("AKST", "America/Anchorage"),
    ("ART", "America/Argentina/Buenos_Aires"),
    ("AST", "America/Halifax"),
    ("AWST", "Australia/Perth"),
    ("BRT", "America/Sao_Paulo"),
    ("BST", "Europe/London"),
    ("CAT", "Africa/Maputo"),
    ("CDT", "America/Chicago"),
    ("CEST", "Europe/Paris"),
    ("CLT", "America/Santiago"),
    ("COT", "America/Bogota"),
    ("CST", "America/Chicago` or `Asia/Shanghai"),
    ("EAT", "Africa/Nairobi"),
    ("EDT", "America/New_York"),
    ("EEST", "Europe/Athens"),
    ("GST", "Asia/Dubai"),
    ("HKT", "Asia/Hong_Kong"),
    ("ICT", "Asia/Bangkok"),
    ("IRST", "Asia/Tehran"),
    ("IST", "Asia/Kolkata` or `Asia/Jerusalem"),
    ("JST", "Asia/Tokyo"),
    ("KST", "Asia/Seoul"),
    ("MDT", "America/Denver"),
    ("MMT", "Asia/Yangon"),
    ("MSK", "Europe/Moscow"),
    ("MYT", "Asia/Kuala_Lumpur"),
    ("NDT", "America/St_Johns"),
    ("NPT", "Asia/Kathmandu"),
    ("NST", "America/St_Johns"),
    ("NZDT", "Pacific/Auckland"),
    ("NZST", "Pacific/Auckland"),
    ("PDT", "America/Los_Angeles"),
    ("PET", "America/Lima"),
    ("PHT", "Asia/Manila"),
    ("PKT", "Asia/Karachi"),
    ("PST", "America/Los_Angeles"),
    ("SAST", "Africa/Johannesburg"),
    ("SGT", "Asia/Singapore"),
    ("TRT", "Europe/Istanbul"),
    ("VET", "America/Caracas"),
    ("WAT", "Africa/Lagos"),
    ("WEST", "Europe/Lisbon"),
    ("WIB", "Asia/Jakarta"),
    ("Z", "UTC"),
];

/// Reads the name of a zone.
///
/// # Errors
/// What may have been meant, as an advice.
pub fn parse_time_zone(name: &str) -> Result<Tz, String> {
    name.parse().map_err(|_| advice(name))
}

fn advice(name: &str) -> String {
    let upper = name.trim().to_uppercase();
    if let Some((_, zone)) = ABBREVIATIONS.iter().find(|(short, _)| *short == upper) {
        return format!("an abbreviation has no rules of summer time: write `{zone}`");
    }
    if let Some(hours) = hours_of(&upper) {
        // In these names the sign is turned: west of Greenwich is positive.
        let sign = if hours < 0 { '+' } else { '-' };
        let zone = match hours {
            0 => "UTC".to_owned(),
            hours => format!("Etc/GMT{sign}{}", hours.abs()),
        };
        return format!("write `{zone}`, or a place such as `Asia/Tokyo`");
    }
    let lower = name.trim().to_lowercase().replace(' ', "_");
    let is_meant = |zone: &&Tz| {
        let zone = zone.name().to_lowercase();
        zone == lower || zone.rsplit('/').next() == Some(&lower)
    };
    if let Some(zone) = TZ_VARIANTS.iter().find(is_meant) {
        return format!("did you mean `{}`?", zone.name());
    }
    let names = TZ_VARIANTS.map(Tz::name);
    // Abbreviations are all near each other.
    match nearest(name, &names) {
        Some(near) if near.contains('/') => format!("did you mean `{near}`?"),
        _ => "expected a name of the IANA time zone database, such as `Asia/Tokyo`".to_owned(),
    }
}

/// Whole hours of `UTC+9`, `GMT-5`, `+09:00`.
fn hours_of(upper: &str) -> Option<i32> {
    let bare = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT")).unwrap_or(upper);
    let (sign, digits) = match bare.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let hours = digits.strip_suffix(":00").or_else(|| digits.strip_suffix("00")).unwrap_or(digits);
    let hours: i32 = hours.parse().ok()?;
    (0..=12).contains(&hours).then_some(sign * hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_zone_is_answered_with_one() {
        for (name, zone) in [
            ("JST", "`Asia/Tokyo`"),
            ("jst", "`Asia/Tokyo`"),
            ("PST", "`America/Los_Angeles`"),
            ("Tokyo", "`Asia/Tokyo`"),
            ("asia/tokyo", "`Asia/Tokyo`"),
            ("New York", "`America/New_York`"),
            ("Asia/Tokio", "`Asia/Tokyo`"),
            ("UTC+9", "`Etc/GMT-9`"),
            ("GMT-05:00", "`Etc/GMT+5`"),
            ("+0900", "`Etc/GMT-9`"),
            ("XYZ", "IANA"),
        ] {
            let advice = parse_time_zone(name).unwrap_err();
            assert!(advice.contains(zone), "{name}: {advice}");
        }
    }

    #[test]
    fn each_zone_of_an_abbreviation_is_one() {
        assert!(ABBREVIATIONS.is_sorted());
        for (short, zones) in ABBREVIATIONS {
            assert!(short.parse::<Tz>().is_err(), "{short} is a zone itself");
            for zone in zones.split("` or `") {
                zone.parse::<Tz>().unwrap();
            }
        }
    }
}
