use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::enrich::mmdb_writer::write_database;

/// 2026-11-20T00:00:00Z.
const BUILT: u64 = 1_795_132_800;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/geoip").join(name)
}

/// A record in the layout of GeoLite2-City, with a name in another language.
fn city_record() -> Value {
    json!({
        "city": {"geoname_id": 1_863_003, "names": {"en": "Bunkyo City", "ja": "文京区"}},
        "continent": {"code": "AS", "names": {"en": "Asia", "ja": "アジア"}},
        "country": {"iso_code": "JP", "names": {"en": "Japan", "ja": "日本"}},
        "location": {"accuracy_radius": 20, "latitude": 35.7177, "longitude": 139.7458,
                     "time_zone": "Asia/Tokyo"},
        "subdivisions": [{"iso_code": "13", "names": {"en": "Tokyo", "ja": "東京都"}}],
        "traits": {"is_anycast": false},
    })
}

fn city_bytes() -> Vec<u8> {
    let south = json!({
        "country": {"iso_code": "AU", "names": {"en": "Australia"}},
        "location": {"latitude": -33.8591, "longitude": 151.2002, "time_zone": "Australia/Sydney"},
    });
    let mut without_name = city_record();
    without_name["country"] = json!({"iso_code": "KR"});
    write_database(
        "Made-Up-City",
        6,
        BUILT,
        &[
            ("133.11.0.0/16", city_record()),
            ("1.1.1.0/24", south),
            ("2001:200::/32", without_name),
            ("9.9.9.0/24", json!({"traits": {"is_anycast": true}})),
        ],
    )
}

fn asn_bytes() -> Vec<u8> {
    let asn = |number: u32, organization: &str| -> Value {
        json!({
            "autonomous_system_number": number,
            "autonomous_system_organization": organization,
        })
    };
    let networks = [
        ("133.11.0.0/16", asn(2501, "The University of Tokyo")),
        ("8.8.8.0/24", asn(4_294_967_295, "Largest")),
    ];
    write_database("Made-Up-ASN", 4, BUILT, &networks)
}

fn open(bytes: Vec<u8>) -> GeoDatabases {
    GeoDatabases::from_bytes(Path::new("t.mmdb"), bytes).unwrap()
}

#[test]
fn the_made_up_fixtures_are_what_the_writer_writes() {
    for (name, bytes) in [("made_up_city.mmdb", city_bytes()), ("made_up_asn.mmdb", asn_bytes())] {
        if std::env::var_os("ASHIATO_WRITE_FIXTURES").is_some() {
            std::fs::write(fixture(name), &bytes).unwrap();
        }
        let same = std::fs::read(fixture(name)).unwrap() == bytes;
        assert!(same, "write {name} anew by testing with ASHIATO_WRITE_FIXTURES=1");
    }
}

#[test]
fn a_city_database_gives_place_and_time_zone() {
    let databases = open(city_bytes());
    let tokyo = Location {
        country_code: Some("JP"),
        country_name: Some("Japan"),
        subdivision: Some("Tokyo"),
        city: Some("Bunkyo City"),
        latitude: Some(35.7177),
        longitude: Some(139.7458),
        time_zone: Some("Asia/Tokyo"),
        asn: None,
        organization: None,
    };
    assert_eq!(databases.locate("133.11.255.255"), Some(tokyo));
    assert_eq!(databases.locate("::ffff:133.11.0.1"), Some(tokyo));
    assert_eq!(databases.locate("133.12.0.0"), None);
    let named_by_code = databases.locate("2001:200::1").unwrap();
    assert_eq!(named_by_code.country_name, Some("South Korea"));
    let sydney = databases.locate("1.1.1.1").unwrap();
    assert_eq!((sydney.city, sydney.latitude), (None, Some(-33.8591)));
    assert_eq!(databases.locate("9.9.9.9"), None, "a record without any of the fields");
}

#[test]
fn a_flat_database_gives_the_same_fields_whatever_type_its_numbers_have() {
    let flat = |latitude: Value, asn: Value| {
        json!({"country_code": "JP", "state1": "Tokyo", "state2": "", "city": "Chiyoda",
               "postcode": "", "latitude": latitude, "longitude": 139, "timezone": "",
               "autonomous_system_number": asn, "autonomous_system_organization": "X"})
    };
    let networks = [
        ("1.0.0.0/24", flat(json!("35.5"), json!("2501"))),
        ("1.0.1.0/24", flat(json!(35.5), json!(2501))),
        ("1.0.2.0/24", flat(json!("NaN"), json!("AS2501"))),
        ("1.0.3.0/24", flat(json!([35.5]), json!({"number": 2501}))),
    ];
    let databases = open(write_database("flat", 4, BUILT, &networks));
    for known in ["1.0.0.1", "1.0.1.1"] {
        let location = databases.locate(known).unwrap();
        assert_eq!(location.country_name, Some("Japan"));
        assert_eq!((location.subdivision, location.city), (Some("Tokyo"), Some("Chiyoda")));
        assert_eq!((location.latitude, location.longitude), (Some(35.5), Some(139.0)));
        assert_eq!((location.time_zone, location.asn), (None, Some(2501)));
    }
    for odd in ["1.0.2.1", "1.0.3.1"] {
        let location = databases.locate(odd).unwrap();
        assert_eq!((location.latitude, location.asn), (None, None), "{odd}");
        assert_eq!(location.organization, Some("X"));
    }
}

