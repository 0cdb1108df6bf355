//! Names of countries, for databases that hold only codes.

use std::collections::HashMap;
use std::sync::LazyLock;

/// Unicode CLDR's English names: the short ones that people use ("South Korea", not "Korea
/// (Republic of)"), and near to those in MaxMind's databases. The source stands in the file.
const NAMES: &str = include_str!("countries.csv");

static BY_CODE: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    let rows = NAMES.lines().filter(|line| !line.starts_with('#')).skip(1);
    rows.filter_map(|row| row.split_once(',')).collect()
});

/// The English name of an ISO 3166-1 alpha-2 code in upper case; none if there is none.
pub fn country_name(code: &str) -> Option<&'static str> {
    BY_CODE.get(code).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_the_names_that_people_use() {
        assert_eq!(country_name("JP"), Some("Japan"));
        assert_eq!(country_name("KR"), Some("South Korea"));
        assert_eq!(country_name("TR"), Some("Türkiye"));
        assert_eq!(country_name("XX"), None);
        assert_eq!(country_name("jp"), None);
    }

    #[test]
    fn the_table_is_plain_csv_without_quotes() {
        assert_eq!(BY_CODE.len(), 250);
        for (code, name) in BY_CODE.iter() {
            assert!(code.len() == 2 && code.bytes().all(|b| b.is_ascii_uppercase()), "{code}");
            assert!(!name.is_empty() && !name.contains(['"', ',']), "{name}");
        }
    }
}
