//! CORS: which pages may send events. Their origin is allowed, or is the collector's own.
//!
//! A browser says in `Origin` which page sends a request, and no page can have it say otherwise.
//! Who sends none is no page, but an app or a server.
//!
//! | `Origin` | is taken |
//! |---|---|
//! | none | yes, unless `Sec-Fetch-Site: cross-site` says that it is a page after all |
//! | of the list | yes, in upper or lower case, with or without the port that its scheme implies |
//! | the host and port of the request itself | yes |
//! | `null`, several of which one is not allowed, anything else | no, unless the list has `*` |

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::http::uri::Authority;

use crate::json::excerpt;

/// The origins of pages that may send events.
#[derive(Debug)]
pub(super) struct Origins {
    /// In lower case, without a port that the scheme implies.
    allowed: Vec<String>,
    any: bool,
}

impl Origins {
    pub fn new(allowed: &[String]) -> Self {
        let any = allowed.iter().any(|origin| origin == "*");
        let allowed = allowed.iter().map(|origin| plain_origin(origin)).collect();
        Origins { allowed, any }
    }

    /// Whether a page of this origin may send events from elsewhere, and read responses.
    pub fn has(&self, origin: &HeaderValue) -> bool {
        let known = |origin: &str| {
            let origin = plain_origin(origin);
            self.allowed.contains(&origin)
        };
        self.any || origin.to_str().is_ok_and(known)
    }

    /// Lets a request pass that may bring events; `authority` is the one of its target, if it has
    /// one (HTTP/2).
    ///
    /// # Errors
    /// What was expected and found.
    pub fn check(&self, headers: &HeaderMap, authority: Option<&Authority>) -> Result<(), String> {
        if self.any {
            return Ok(());
        }
        let mut origins = headers.get_all(ORIGIN).iter().peekable();
        if origins.peek().is_none()
            && headers.get("sec-fetch-site").is_some_and(|s| s == "cross-site")
        {
            return Err("expected a page of an allowed origin to say which; see \
                        `allowed_origins`"
                .to_owned());
        }
        let own = authority
            .map(|authority| authority.as_str().as_bytes())
            .or_else(|| headers.get(HOST).map(HeaderValue::as_bytes));
        match origins.find(|origin| !self.has(origin) && !is_own(origin, own)) {
            None => Ok(()),
            Some(origin) => {
                let shown = String::from_utf8_lossy(origin.as_bytes());
                let shown = excerpt(&shown);
                Err(format!(
                    "expected a page of an allowed origin, found `{shown}`; see \
                             `allowed_origins`"
                ))
            }
        }
    }
}

/// Whether a page is of the host and port that it sends to.
fn is_own(origin: &HeaderValue, own: Option<&[u8]>) -> bool {
    let (Ok(origin), Some(Ok(own))) = (origin.to_str(), own.map(str::from_utf8)) else {
        return false;
    };
    let origin = plain_origin(origin);
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    // A proxy may have taken off TLS, so that the request's own scheme is not known.
    matches!(scheme, "http" | "https")
        && !host.is_empty()
        && plain_origin(&format!("{scheme}://{own}")).split_once("://") == Some((scheme, host))
}

/// An origin in lower case, without a port that the scheme implies.
fn plain_origin(origin: &str) -> String {
    let mut plain = origin.to_ascii_lowercase();
    for (scheme, port) in [("https://", ":443"), ("http://", ":80")] {
        if plain.starts_with(scheme)
            && let Some(length) = plain.strip_suffix(port).map(str::len)
        {
            plain.truncate(length);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(allowed: &[&str], pairs: &[(&'static str, &'static str)]) -> bool {
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Origins::new(&allowed).check(&headers, None).is_ok()
    }

    #[test]
    fn only_pages_of_allowed_origins_may_send_events() {
        const SHOP: &[&str] = &["https://shop.example", "http://localhost:8000"];
        for origin in [
            "https://shop.example",
            "HTTPS://Shop.Example",
            "https://shop.example:443",
            "http://localhost:8000",
        ] {
            assert!(passes(SHOP, &[("origin", origin)]), "{origin}");
        }
        for origin in [
            "https://shop.example.evil",
            "https://evil-shop.example",
            "https://evil.shop.example",
            "https://shop.example@evil.example",
            "https://shop.example:444",
            "http://shop.example",
            "http://shop.example:443",
            "https://shop.example/",
            "https://shop.example.",
            "https://shop.example, https://evil.example",
            "shop.example",
            "http://localhost",
            "http://localhost:80",
            "null",
            "",
            "*",
            "https://shöp.example",
        ] {
            assert!(!passes(SHOP, &[("origin", origin)]), "{origin}");
            assert!(passes(&["*"], &[("origin", origin)]), "{origin}");
            assert!(!passes(&[], &[("origin", origin)]), "{origin}");
        }
        let both = [("origin", "https://shop.example"), ("origin", "https://evil.example")];
        assert!(!passes(SHOP, &both));
    }

    #[test]
    fn who_is_no_page_may_send_events_and_the_collectors_own_pages_too() {
        assert!(passes(&[], &[]));
        assert!(passes(&[], &[("sec-fetch-site", "none")]));
        assert!(!passes(&[], &[("sec-fetch-site", "cross-site")]));
        for (origin, host) in [
            ("https://c.example", "c.example"),
            ("https://c.example", "C.example:443"),
            ("http://c.example", "c.example:80"),
            ("http://c.example:8080", "c.example:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert!(passes(&[], &[("origin", origin), ("host", host)]), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://c.example", "c.example:80"),
            ("https://c.example", "evil.c.example"),
            ("http://c.example:8081", "c.example:8080"),
            ("http://", ""),
            ("null", "null"),
            ("ftp://c.example", "c.example"),
        ] {
            assert!(!passes(&[], &[("origin", origin), ("host", host)]), "{origin} {host}");
        }
    }
}
