//! HTTP responses: statuses, cookies, CORS.
//!
//! | status | means | who sends it again |
//! |---|---|---|
//! | 204 | all events are durable | nobody |
//! | 202 | those that are not refused in the body are | nobody |
//! | 400, 413, 415 | none is taken, and none will be | nobody: mend the client |
//! | 408, 429, 503 | none is taken | the client, after `Retry-After` seconds |

use std::fmt::Write;

use cookie::{Cookie, SameSite as CookieSameSite};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER,
    SET_COOKIE, VARY,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::client::{LONG_HEADER, SHORT_HEADER, TOKEN_HEADER};
use super::config::{CollectorConfig, CookieSettings, SameSite};
use super::cookies::{CookieKeys, LongCookie, TAG_CHARACTERS, signed_short};
use super::origins::Origins;
use super::receipt::VisitReceipt;
use super::visits::ShortCookie;

/// Bytes of a cookie's value: an id, a time, a number and a tag.
const VALUE_BYTES: usize = 72 + TAG_CHARACTERS;
/// Whether cookies come back: `kept` if the request brought its visitor's, `new` if not, so that a
/// page knows whether it can do without a name of its own.
const COOKIE_HEADER: &str = "ashiato-visit-cookie";

/// Responses are small and whole.
pub(super) type CollectorResponse = Response<Full<Bytes>>;

/// Seconds after which a client may come again.
const RETRY_SECONDS: &str = "5";
/// Headers that a page of another origin may read.
const EXPOSED: &str = "ashiato-visit-short, ashiato-visit-long, ashiato-visit-token, \
                       ashiato-visit-cookie, retry-after";
/// How long browsers remember a preflight's response.
const PREFLIGHT_SECONDS: &str = "86400";

/// Why nothing is taken, as the body says it.
#[derive(Debug, Serialize)]
pub(super) struct ErrorBody<'a> {
    /// What was expected and found.
    pub error: &'a str,
    /// Where in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<BodyPosition>,
}

/// A place in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct BodyPosition {
    /// From 0.
    pub byte: usize,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

/// A response without a body.
pub(super) fn empty(status: StatusCode) -> CollectorResponse {
    with_body(status, Bytes::new())
}

