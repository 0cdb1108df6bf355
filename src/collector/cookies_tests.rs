use proptest::prelude::*;

use super::*;

fn keys(secrets: &[&str]) -> CookieKeys {
    let mut keys = CookieKeys::default();
    secrets.iter().for_each(|secret| assert!(keys.push(secret.as_bytes())));
    keys
}

const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER_KEY: &str = "fedcba9876543210fedcba9876543210";

fn reader(keys: &CookieKeys) -> CookieReader<'_> {
    CookieReader { short_name: "s", long_name: "l", keys, accepts_unsigned: false }
}

fn id(number: u64) -> Uuid {
    Uuid::from_u64_pair(1, number)
}

fn long(number: u64, ms: i64, keys: &CookieKeys) -> String {
    format!("l={}", LongCookie::signed(id(number), ms, keys))
}

fn short(number: u64, ms: i64, seq: u64, visitor: u64, keys: &CookieKeys) -> String {
    let cookie = ShortCookie { short: id(number), seen_ms: ms, seq };
    format!("s={}", signed_short(cookie, id(visitor), keys))
}

/// The visitor, the visit, and its events so far, as numbers.
fn read(headers: &[&[u8]], keys: &CookieKeys) -> (Option<u64>, Option<(u64, u64)>) {
    let brought = reader(keys).read(headers.iter().copied());
    let number = |id: Uuid| id.as_u64_pair().1;
    let visit = brought.short.map(|cookie| (number(cookie.short), cookie.seq));
    (brought.long.map(|cookie| number(cookie.long)), visit)
}

#[test]
fn ours_are_read_whatever_other_cookies_there_are() {
    for keys in [keys(&[]), keys(&[KEY])] {
        let (long, short) = (long(1, 5, &keys), short(2, 6, 3, 1, &keys));
        let quoted = long.replacen('=', "=\"", 1) + "\"";
        for header in [
            format!("{long}; {short}").into_bytes(),
            format!("name=山田太郎; {long}; {short}").into_bytes(),
            [b"name=\xe5\xb1\xff; ".as_slice(), long.as_bytes(), b"; x=\xe9;", short.as_bytes()]
                .concat(),
            format!("{long};{short}").into_bytes(),
            format!("  {long} ;\t{short} ; ").into_bytes(),
            format!("note=\"a; {long}; b\"; {short}; =x; y; ;;=").into_bytes(),
            format!("{quoted}; {short}").into_bytes(),
            format!("L=x; S=y; ll=z; {short}; {long}").into_bytes(),
            format!("l=; s=; l=x; s=1.2.3; {long}; {short}; l=x").into_bytes(),
        ] {
            let shown = String::from_utf8_lossy(&header).into_owned();
            assert_eq!(read(&[&header], &keys), (Some(1), Some((2, 3))), "{shown}");
        }
        // HTTP/2 may send each in a header of its own.
        let headers: [&[u8]; 3] = [short.as_bytes(), b"x=\xff", long.as_bytes()];
        assert_eq!(read(&headers, &keys), (Some(1), Some((2, 3))));
        assert_eq!(read(&[short.as_bytes()], &keys), (None, None), "no visit without a visitor");
    }
}

#[test]
fn of_several_cookies_the_newest_counts_that_is_valid() {
    let (none, own, other) = (keys(&[]), keys(&[KEY]), keys(&[OTHER_KEY]));
    let newest = format!("{}; {}; {}", long(1, 5, &own), long(2, 9, &own), long(3, 7, &own));
    assert_eq!(read(&[newest.as_bytes()], &own).0, Some(2));
    let forged = format!("{}; {}; {}", long(9, 99, &other), long(1, 5, &own), long(8, 98, &none));
    assert_eq!(read(&[forged.as_bytes()], &own).0, Some(1));
    let same = format!("{}; {}", long(1, 5, &own), long(2, 5, &own));
    assert_eq!(read(&[same.as_bytes()], &own).0, Some(1), "the first one's path is the longest");
    let shorts = [long(1, 5, &own), short(2, 6, 3, 1, &own), short(3, 7, 1, 1, &own)].join("; ");
    assert_eq!(read(&[shorts.as_bytes()], &own).1, Some((3, 1)));
    // Junk in our form, however much, costs a bounded number of hashes.
    let junk = vec![long(9, 99, &other); 500].join(";") + ";" + &long(1, 5, &own);
    assert_eq!(read(&[junk.as_bytes()], &own).0, None);
}

