//! Who sends a request: address, browser, ids, and whether ids may be taken at all.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue, USER_AGENT};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::config::{CollectorConfig, Consent};
use super::cookies::{Brought, CookieReader, LongCookie};
use super::envelope::Sender;
use super::visits::ShortCookie;

/// The visitor's id, in responses; of requests it is that of clients that keep no cookies.
pub(super) const LONG_HEADER: &str = "ashiato-visit-long";
/// The visitor's id with what proves it, where cookies are signed; for the same clients.
pub(super) const TOKEN_HEADER: &str = "ashiato-visit-token";
/// The visit's id, in responses.
pub(super) const SHORT_HEADER: &str = "ashiato-visit-short";
/// Bytes of a user agent that are kept.
const USER_AGENT_BYTES_MAX: usize = 1024;
/// What says no, where anything else says yes.
const NO: [&str; 5] = ["0", "?0", "false", "no", "off"];
/// What says nothing in the headers that browsers set.
const UNSET: [&str; 4] = ["", "null", "unspecified", "undefined"];

/// Whom a client's requests are charged to.
pub(super) type ClientKey = IpAddr;

/// An address as it is charged: of IPv6 its /64, which is the least that anybody is given, and of
/// which each has 2^64.
pub(super) fn client_key(ip: IpAddr) -> ClientKey {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        ip => ip,
    }
}

/// The /48 of an IPv6 address: a site's, or many homes', and as easily had as one of the 65,536
/// /64s that it has.
pub(super) fn site_key(ip: IpAddr) -> Option<ClientKey> {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Some(Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80).into()),
        IpAddr::V4(_) => None,
    }
}

/// As much as so many clients may, a /48 may.
pub(super) const SITE_CLIENTS: u32 = 16;

/// Whether an address is one of some networks'.
pub(super) fn is_trusted(ip: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// Who sends a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// The address, whether it is kept or not.
    pub ip: Option<IpAddr>,
    /// What lands of it.
    pub sender: Sender,
    /// Whether ids may not be taken.
    pub anonymous: bool,
    /// The visitor's id and when it was renewed, if the client knows.
    pub long: Option<LongCookie>,
    /// Whether that id is good only as long as none has come back: whoever knows a page's name for
    /// its visitor could bring it.
    pub is_by_name: bool,
    /// What the client says of its visit.
    pub short: Option<ShortCookie>,
    /// Whether its page says that there is no consent, and it brought any of our cookies, good
    /// ones or not: they are to go.
    pub parts: bool,
    /// Whether the visitor's id came by a cookie: this client keeps what it is given.
    pub keeps_cookies: bool,
}

/// The way that an event comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// By a script's request, or an app's.
    Post,
    /// By the pixel, for which any site's link or picture is enough.
    Pixel,
}

/// Reads a request's head; `peer` is who is connected, `query` stands after the path.
pub(super) fn client_of(
    headers: &HeaderMap,
    query: Option<&str>,
    way: Way,
    peer: SocketAddr,
    config: &CollectorConfig,
) -> Client {
    let told = query.map(query_hints).unwrap_or_default();
    let anonymous = told.anonymous || is_anonymous(headers, &config.consent);
    let ip = address_of(headers, peer.ip().to_canonical(), &config.trusted_proxies);
    let kept_ip = Some(ip).filter(|_| !anonymous || config.consent.keep_ip);
    let sender = Sender { ip: kept_ip, user_agent: user_agent(headers) };
    let Brought { long: by_cookie, short, any } = ids_of(headers, config);
    let mut client = Client { ip: Some(ip), sender, anonymous, ..Client::default() };
    client.parts = told.anonymous && any;
    if !anonymous {
        // A link could make a visitor one of whom another knows the name.
        let by_name = || told.newcomer.filter(|_| way == Way::Post);
        client.keeps_cookies = by_cookie.is_some();
        let given = by_cookie.or_else(|| by_header(headers, config));
        client.long = given.or_else(by_name);
        client.is_by_name = given.is_none() && client.long.is_some();
        client.short = short;
    }
    client
}

/// What a query says of who sends it.
#[derive(Debug, Default)]
struct QueryHints {
    anonymous: bool,
    newcomer: Option<LongCookie>,
}

fn query_hints(query: &str) -> QueryHints {
    let mut told = QueryHints::default();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if is_anonymous_key(&key) {
            told.anonymous |= is_yes(value.as_bytes(), &[]);
        } else if key == "first" {
            told.newcomer = told.newcomer.or_else(|| newcomer(&value));
        }
    }
    told
}

