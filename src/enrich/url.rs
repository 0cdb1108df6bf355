//! Parts of URLs and request targets, decoded.
//!
//! ```text
//! "https://Shop.Example/%E6%9C%AC?q=a+b&q=c"
//!   ─► host   shop.example
//!   ─► path   /本
//!   ─► query  q ─► "a b", the first of the two
//! ```
//!
//! Texts, and what they are read as (request targets by RFC 9112, section 3.2):
//!
//! - `/a/b?c=d` and `?c=d` are a target in origin-form or a relative URL: no host, and the path and
//!   query that stand there. So are `//a/b`, `///a` and `/\a`: they begin like a host, but who
//!   asked a server for them asked for a path.
//! - `http://h/a?c=d` is a URL, and a target in absolute-form, too. It is read by the WHATWG URL
//!   Standard, as browsers read it.
//! - `example.com:443` and `[::1]:443` are a target in authority-form, of CONNECT: the host alone.
//! - `*`, of OPTIONS, has no parts, and neither has a text without hierarchy (`mailto:a@b`, `a/b`)
//!   or with a fault.
//!
//! Hosts come out in lower case, names in other scripts as `xn--…`, IPv6 addresses in brackets;
//! ports and users do not. `.` and `..` in paths are resolved. A fragment (`#…`) belongs to neither
//! path nor query.
//!
//! Percent-encoding is undone as UTF-8. What would not be UTF-8, or would hold a NUL, stays
//! percent-encoded as it stands, so that nothing is lost; a `%` that no two hexadecimal digits
//! follow is a plain `%`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

/// A text by its form.
enum Target<'t> {
    /// Path and query where they stand; the path may be empty.
    Origin {
        path: &'t str,
        query: Option<&'t str>,
    },
    Absolute(Url),
    /// A host whose port was cut off.
    Authority(&'t str),
}

impl<'t> Target<'t> {
    /// None for what is in no form, or has neither host nor path.
    fn of(text: &'t str) -> Option<Self> {
        if text.starts_with(['/', '?']) {
            let text = text.split_once('#').map_or(text, |(text, _fragment)| text);
            return Some(match text.split_once('?') {
                Some((path, query)) => Target::Origin { path, query: Some(query) },
                None => Target::Origin { path: text, query: None },
            });
        }
        if let Some(host) = authority_host(text) {
            return Some(Target::Authority(host));
        }
        let url = Url::parse(text).ok().filter(|url| !url.cannot_be_a_base())?;
        Some(Target::Absolute(url))
    }
}

/// The host of `example.com:443`, `192.0.2.1:80` or `[::1]:443`. A single name and a number are a
/// scheme and its text, as in `tel:110`, but for `localhost`.
fn authority_host(text: &str) -> Option<&str> {
    let (host, port) = text.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_host =
        host.starts_with('[') || host.contains('.') || host.eq_ignore_ascii_case("localhost");
    let is_name = |c: char| !matches!(c, '/' | '\\' | '?' | '#' | '@' | ':');
    let is_whole = host.starts_with('[') || host.chars().all(is_name);
    (is_port && is_host && is_whole && port.parse::<u16>().is_ok()).then_some(host)
}

/// The host of an absolute URL, or of a request target in authority-form; none if it has none.
pub fn host(url: &str) -> Option<String> {
    let host = match Target::of(url)? {
        Target::Origin { .. } => return None,
        Target::Absolute(url) => url.host_str()?.to_owned(),
        Target::Authority(host) => Host::parse(host).ok()?.to_string(),
    };
    (!host.is_empty()).then_some(host)
}

/// The path of an absolute or relative URL or of a request target, decoded; none if it has none or
/// is malformed.
pub fn path(url: &str) -> Option<String> {
    match Target::of(url)? {
        Target::Origin { path: "", .. } => Some("/".to_owned()),
        Target::Origin { path, .. } => Some(decode_path(&without_dot_segments(path))),
        Target::Absolute(url) => Some(decode_path(url.path())).filter(|path| !path.is_empty()),
        Target::Authority(_) => None,
    }
}

/// The value of the first parameter of the query whose name is `key`, both decoded, `+` standing
/// for a space; a parameter without `=` is empty; none if there is no such parameter or the URL is
/// malformed.
pub fn query_value(url: &str, key: &str) -> Option<String> {
    let target = Target::of(url)?;
    let query = match &target {
        Target::Origin { query, .. } => *query,
        Target::Absolute(url) => url.query(),
        Target::Authority(_) => None,
    };
    let mut parameters = query?.split('&').filter(|parameter| !parameter.is_empty());
    parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (decode_query(name) == key).then(|| decode_query(value))
    })
}

/// A path that begins with `/`, its `.` and `..` resolved (RFC 3986, 5.2.4); a point may be
/// percent-encoded, as browsers have it.
fn without_dot_segments(path: &str) -> Cow<'_, str> {
    if !path.contains("/.") && !path.contains("/%2") {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match dots(segment) {
            0 => kept.push(segment),
            points => {
                if points == 2 {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

/// How many points a segment is made of; 0 if it is anything else than one or two.
fn dots(segment: &str) -> usize {
    let mut rest = segment;
    for count in 0..3 {
        if rest.is_empty() {
            return count;
        }
        let encoded = rest.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%2e"));
        rest = match rest.strip_prefix('.') {
            Some(behind) => behind,
            None if encoded => &rest[3..],
            None => return 0,
        };
    }
    0
}

fn decode_path(path: &str) -> String {
    decode(path).unwrap_or_else(|| path.to_owned())
}

fn decode_query(text: &str) -> String {
    let spaced = text.replace('+', "%20");
    decode(&spaced).unwrap_or_else(|| text.to_owned())
}

fn decode(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    (!decoded.contains('\0')).then(|| decoded.into_owned())
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