/// A response with some text.
pub(super) fn text(
    status: StatusCode,
    kind: &'static str,
    text: impl Into<Bytes>,
) -> CollectorResponse {
    let mut response = with_body(status, text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A response with a value as JSON.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> CollectorResponse {
    let body = serde_json::to_vec(value).unwrap_or_default();
    text(status, "application/json", body)
}

/// That nothing is taken; those that may come again are told when.
pub(super) fn error_response(
    status: StatusCode,
    error: &str,
    at: Option<BodyPosition>,
) -> CollectorResponse {
    let mut response = json(status, &ErrorBody { error, at });
    if matches!(status.as_u16(), 408 | 429 | 503) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
    }
    response
}

fn with_body(status: StatusCode, body: Bytes) -> CollectorResponse {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

/// What of the configuration all responses need, made once.
#[derive(Debug)]
pub(super) struct ResponseSettings {
    /// Whose pages may ask.
    pub origins: Origins,
    allowed_headers: HeaderValue,
    short: CookieText,
    long: CookieText,
    keys: CookieKeys,
    /// Cookies that take the place of ours, and are over at once.
    expired: Vec<HeaderValue>,
}

/// A cookie around its value: `name=` and `; Path=/; Max-Age=1800; …`.
#[derive(Debug)]
struct CookieText {
    name: String,
    attributes: String,
}

impl CookieText {
    fn new(name: &str, ttl_ms: i64, settings: &CookieSettings) -> Self {
        let same_site = match settings.same_site {
            SameSite::Lax => CookieSameSite::Lax,
            SameSite::Strict => CookieSameSite::Strict,
            SameSite::None => CookieSameSite::None,
        };
        let mut cookie = Cookie::build((name.to_owned(), ""))
            .path(settings.path.clone())
            .same_site(same_site)
            .secure(settings.secure)
            .http_only(settings.http_only)
            .max_age(cookie::time::Duration::milliseconds(ttl_ms));
        if let Some(domain) = &settings.domain {
            cookie = cookie.domain(domain.clone());
        }
        let text = cookie.build().to_string();
        let attributes = text[name.len() + 1..].to_owned();
        CookieText { name: name.to_owned(), attributes }
    }

    fn with(&self, value: impl std::fmt::Display) -> Option<HeaderValue> {
        let bytes = self.name.len() + VALUE_BYTES + self.attributes.len();
        let mut text = String::with_capacity(bytes);
        // Writing to memory does not fail.
        let _ = write!(text, "{}={value}{}", self.name, self.attributes);
        HeaderValue::try_from(text).ok()
    }
}

/// Both cookies with no value and no time to live, as they are set now; and as a collector set them
/// that had no `domain` yet.
fn expired_cookies(settings: &CookieSettings) -> Vec<HeaderValue> {
    let of_host = CookieSettings { domain: None, ..settings.clone() };
    let mut expired = Vec::new();
    for settings in [Some(settings), settings.domain.as_ref().map(|_| &of_host)].iter().flatten() {
        for name in [&settings.short_name, &settings.long_name] {
            expired.extend(CookieText::new(name, 0, settings).with(""));
        }
    }
    expired
}

impl ResponseSettings {
    pub fn new(config: &CollectorConfig) -> Self {
        let allowed = format!(
            "content-type, content-encoding, {LONG_HEADER}, {TOKEN_HEADER}, {}",
            config.consent.anonymous_header
        );
        let cookies = &config.cookies;
        ResponseSettings {
            origins: Origins::new(&config.allowed_origins),
            allowed_headers: HeaderValue::try_from(allowed)
                .unwrap_or_else(|_| HeaderValue::from_static("content-type")),
            short: CookieText::new(&cookies.short_name, config.visits.short_ttl_ms, cookies),
            long: CookieText::new(&cookies.long_name, config.visits.long_ttl_ms, cookies),
            keys: cookies.keys.clone(),
            expired: expired_cookies(cookies),
        }
    }

    /// Has the client forget the ids.
    pub fn expire_cookies(&self, response: &mut CollectorResponse) {
        for cookie in &self.expired {
            response.headers_mut().append(SET_COOKIE, cookie.clone());
        }
    }

    /// Gives a response the visit's ids, in headers and cookies; `is_kept` tells whether the client
    /// had brought the visitor's.
    pub fn add_visit(&self, response: &mut CollectorResponse, visit: &VisitReceipt, is_kept: bool) {
        let headers = response.headers_mut();
        let VisitReceipt { long, short, seq, seen_ms, now_ms } = *visit;
        let kept = HeaderValue::from_static(if is_kept { "kept" } else { "new" });
        headers.insert(HeaderName::from_static(COOKIE_HEADER), kept);
        let mut id = |name: &'static str, id: uuid::Uuid| {
            let mut buffer = uuid::Uuid::encode_buffer();
            if let Ok(value) = HeaderValue::from_str(id.hyphenated().encode_lower(&mut buffer)) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        id(SHORT_HEADER, short);
        id(LONG_HEADER, long);
        let short = ShortCookie { short, seen_ms, seq };
        let short = self.short.with(signed_short(short, long, &self.keys));
        let token = LongCookie::signed(long, now_ms, &self.keys);
        if !self.keys.is_empty()
            && let Ok(token) = HeaderValue::try_from(token.to_string())
        {
            headers.insert(HeaderName::from_static(TOKEN_HEADER), token);
        }
        let long = self.long.with(token);
        for cookie in [short, long].into_iter().flatten() {
            headers.append(SET_COOKIE, cookie);
        }
    }

    /// Lets the page that asked read the response, if its site is allowed.
    pub fn add_cors(&self, response: &mut CollectorResponse, request: &HeaderMap) {
        let Some(origin) = request.get(ORIGIN) else { return };
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("origin"));
        if self.origins.has(origin) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            let exposed = HeaderValue::from_static(EXPOSED);
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    /// The response to a browser that asks whether it may ask.
    pub fn preflight(&self) -> CollectorResponse {
        let mut response = empty(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static("GET, POST, OPTIONS");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.allowed_headers.clone());
        let seconds = HeaderValue::from_static(PREFLIGHT_SECONDS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, seconds);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn cookies_have_all_that_is_configured() {
        let mut config = CollectorConfig::default();
        let visit = VisitReceipt {
            long: Uuid::from_u64_pair(0, 1),
            short: Uuid::from_u64_pair(0, 2),
            seq: 3,
            seen_ms: 4,
            now_ms: 4,
        };
        let cookies = |config: &CollectorConfig| -> Vec<String> {
            let mut response = empty(StatusCode::NO_CONTENT);
            ResponseSettings::new(config).add_visit(&mut response, &visit, false);
            let values = response.headers().get_all(SET_COOKIE).iter();
            values.map(|value| value.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            cookies(&config),
            [
                "ashiato_short=00000000-0000-0000-0000-000000000002.4.3; HttpOnly; SameSite=Lax; \
                 Secure; Path=/; Max-Age=1800",
                "ashiato_long=00000000-0000-0000-0000-000000000001.4; HttpOnly; SameSite=Lax; \
                 Secure; Path=/; Max-Age=34560000",
            ]
        );
        config.cookies = CookieSettings {
            short_name: "s".into(),
            long_name: "l".into(),
            domain: Some("shop.example".into()),
            path: "/v1".into(),
            same_site: SameSite::Strict,
            secure: false,
            http_only: false,
            ..CookieSettings::default()
        };
        let short = &cookies(&config)[0];
        assert_eq!(
            short,
            "s=00000000-0000-0000-0000-000000000002.4.3; SameSite=Strict; Path=/v1; \
             Domain=shop.example; Max-Age=1800"
        );
        let mut response = empty(StatusCode::NO_CONTENT);
        ResponseSettings::new(&config).expire_cookies(&mut response);
        let expired: Vec<&str> =
            response.headers().get_all(SET_COOKIE).iter().map(|v| v.to_str().unwrap()).collect();
        assert_eq!(
            expired,
            [
                "s=; SameSite=Strict; Path=/v1; Domain=shop.example; Max-Age=0",
                "l=; SameSite=Strict; Path=/v1; Domain=shop.example; Max-Age=0",
                "s=; SameSite=Strict; Path=/v1; Max-Age=0",
                "l=; SameSite=Strict; Path=/v1; Max-Age=0",
            ]
        );
    }

    #[test]
    fn only_pages_of_allowed_sites_may_read_responses() {
        let settings = |origins: &[&str]| {
            let allowed_origins = origins.iter().map(ToString::to_string).collect();
            ResponseSettings::new(&CollectorConfig { allowed_origins, ..Default::default() })
        };
        let allowed = |origins: &[&str], origin: &str| {
            let mut request = HeaderMap::new();
            request.insert(ORIGIN, origin.parse().unwrap());
            let mut response = empty(StatusCode::NO_CONTENT);
            settings(origins).add_cors(&mut response, &request);
            response
                .headers()
                .get(ACCESS_CONTROL_ALLOW_ORIGIN)
                .map(|o| o.to_str().unwrap().to_owned())
        };
        let shop = "https://shop.example";
        assert_eq!(allowed(&[shop], shop).as_deref(), Some(shop));
        assert_eq!(allowed(&["*"], shop).as_deref(), Some(shop));
        assert_eq!(allowed(&[], shop), None);
        assert_eq!(allowed(&[shop], "https://shop.example.evil"), None);
    }
}