#[test]
fn nobody_can_make_the_cookie_of_another() {
    let own = keys(&[KEY]);
    let (good, visit) = (long(1, 5, &own), short(2, 6, 3, 1, &own));
    let is_refused = |text: &str| read(&[text.as_bytes()], &own).0.is_none();
    assert!(!is_refused(&good));
    let unsigned = good.rsplit_once('.').unwrap().0;
    assert!(is_refused(unsigned));
    assert!(is_refused(unsigned.rsplit_once('.').unwrap().0), "the id alone");
    assert!(is_refused(&good.replace(&id(1).to_string(), &id(9).to_string())));
    assert!(is_refused(&good.replace(".5.", ".6.")));
    assert!(is_refused(&format!("{good}A")) && is_refused(&good[..good.len() - 1]));
    assert!(is_refused(&format!("{good}.x")));
    // Each tag is of one cookie and one visitor.
    let as_long = visit.replace("s=", "l=").replace(".6.3.", ".6.");
    assert!(is_refused(&as_long));
    let stolen = format!("{}; {visit}", long(9, 5, &own));
    assert_eq!(read(&[stolen.as_bytes()], &own), (Some(9), None));
    let more = format!("{good}; {}", visit.replace(".6.3.", ".6.4."));
    assert_eq!(read(&[more.as_bytes()], &own), (Some(1), None));
}

#[test]
fn a_key_is_changed_without_losing_visitors() {
    let (old, new) = (keys(&[OTHER_KEY]), keys(&[KEY, OTHER_KEY]));
    let cookies = format!("{}; {}", long(1, 5, &old), short(2, 6, 3, 1, &old));
    assert_eq!(read(&[cookies.as_bytes()], &new), (Some(1), Some((2, 3))));
    assert_eq!(long(1, 5, &new), long(1, 5, &keys(&[KEY])), "the first one signs");
    assert_eq!(read(&[cookies.as_bytes()], &keys(&[KEY])), (None, None));
    // Without any key again, those that were signed go on.
    assert_eq!(read(&[cookies.as_bytes()], &keys(&[])), (Some(1), Some((2, 3))));
    assert!(!CookieKeys::default().push(b"too short"));
}

#[test]
fn cookies_from_before_there_was_a_key_go_on_if_they_may() {
    let (none, own) = (keys(&[]), keys(&[KEY]));
    let cookies = format!("{}; {}", long(1, 5, &none), short(2, 6, 3, 1, &none));
    assert_eq!(read(&[cookies.as_bytes()], &own), (None, None));
    let lenient = CookieReader { accepts_unsigned: true, ..reader(&own) };
    let brought = lenient.read([cookies.as_bytes()].into_iter());
    assert_eq!((brought.long.unwrap().long, brought.short.unwrap().seq), (id(1), 3));
    let forged = long(1, 5, &keys(&[OTHER_KEY]));
    assert!(lenient.read([forged.as_bytes()].into_iter()).long.is_none());
}

#[test]
fn what_no_visit_can_be_is_ignored() {
    let none = keys(&[]);
    let visitor = long(1, 5, &none);
    let visit = id(2);
    for bad in [
        format!("{visit}.5.{}", u64::MAX),
        format!("{visit}.5.0"),
        format!("{visit}.5.-1"),
        format!("{visit}.-5.1"),
        format!("{visit}.9999999999999999999999.1"),
        format!("{visit}.5"),
        format!("{visit}.5.1.x"),
        "00000000-0000-0000-0000-000000000000.5.1".to_owned(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff.5.1".to_owned(),
    ] {
        let cookies = format!("{visitor}; s={bad}");
        assert_eq!(read(&[cookies.as_bytes()], &none), (Some(1), None), "{bad}");
    }
    for bad in ["x", "", "1.1.1", "00000000-0000-0000-0000-000000000000.1"] {
        assert_eq!(read(&[format!("l={bad}").as_bytes()], &none).0, None, "{bad}");
    }
}

#[test]
fn keys_are_not_shown() {
    assert_eq!(format!("{:?}", keys(&[KEY])), "CookieKeys(1)");
}

#[test]
fn a_visitor_is_forgotten_exactly_when_the_time_is_up() {
    let cookie = LongCookie { long: Uuid::from_u64_pair(0, 1), renewed_ms: Some(1000) };
    assert_eq!(cookie.in_force(500, 1499), Some(cookie.long));
    assert_eq!(cookie.in_force(500, 1500), None);
    assert_eq!(cookie.in_force(500, 0), Some(cookie.long));
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_ours_among_them_found(
        before in prop::collection::vec(any::<u8>(), 0..60),
        after in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let own = keys(&[KEY]);
        let ours = long(1, 5, &own);
        let header = [&before[..], b";", ours.as_bytes(), b";", &after].concat();
        prop_assert_eq!(read(&[&header], &own).0, Some(1));
    }
}