#[test]
fn several_databases_are_merged_field_by_field_in_their_order() {
    let databases =
        |first: &str, second: &str| GeoDatabases::open(&[fixture(first), fixture(second)]).unwrap();
    let merged = databases("made_up_asn.mmdb", "made_up_city.mmdb");
    let location = merged.locate("133.11.0.1").unwrap();
    assert_eq!((location.city, location.asn), (Some("Bunkyo City"), Some(2501)));
    assert_eq!(
        location,
        databases("made_up_city.mmdb", "made_up_asn.mmdb").locate("133.11.0.1").unwrap()
    );
    assert_eq!(merged.locate("8.8.8.8").unwrap().asn, Some(4_294_967_295));
    assert_eq!(merged.locate("2001:200::1").unwrap().asn, None, "the ASN database is IPv4 only");

    let other = json!({"country_code": "US", "city": "Elsewhere", "timezone": "UTC"});
    let mut both = open(write_database("flat", 4, BUILT, &[("1.1.1.0/24", other)]));
    both.databases.extend(open(city_bytes()).databases);
    let location = both.locate("1.1.1.1").unwrap();
    assert_eq!((location.country_code, location.city), (Some("US"), Some("Elsewhere")));
    assert_eq!(location.country_name, Some("Australia"), "the first database that has a name");
    assert_eq!(location.latitude, Some(-33.8591));
}

#[test]
fn a_database_describes_itself() {
    let databases = GeoDatabases::open(&[fixture("made_up_city.mmdb")]).unwrap();
    let described = databases.describe();
    assert_eq!(described.len(), 1);
    assert_eq!(described[0].database_type, "Made-Up-City");
    assert_eq!(described[0].build_date, NaiveDate::from_ymd_opt(2026, 11, 20).unwrap());
    assert!(described[0].path.ends_with("made_up_city.mmdb"));
    assert!(!databases.is_empty());
    assert!(GeoDatabases::default().is_empty());
}

#[test]
fn every_unusable_database_is_a_finding_that_names_its_file() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = ["no/such.mmdb", "Cargo.toml"].map(|name| here.join(name));
    let Err(Error::Config(findings)) = GeoDatabases::open(&paths) else { panic!("opened") };
    assert_eq!(findings.len(), 2);
    for (finding, path) in findings.iter().zip(&paths) {
        assert_eq!(finding.file.as_ref(), Some(path));
        assert!(finding.message.starts_with("the GeoIP database cannot be used: "));
    }
}

/// Opens damaged bytes and looks up in what opens; a panic or a hang fails the test.
fn survive(bytes: Vec<u8>) -> bool {
    let Ok(databases) = GeoDatabases::from_bytes(Path::new("damaged.mmdb"), bytes) else {
        return false;
    };
    let addresses = ["133.11.0.1", "1.1.1.1", "2001:200::1", "9.9.9.9", "8.8.8.8", "223.1.1.1"];
    let _ = addresses.map(|address| databases.locate(address).map(|l| l.country_code));
    true
}

#[test]
fn a_database_cut_short_anywhere_is_refused() {
    for bytes in [city_bytes(), asn_bytes()] {
        for length in 0..bytes.len() {
            assert!(!survive(bytes[..length].to_vec()), "cut to {length} bytes");
        }
        assert!(survive(bytes));
    }
}

#[test]
fn a_database_with_any_byte_changed_is_refused_or_still_answers() {
    for bytes in [city_bytes(), asn_bytes()] {
        for place in 0..bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[place] ^= change;
                survive(damaged);
            }
        }
    }
}

#[test]
fn a_search_tree_that_is_a_knot_is_refused_soon() {
    // Every record of every node points back to the root.
    let mut bytes = city_bytes();
    let separator = bytes.windows(16).position(|window| window == [0; 16]).unwrap();
    bytes[..separator].fill(0);
    let begun = Instant::now();
    assert!(!survive(bytes));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_shipped_database_survives_damage_too() {
    let bytes = std::fs::read(fixture("iptoasn-country-ipv6.mmdb")).unwrap();
    assert!(!survive(bytes[..bytes.len() / 2].to_vec()));
    // A walk through all of it takes a while, so few places are damaged, spread over the file.
    for eighth in 0..8 {
        let mut damaged = bytes.clone();
        let place = bytes.len() / 8 * eighth + 7;
        damaged[place..place + 3].fill(0xff);
        survive(damaged);
    }
}

#[test]
fn the_shipped_databases_know_real_addresses() {
    let names = ["geo-whois-asn-country-ipv4.mmdb", "iptoasn-country-ipv6.mmdb", "asn.mmdb"];
    let databases = GeoDatabases::open(&names.map(fixture)).unwrap();
    for info in databases.describe() {
        assert!(info.build_date >= NaiveDate::from_ymd_opt(2026, 6, 17).unwrap(), "{info:?}");
    }
    let tokyo = databases.locate("133.11.0.1").unwrap();
    assert_eq!((tokyo.country_code, tokyo.country_name), (Some("JP"), Some("Japan")));
    assert_eq!(tokyo.asn, Some(2501));
    let wide = databases.locate("2001:200::1").unwrap();
    assert_eq!((wide.country_code, wide.asn), (Some("JP"), Some(2500)));
    assert_eq!(databases.locate("8.8.8.8").unwrap().asn, Some(15169));
    assert_eq!(databases.locate("192.168.1.1"), None);
}