/// Whether a query's key asks that no ids are taken.
pub(super) fn is_anonymous_key(key: &str) -> bool {
    key.eq_ignore_ascii_case("anonymous")
}

/// However it is spelled: who sends more than a no is taken to mean it.
fn is_anonymous(headers: &HeaderMap, consent: &Consent) -> bool {
    let says = |name: &str, unset: &[&str]| {
        headers.get_all(name).iter().any(|value| is_yes(value.as_bytes(), unset))
    };
    consent.honor_dnt && says("dnt", &UNSET)
        || consent.honor_gpc && says("sec-gpc", &UNSET)
        || says(&consent.anonymous_header, &[])
}

/// Whether a value, or one of several with commas between them, says anything but no; what is in
/// `unset` says nothing.
fn is_yes(value: &[u8], unset: &[&str]) -> bool {
    value.split(|byte| *byte == b',').any(|one| {
        let one = one.trim_ascii();
        let bare = one.strip_prefix(b"\"").and_then(|one| one.strip_suffix(b"\"")).unwrap_or(one);
        let is = |word: &&str| bare.eq_ignore_ascii_case(word.as_bytes());
        !NO.iter().any(is) && !unset.iter().any(is)
    })
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let bytes = headers.get(USER_AGENT)?.as_bytes();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(USER_AGENT_BYTES_MAX)]);
    // What is no UTF-8 takes three bytes each.
    serde_json::to_string(&text[..text.floor_char_boundary(USER_AGENT_BYTES_MAX)]).ok()
}

/// What a client's cookies say.
fn ids_of(headers: &HeaderMap, config: &CollectorConfig) -> Brought {
    reader_of(config).read(headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes))
}

fn reader_of(config: &CollectorConfig) -> CookieReader<'_> {
    let cookies = &config.cookies;
    CookieReader {
        short_name: &cookies.short_name,
        long_name: &cookies.long_name,
        keys: &cookies.keys,
        accepts_unsigned: cookies.accept_unsigned,
    }
}

/// The visitor of a client that keeps no cookies, but what responses' headers said.
fn by_header(headers: &HeaderMap, config: &CollectorConfig) -> Option<LongCookie> {
    let value = headers.get(TOKEN_HEADER).or_else(|| headers.get(LONG_HEADER))?;
    reader_of(config).long_of(value.as_bytes())
}

/// The visitor of `?first=<UUID>`, a name that a page makes up until it has seen that cookies come
/// back: requests without any are of one visitor then, and not of several.
///
/// The id is made of that name, so that all collectors give the same without asking each other. A
/// name stands in access logs: it is good until the id has come back once.
fn newcomer(name: &str) -> Option<LongCookie> {
    let name = Uuid::try_parse(name).ok().filter(|name| !name.is_nil() && !name.is_max())?;
    let digest = Sha256::new().chain_update(b"ashiato visitor").chain_update(name).finalize();
    let bytes = digest.first_chunk::<16>()?;
    let long = uuid::Builder::from_custom_bytes(*bytes).into_uuid();
    Some(LongCookie { long, renewed_ms: None })
}

/// The address of the client: behind trusted proxies, the last one of `X-Forwarded-For` that is
/// not a trusted proxy's own. What stands before it anybody may have written.
fn address_of(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer;
    let values = headers.get_all("x-forwarded-for").iter().rev();
    // What is no text is no address, and so the end of what is believed.
    let texts = values.map(|value| value.to_str().unwrap_or("?"));
    for text in texts.flat_map(|text| text.rsplit(',')) {
        if !is_trusted(address, trusted) {
            break;
        }
        match forwarded_address(text.trim()) {
            Some(ip) => address = ip.to_canonical(),
            None => break,
        }
    }
    address
}

