//! Who sends a request: address, browser, ids, and whether ids may be taken at all.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use hyper::header::{COOKIE, USER_AGENT};
use ipnet::IpNet;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::config::{CollectorConfig, Consent, CookieSettings};
use super::envelope::Sender;
use crate::visits::ShortCookie;

/// The visitor's id, for clients that keep no cookies; answers have it too.
pub(super) const LONG_HEADER: &str = "ashiato-visit-long";
/// The visit's id, in answers.
pub(super) const SHORT_HEADER: &str = "ashiato-visit-short";
/// Bytes of a user agent that are kept.
const USER_AGENT_BYTES_MAX: usize = 1024;

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
    /// What the client says of its visit.
    pub short: Option<ShortCookie>,
}

/// What the long-lived cookie says: `<visitor>.<milliseconds since 1970>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LongCookie {
    pub long: Uuid,
    /// When it was renewed last; none if the client does not say.
    pub renewed_ms: Option<i64>,
}

impl LongCookie {
    fn parse(text: &str) -> Option<Self> {
        let (long, renewed) = text.split_once('.').map_or((text, None), |(l, r)| (l, Some(r)));
        let long = Uuid::try_parse(long).ok().filter(|long| !long.is_nil())?;
        let renewed_ms = renewed.map(str::parse).transpose().ok()?;
        Some(LongCookie { long, renewed_ms })
    }

    /// The id, unless its time is up.
    pub fn in_force(self, ttl_ms: i64, now_ms: i64) -> Option<Uuid> {
        let is_over = self.renewed_ms.is_some_and(|at| now_ms.saturating_sub(at) >= ttl_ms);
        (!is_over).then_some(self.long)
    }
}

/// Reads a request's head; `peer` is who is connected, `query` stands behind the path.
pub(super) fn client_of(
    headers: &HeaderMap,
    query: Option<&str>,
    peer: SocketAddr,
    config: &CollectorConfig,
) -> Client {
    let anonymous = is_anonymous(headers, query, &config.consent);
    let ip = address_of(headers, peer.ip().to_canonical(), &config.trusted_proxies);
    let kept_ip = Some(ip).filter(|_| !anonymous || config.consent.keep_ip);
    let sender = Sender { ip: kept_ip, user_agent: user_agent(headers) };
    let (mut long, mut short) = (None, None);
    if !anonymous {
        (long, short) = ids_of(headers, &config.cookies);
        long = long.or_else(|| newcomer(query?));
    }
    Client { ip: Some(ip), sender, anonymous, long, short }
}

fn is_anonymous(headers: &HeaderMap, query: Option<&str>, consent: &Consent) -> bool {
    let is_one = |name: &str| headers.get(name).is_some_and(|value| value == "1");
    let header = headers.get(&consent.anonymous_header);
    let in_query = query.is_some_and(|query| query.split('&').any(|pair| pair == "anonymous=1"));
    consent.honor_dnt && is_one("dnt")
        || consent.honor_gpc && is_one("sec-gpc")
        || header.is_some_and(|value| value != "0")
        || in_query
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let bytes = headers.get(USER_AGENT)?.as_bytes();
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(USER_AGENT_BYTES_MAX)]);
    // What is no UTF-8 takes three bytes each.
    serde_json::to_string(&text[..text.floor_char_boundary(USER_AGENT_BYTES_MAX)]).ok()
}

/// The ids that a client brings: by cookie, or the long one by a header.
fn ids_of(
    headers: &HeaderMap,
    names: &CookieSettings,
) -> (Option<LongCookie>, Option<ShortCookie>) {
    let (mut long, mut short) = (None, None);
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    for (name, value) in texts.flat_map(|text| text.split(';')).filter_map(|c| c.split_once('=')) {
        let (name, value) = (name.trim(), value.trim());
        if name == names.long_name {
            long = LongCookie::parse(value);
        } else if name == names.short_name {
            short = ShortCookie::parse(value);
        }
    }
    let header = || LongCookie::parse(headers.get(LONG_HEADER)?.to_str().ok()?);
    (long.or_else(header), short)
}

/// The visitor of `?first=<UUID>`, a name that a page makes up until the first answer has brought
/// cookies: requests that went out before it are of one visitor then, and not of several.
///
/// The id is made of that name, so that all collectors give the same without asking each other.
fn newcomer(query: &str) -> Option<LongCookie> {
    let name = query.split('&').find_map(|pair| pair.strip_prefix("first="))?;
    let name = Uuid::try_parse(name).ok()?;
    let digest = Sha256::new().chain_update(b"ashiato visitor").chain_update(name).finalize();
    let bytes = digest.first_chunk::<16>()?;
    let long = uuid::Builder::from_custom_bytes(*bytes).into_uuid();
    Some(LongCookie { long, renewed_ms: None })
}

/// The address of the client: behind trusted proxies, the last one of `X-Forwarded-For` that is
/// not a trusted proxy's own. What stands before it anybody may have written.
fn address_of(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|network| network.contains(&ip));
    let mut address = peer;
    let values = headers.get_all("x-forwarded-for").iter().rev();
    // What is no text is no address, and so the end of what is believed.
    let texts = values.map(|value| value.to_str().unwrap_or("?"));
    for text in texts.flat_map(|text| text.rsplit(',')) {
        if !is_trusted(address) {
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
        client_of(&headers(pairs), None, "192.0.2.9:1".parse().unwrap(), config)
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
        let mut odd = headers(&[("x-forwarded-for", "6.6.6.6")]);
        let value = hyper::header::HeaderValue::from_bytes(b"\xe9, 203.0.113.7").unwrap();
        odd.append("x-forwarded-for", value);
        let found = client_of(&odd, None, "192.0.2.9:1".parse().unwrap(), &config).ip;
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
            client_of(&headers(pairs), Some(query), peer, &config).long.map(|cookie| cookie.long)
        };
        let name = "first=0199f000-0000-4000-8000-000000000001";
        let visitor = of(name, &[]).unwrap();
        let behind = format!("a=b&{name}");
        assert_eq!(of(&behind, &[]), Some(visitor));
        assert_eq!(visitor.get_version_num(), 8);
        assert_ne!(of("first=0199f000-0000-4000-8000-000000000002", &[]), Some(visitor));
        let cookie = ("cookie", "ashiato_long=00000000-0000-0000-0000-000000000001.5");
        assert_eq!(of(name, &[cookie]), Some(Uuid::from_u64_pair(0, 1)));
        assert_eq!(of(name, &[("dnt", "1")]), None);
        assert_eq!(of("first=me", &[]), None);
    }

    #[test]
    fn a_visitor_is_forgotten_exactly_when_the_time_is_up() {
        let cookie = LongCookie { long: Uuid::from_u64_pair(0, 1), renewed_ms: Some(1000) };
        assert_eq!(cookie.in_force(500, 1499), Some(cookie.long));
        assert_eq!(cookie.in_force(500, 1500), None);
        assert_eq!(cookie.in_force(500, 0), Some(cookie.long));
    }
}