/// `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn client(pairs: &[(&'static str, &'static str)], config: &CollectorConfig) -> Client {
        client_of(&headers(pairs), None, Way::Post, "192.0.2.9:1".parse().unwrap(), config)
    }

    #[test]
    fn a_forwarded_address_counts_only_from_trusted_proxies() {
        let trusting = |networks: &[&str]| CollectorConfig {
            trusted_proxies: networks.iter().map(|network| network.parse().unwrap()).collect(),
            ..CollectorConfig::default()
        };
        type Case =
            (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str);
        let cases: [Case; 9] = [
            (&[], &[("x-forwarded-for", "203.0.113.7")], "192.0.2.9"),
            (&["192.0.2.0/24"], &[], "192.0.2.9"),
            (&["192.0.2.0/24"], &[("x-forwarded-for", "203.0.113.7")], "203.0.113.7"),
            (&["192.0.2.0/24"], &[("x-forwarded-for", "10.0.0.1, 203.0.113.7")], "203.0.113.7"),
            (&["192.0.2.9/32"], &[("x-forwarded-for", "1.1.1.1,192.0.2.8")], "192.0.2.8"),
            (&["192.0.2.0/24"], &[("x-forwarded-for", "1.1.1.1,192.0.2.8")], "1.1.1.1"),
            (&["192.0.2.0/24"], &[("x-forwarded-for", "unknown")], "192.0.2.9"),
            (&["192.0.2.0/24"], &[("x-forwarded-for", "[2001:db8::1]:99")], "2001:db8::1"),
            (&["192.0.2.0/24"], &[("x-forwarded-for", "::ffff:8.8.8.8")], "8.8.8.8"),
        ];
        for (trusted, pairs, expected) in cases {
            let found = client(pairs, &trusting(trusted)).ip.unwrap();
            assert_eq!(found.to_string(), expected, "{trusted:?} {pairs:?}");
        }
    }

    #[test]
    fn headers_of_several_proxies_are_read_from_the_last_one() {
        let config = CollectorConfig {
            trusted_proxies: vec!["192.0.2.0/24".parse().unwrap()],
            ..CollectorConfig::default()
        };
        let pairs = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7, 192.0.2.1")];
        assert_eq!(client(&pairs, &config).ip.unwrap().to_string(), "203.0.113.7");
        let mut malformed = headers(&[("x-forwarded-for", "6.6.6.6")]);
        let value = hyper::header::HeaderValue::from_bytes(b"\xe9, 203.0.113.7").unwrap();
        malformed.append("x-forwarded-for", value);
        let found =
            client_of(&malformed, None, Way::Post, "192.0.2.9:1".parse().unwrap(), &config).ip;
        assert_eq!(found.unwrap().to_string(), "192.0.2.9", "nothing before it is believed");
    }

    #[test]
    fn who_does_not_consent_brings_no_ids_and_leaves_no_address() {
        let config = CollectorConfig::default();
        let cookie = "ashiato_long=00000000-0000-0000-0000-000000000001.5";
        let known = client(&[("cookie", cookie)], &config);
        assert!(known.long.is_some() && known.sender.ip.is_some());
        for refusal in [("dnt", "1"), ("sec-gpc", "1"), ("ashiato-anonymous", "yes")] {
            let found = client(&[("cookie", cookie), refusal], &config);
            assert!(found.anonymous && found.long.is_none() && found.sender.ip.is_none());
        }
        for consent in [("dnt", "0"), ("ashiato-anonymous", "0")] {
            assert!(!client(&[consent], &config).anonymous);
        }
        let consent =
            Consent { honor_dnt: false, honor_gpc: false, keep_ip: true, ..Consent::default() };
        let lenient = CollectorConfig { consent, ..config };
        assert!(!client(&[("dnt", "1"), ("sec-gpc", "1")], &lenient).anonymous);
        let anonymous = client(&[("ashiato-anonymous", "1")], &lenient);
        assert!(anonymous.anonymous && anonymous.sender.ip.is_some());
    }

    #[test]
    fn whoever_asks_not_to_be_tracked_is_not_however_it_is_spelled() {
        let config = CollectorConfig::default();
        let peer = "192.0.2.9:1".parse().unwrap();
        let is_anonymous = |query: Option<&str>, pairs: &[(&'static str, &'static str)]| {
            client_of(&headers(pairs), query, Way::Post, peer, &config).anonymous
        };
        for query in [
            "anonymous=1",
            "anonymous=true",
            "anonymous=TRUE",
            "anonymous=yes",
            "anonymous=on",
            "anonymous",
            "anonymous=",
            "Anonymous=1",
            "a=b&anonymous=1",
            "anonymous=0&anonymous=1",
            "%61nonymous=%31",
            "anonymous=%201",
            "anonymous=%ff",
        ] {
            assert!(is_anonymous(Some(query), &[]), "{query}");
        }
        for query in ["", "anonymous=0", "anonymous=false", "anonymous=No", "anonymously=1"] {
            assert!(!is_anonymous(Some(query), &[]), "{query}");
        }
        for pair in [
            ("dnt", "1"),
            ("dnt", "1, 1"),
            ("dnt", "0,1"),
            ("dnt", " 1 "),
            ("dnt", "\"1\""),
            ("dnt", "1xyz"),
            ("dnt", "true"),
            ("sec-gpc", "1"),
            ("sec-gpc", "?1"),
            ("sec-gpc", "1, 1"),
            ("sec-gpc", "yes"),
            ("ashiato-anonymous", ""),
            ("ashiato-anonymous", "true"),
            ("ashiato-anonymous", "0, 1"),
        ] {
            assert!(is_anonymous(None, &[pair]), "{pair:?}");
        }
        for pair in [
            ("dnt", "0"),
            ("dnt", ""),
            ("dnt", "null"),
            ("dnt", "unspecified"),
            ("dnt", "0, 0"),
            ("sec-gpc", "0"),
            ("sec-gpc", "?0"),
            ("ashiato-anonymous", "false"),
        ] {
            assert!(!is_anonymous(None, &[pair]), "{pair:?}");
        }
        assert!(is_anonymous(None, &[("dnt", "0"), ("dnt", "1")]), "of several any");
    }

    #[test]
    fn where_cookies_are_signed_a_header_needs_the_proof_too() {
        let mut config = CollectorConfig::default();
        assert!(config.cookies.keys.push(b"0123456789abcdef"));
        let id = Uuid::from_u64_pair(0, 1);
        let token = LongCookie::signed(id, 5, &config.cookies.keys).to_string();
        let of = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            pairs.iter().for_each(|(name, value)| {
                headers.append(*name, value.parse().unwrap());
            });
            let peer = "192.0.2.9:1".parse().unwrap();
            client_of(&headers, None, Way::Post, peer, &config).long.map(|cookie| cookie.long)
        };
        assert_eq!(of(&[(TOKEN_HEADER, &token)]), Some(id));
        assert_eq!(of(&[(LONG_HEADER, &token)]), Some(id));
        assert_eq!(of(&[(LONG_HEADER, &id.to_string())]), None);
        assert_eq!(of(&[(TOKEN_HEADER, &token.replace(".5.", ".6."))]), None);
    }

    #[test]
    fn ids_come_by_cookie_or_by_header_and_what_is_none_is_ignored() {
        let config = CollectorConfig::default();
        let id = Uuid::from_u64_pair(0, 1);
        let by_cookie = client(
            &[("cookie", "a=b; ashiato_long=00000000-0000-0000-0000-000000000001.17; c=")],
            &config,
        );
        assert_eq!(by_cookie.long, Some(LongCookie { long: id, renewed_ms: Some(17) }));
        let by_header = client(&[(LONG_HEADER, "00000000-0000-0000-0000-000000000001")], &config);
        assert_eq!(by_header.long, Some(LongCookie { long: id, renewed_ms: None }));
        for none in ["x", "", "00000000-0000-0000-0000-000000000000.1", "1.1.1"] {
            let none = Box::leak(format!("ashiato_long={none}").into_boxed_str());
            assert_eq!(client(&[("cookie", none)], &config).long, None);
        }
    }

    #[test]
    fn a_newcomers_requests_are_one_visitors_until_a_cookie_says_more() {
        let config = CollectorConfig::default();
        let peer = "192.0.2.9:1".parse().unwrap();
        let of = |query: &str, pairs: &[(&'static str, &'static str)]| {
            let client = client_of(&headers(pairs), Some(query), Way::Post, peer, &config);
            client.long.map(|cookie| cookie.long)
        };
        let name = "first=0199f000-0000-4000-8000-000000000001";
        let visitor = of(name, &[]).unwrap();
        let after = format!("a=b&{name}");
        assert_eq!(of(&after, &[]), Some(visitor));
        assert_eq!(visitor.get_version_num(), 8);
        assert_ne!(of("first=0199f000-0000-4000-8000-000000000002", &[]), Some(visitor));
        let cookie = ("cookie", "ashiato_long=00000000-0000-0000-0000-000000000001.5");
        assert_eq!(of(name, &[cookie]), Some(Uuid::from_u64_pair(0, 1)));
        assert_eq!(of(name, &[("dnt", "1")]), None);
        assert_eq!(of("first=me", &[]), None);
        assert_eq!(of("first=00000000-0000-0000-0000-000000000000", &[]), None);
        let by_pixel = client_of(&headers(&[]), Some(name), Way::Pixel, peer, &config);
        assert_eq!(by_pixel.long, None, "any site could choose who comes");
    }
}
