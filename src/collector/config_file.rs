//! `collector.toml` → [`CollectorConfig`]; every error has its place.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml_span::{DeserError, Span, Spanned};

use super::config::{
    CollectorConfig, CollectorLimits, Consent, CookieSettings, ENVELOPE_BYTES_MAX, LandingConfig,
    SameSite,
};
use super::config_store::read_store;
use super::cookies::{CookieKeys, KEY_BYTES_MIN};
use super::visits::{AttributionRules, Touching, VisitRules};
use crate::base::config::section::{Findings, Section};
use crate::base::config::variables::{Lookup, substitute_variables};
use crate::base::config::{ConfigFile, parse_byte_size, parse_duration};
use crate::base::error::{Diagnostic, Error, Result};
use crate::base::location::StoreLocation;
use crate::base::telemetry::is_log_filter;

/// Bytes of a body that may be allowed at most: all that are here at a time have four times
/// that, of which one client may have two.
const BODY_BYTES_LIMIT: usize = 64 << 20;
/// Bytes of a head that must be allowed at least: what the server reads at a time.
const HEADER_BYTES_LEAST: usize = 8 << 10;
/// Bytes of the lines of a body that may be allowed at most: a batch is not to be much more.
const REQUEST_LINES_BYTES_LIMIT: usize = 64 << 20;
/// Bytes of a visitor's record that must be allowed at least: all but the cart takes some.
const RECORD_BYTES_LEAST: usize = 4 << 10;
/// Bytes of an event that may be allowed at most: its line must fit into a frame of the spool.
const EVENT_BYTES_LIMIT: usize = 16 << 20;
/// Ids of events that may be known at least, at most.
const RECENT_IDS_LIMIT: usize = 100_000_000;
/// Bytes of memory of each at most, with its two keys.
const RECENT_ID_BYTES: usize = 144;
/// Objects and arrays within each other that may be allowed at most.
const DEPTH_LIMIT: usize = 64;

/// Reads a configuration; `lookup` knows the environment's variables.
///
/// # Errors
/// [`Error::Config`] with all that is wrong.
pub fn parse_collector_config(
    file: &ConfigFile,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<CollectorConfig> {
    let (config, absent) = check_collector_config(file, lookup)?;
    match absent.is_empty() {
        true => Ok(config),
        false => Err(Error::Config(absent)),
    }
}

/// The same where the secrets may not be at hand: also gives where a key of cookies is named that
/// the environment does not have, and so was not looked at.
///
/// # Errors
/// [`Error::Config`] with all else that is wrong.
pub fn check_collector_config(
    file: &ConfigFile,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<(CollectorConfig, Vec<Diagnostic>)> {
    let mut found = Findings { file, diagnostics: Vec::new() };
    let mut secrets = Secrets { lookup, absent: Vec::new() };
    let config = toml_span::parse(&file.text)
        .map_err(|error| {
            let error = DeserError { errors: vec![error] };
            found.diagnostics.extend(file.diagnostics(&error));
        })
        .ok()
        .and_then(|mut value| {
            let mut errors = Vec::new();
            substitute_variables(&mut value, lookup, &mut errors);
            found.diagnostics.extend(file.diagnostics(&DeserError { errors }));
            Section::read(&mut value, &mut found, |section, found| {
                read_collector(section, found, &mut secrets)
            })
        });
    let mut absent = Findings { file, diagnostics: Vec::new() };
    for (span, variable) in secrets.absent {
        absent.at(span, format!("the environment has no variable `{variable}`"));
    }
    match config {
        Some(config) if found.diagnostics.is_empty() => Ok((config, absent.diagnostics)),
        _ => {
            found.diagnostics.append(&mut absent.diagnostics);
            Err(Error::Config(found.diagnostics))
        }
    }
}

/// Where secrets come from.
struct Secrets<'a> {
    lookup: Lookup<'a>,
    /// Variables that are named in a place and that there are not.
    absent: Vec<(Span, String)>,
}

fn read_collector(
    section: &mut Section<'_>,
    found: &mut Findings<'_>,
    secrets: &mut Secrets<'_>,
) -> Option<CollectorConfig> {
    let mut config = CollectorConfig::default();
    set(&mut config.listen, parsed(section, "listen", "an address such as 127.0.0.1:8080", found));
    if let Some(name) = section.text("name") {
        if !is_name(&name.value) || is_hidden(&name.value) {
            let message = "`name`: expected letters, digits, `-` and `_`, and no `_` at its \
                           beginning, as objects with such a name are hidden from readers";
            found.at(name.span, message);
        }
        config.name = name.value;
    }
    set(&mut config.data, section.text("data").map(|data| PathBuf::from(data.value)));
    set(&mut config.stop_time_max, section.duration("stop_time_max", found));
    set(&mut config.stop_delay, time(section, "stop_delay", found));
    if config.stop_delay >= config.stop_time_max {
        found.at(section.span, "`stop_delay`: expected less than `stop_time_max`");
    }
    if let Some(log) = section.text("log") {
        if !is_log_filter(&log.value) {
            found.at(log.span, format!("`log`: expected info, debug …, found `{}`", log.value));
        }
        config.log = Some(log.value);
    }
    config.allowed_origins = origins(section, found);
    config.trusted_proxies = section
        .texts("trusted_proxies")
        .iter()
        .filter_map(|text| parse(text, "trusted_proxies", "a network such as 10.0.0.0/8", found))
        .collect();
    set(&mut config.landing, section.section("landing", found, read_landing));
    set(&mut config.limits, section.section("limits", found, read_limits));
    set(&mut config.consent, section.section("consent", found, read_consent));
    let cookies =
        section.section("cookies", found, |section, found| read_cookies(section, found, secrets));
    config.cookies = cookies.unwrap_or_else(|| {
        let keys = read_keys([None, None], section.span, secrets, found);
        CookieSettings { keys, ..CookieSettings::default() }
    });
    if let Some((rules, renewing)) = section.section("visits", found, read_visits) {
        (config.visits, config.renewing_events) = (rules, renewing);
    }
    set(&mut config.visit_store, section.section("visit_store", found, read_store));
    Some(config)
}

fn read_landing(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<LandingConfig> {
    let mut landing = LandingConfig::default();
    if let Some(location) = section.text("location") {
        if let Err(error) = StoreLocation::parse(&location.value) {
            found.at(location.span, error.to_string());
        }
        landing.location = location.value;
    }
    if let Some(path) = section.text("path") {
        if !is_landing_path(&path.value) {
            let expected = "letters, digits, `=`, `-`, `_`, `/` and %Y %m %d %H, and no `_` at the \
                            beginning of a folder, as such folders are hidden from readers";
            found.at(path.span, format!("`path`: expected {expected}, found `{}`", path.value));
        }
        landing.path = path.value.trim_matches('/').to_owned();
    }
    let zone = "a time zone such as Asia/Tokyo";
    set(&mut landing.time_zone, parsed(section, "time_zone", zone, found));
    if let Some(text) = section.scalar_text("file_mode") {
        let mode = u32::from_str_radix(text.value.trim_start_matches("0o"), 8).ok();
        match mode.filter(|mode| mode & 0o600 == 0o600 && mode & !0o666 == 0) {
            Some(mode) => landing.file_mode = mode,
            None => {
                let expected = "the octal permissions of a file that its owner reads and writes";
                let found_text = &text.value;
                let message = format!(
                    "`file_mode`: expected {expected}, such as \"0640\", found `{found_text}`"
                );
                found.at(text.span, message);
            }
        }
    }
    set(&mut landing.object_age_max, section.duration("object_age_max", found));
    set(&mut landing.object_bytes_max, section.byte_size("object_bytes_max", found));
    set(&mut landing.backlog_bytes_max, section.byte_size("backlog_bytes_max", found));
    if let Some(ids) = section.number::<usize>("recent_ids_min", found) {
        if ids.value > RECENT_IDS_LIMIT {
            let message = format!(
                "`recent_ids_min`: expected at most {RECENT_IDS_LIMIT}, for which the collector \
                 takes some {} GiB of memory when it starts",
                (RECENT_IDS_LIMIT * RECENT_ID_BYTES) >> 30
            );
            found.at(ids.span, message);
        }
        landing.recent_ids_min = ids.value;
    }
    Some(landing)
}

fn read_limits(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<CollectorLimits> {
    let mut limits = CollectorLimits::default();
    set(&mut limits.body_bytes_max, size(section, "body_bytes_max", found));
    if limits.body_bytes_max > BODY_BYTES_LIMIT {
        found.at(section.span, "`body_bytes_max`: expected at most 64MiB");
    }
    set(&mut limits.events_max, positive(section, "events_max", found));
    set(&mut limits.event_bytes_max, size(section, "event_bytes_max", found));
    if limits.event_bytes_max > EVENT_BYTES_LIMIT {
        found.at(section.span, "`event_bytes_max`: expected at most 16MiB");
    }
    if let Some(depth) = section.number::<usize>("depth_max", found) {
        if !(1..=DEPTH_LIMIT).contains(&depth.value) {
            found.at(depth.span, format!("`depth_max`: expected 1 to {DEPTH_LIMIT}"));
        }
        limits.depth_max = depth.value;
    }
    limits.line_bytes_max = limits.line_bytes_max.max(limits.line_bytes_least());
    set(&mut limits.line_bytes_max, size(section, "line_bytes_max", found));
    if limits.line_bytes_max < limits.line_bytes_least() {
        let least = limits.line_bytes_least();
        let message = format!(
            "`line_bytes_max`: expected at least {least} bytes, an event's and \
             {ENVELOPE_BYTES_MAX} more"
        );
        found.at(section.span, message);
    }
    set(&mut limits.header_bytes_max, size(section, "header_bytes_max", found));
    if limits.header_bytes_max < HEADER_BYTES_LEAST {
        found.at(section.span, "`header_bytes_max`: expected at least 8KiB");
    }
    set(&mut limits.connections_max, positive(section, "connections_max", found));
    set(&mut limits.request_time_max, section.duration("request_time_max", found));
    set(&mut limits.waiting_requests_max, positive(section, "waiting_requests_max", found));
    set(&mut limits.heads_bytes_max, size(section, "heads_bytes_max", found));
    set(&mut limits.idle_time_max, section.duration("idle_time_max", found));
    set(&mut limits.request_lines_bytes_max, size(section, "request_lines_bytes_max", found));
    if limits.request_lines_bytes_max > REQUEST_LINES_BYTES_LIMIT {
        found.at(section.span, "`request_lines_bytes_max`: expected at most 64MiB");
    }
    set(&mut limits.client_rate_max, number(section, "client_rate_max", found));
    set(&mut limits.client_surplus_max, size_or_none(section, "client_surplus_max", found));
    set(&mut limits.client_connections_max, number(section, "client_connections_max", found));
    read_claims(section, &mut limits, found);
    Some(limits)
}

/// What events may claim.
fn read_claims(section: &mut Section<'_>, limits: &mut CollectorLimits, found: &mut Findings<'_>) {
    set(&mut limits.client_clock_behind_max, time(section, "client_clock_behind_max", found));
    set(&mut limits.client_clock_ahead_max, time(section, "client_clock_ahead_max", found));
    limits.services = section.texts("services").into_iter().map(|text| text.value).collect();
    set(&mut limits.services_max, positive(section, "services_max", found));
}

fn read_consent(section: &mut Section<'_>, found: &mut Findings<'_>) -> Option<Consent> {
    let default = Consent::default();
    let anonymous_header = section.text("anonymous_header").map(|text| {
        if hyper::header::HeaderName::try_from(&text.value).is_err() {
            found.at(text.span, format!("expected a header's name, found `{}`", text.value));
        }
        text.value.to_lowercase()
    });
    Some(Consent {
        honor_dnt: section.truth("honor_dnt", default.honor_dnt, found),
        honor_gpc: section.truth("honor_gpc", default.honor_gpc, found),
        anonymous_header: anonymous_header.unwrap_or(default.anonymous_header),
        keep_ip: section.truth("keep_ip", default.keep_ip, found),
    })
}

fn read_cookies(
    section: &mut Section<'_>,
    found: &mut Findings<'_>,
    secrets: &mut Secrets<'_>,
) -> Option<CookieSettings> {
    let mut cookies = CookieSettings::default();
    let mut name = |key, slot: &mut String| {
        let Some(text) = section.text(key) else { return };
        if !is_name(&text.value) {
            found.at(text.span, format!("`{key}`: expected letters, digits, `-` and `_`"));
        }
        *slot = text.value;
    };
    name("short_name", &mut cookies.short_name);
    name("long_name", &mut cookies.long_name);
    if cookies.short_name == cookies.long_name {
        found.at(section.span, "`short_name` and `long_name` are the same");
    }
    let mut attribute = |key| {
        let text = section.text(key)?;
        if !text.value.bytes().all(|byte| byte.is_ascii_graphic() && !b";,".contains(&byte)) {
            found.at(text.span, format!("`{key}`: expected no blanks, `;` and `,`"));
        }
        Some(text.value)
    };
    cookies.domain = attribute("domain");
    set(&mut cookies.path, attribute("path"));
    let choices = [("lax", SameSite::Lax), ("strict", SameSite::Strict), ("none", SameSite::None)];
    cookies.same_site = section.choice("same_site", &choices, found);
    cookies.secure = section.truth("secure", cookies.secure, found);
    cookies.http_only = section.truth("http_only", cookies.http_only, found);
    if cookies.same_site == SameSite::None && !cookies.secure {
        found.at(section.span, "`same_site = \"none\"` needs `secure = true`: browsers refuse it");
    }
    let names = [section.text("key_variable"), section.text("previous_key_variable")];
    cookies.keys = read_keys(names, section.span, secrets, found);
    cookies.accept_unsigned = section.truth("accept_unsigned", cookies.accept_unsigned, found);
    Some(cookies)
}

/// The environment's variables that hold the key of cookies and the one before it, if the
/// configuration names no others.
const KEY_VARIABLES: [&str; 2] = ["ASHIATO_COOKIE_KEY", "ASHIATO_COOKIE_KEY_PREVIOUS"];

/// The keys of cookies. They are not in the file, which others may read.
fn read_keys(
    names: [Option<Spanned<String>>; 2],
    span: Span,
    secrets: &mut Secrets<'_>,
    found: &mut Findings<'_>,
) -> CookieKeys {
    let mut keys = CookieKeys::default();
    for (place, (name, usual)) in names.into_iter().zip(KEY_VARIABLES).enumerate() {
        let span = name.as_ref().map_or(span, |name| name.span);
        let is_named = name.is_some();
        let name = name.map_or_else(|| usual.to_owned(), |name| name.value);
        let Some(secret) = (secrets.lookup)(&name).filter(|secret| !secret.is_empty()) else {
            if is_named {
                secrets.absent.push((span, name));
            }
            continue;
        };
        if place > 0 && keys.is_empty() && secrets.absent.is_empty() {
            found.at(span, format!("there is a key in `{name}` from before, and no key now"));
        } else if !keys.push(secret.as_bytes()) {
            let expected = format!("expected at least {KEY_BYTES_MIN} bytes, 32 random ones best");
            found.at(span, format!("the key in `{name}`: {expected}"));
        }
    }
    keys
}

fn read_visits(
    section: &mut Section<'_>,
    found: &mut Findings<'_>,
) -> Option<(VisitRules, Vec<String>)> {
    let mut rules = CollectorConfig::default().visits;
    let mut ttl = |key, slot: &mut i64| {
        if let Some(duration) = section.duration(key, found) {
            *slot = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        }
    };
    ttl("short_ttl", &mut rules.short_ttl_ms);
    ttl("long_ttl", &mut rules.long_ttl_ms);
    let AttributionRules { via_ttl_ms, cart_ttl_ms, cart_items_max, touching } =
        &mut rules.attribution;
    ttl("via_ttl", via_ttl_ms);
    ttl("cart_ttl", cart_ttl_ms);
    set(cart_items_max, number(section, "cart_items_max", found));
    set(&mut rules.record_bytes_max, size(section, "record_bytes_max", found));
    if rules.record_bytes_max < RECORD_BYTES_LEAST {
        found.at(section.span, "`record_bytes_max`: expected at least 4KiB");
    }
    *touching =
        section.choice("touch", &[("last", Touching::Last), ("first", Touching::First)], found);
    let renewing = section.texts("renewing_events").into_iter().map(|text| text.value).collect();
    Some((rules, renewing))
}

fn origins(section: &mut Section<'_>, found: &mut Findings<'_>) -> Vec<String> {
    let texts = section.texts("allowed_origins");
    for text in &texts {
        let is_origin = url::Url::parse(&text.value)
            .is_ok_and(|url| url.origin().ascii_serialization() == text.value);
        // A pattern would be an origin that no page has.
        if (!is_origin || text.value.contains('*')) && text.value != "*" {
            let message = "`allowed_origins`: expected a scheme and a host such as \
                           `https://shop.example`, without a `/` at its end, or `*` for any";
            found.diagnostics.push(of_text(found.file, text, message));
        }
    }
    texts.into_iter().map(|text| text.value).collect()
}

fn of_text(file: &ConfigFile, text: &Spanned<String>, message: &str) -> Diagnostic {
    file.diagnostic(text.span, format!("{message}, found `{}`", text.value))
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn number<T: FromStr>(
    section: &mut Section<'_>,
    key: &'static str,
    found: &mut Findings<'_>,
) -> Option<T> {
    section.number(key, found).map(|number| number.value)
}

fn positive(
    section: &mut Section<'_>,
    key: &'static str,
    found: &mut Findings<'_>,
) -> Option<usize> {
    let number = section.number::<usize>(key, found)?;
    if number.value == 0 {
        found.at(number.span, format!("`{key}`: expected more than 0"));
    }
    Some(number.value)
}

fn size(section: &mut Section<'_>, key: &'static str, found: &mut Findings<'_>) -> Option<usize> {
    section.byte_size(key, found).and_then(|size| usize::try_from(size).ok())
}

/// A number of bytes, of which 0 is no limit.
fn size_or_none(
    section: &mut Section<'_>,
    key: &'static str,
    found: &mut Findings<'_>,
) -> Option<usize> {
    let text = section.scalar_text(key)?;
    match parse_byte_size(&text.value).map(usize::try_from) {
        Ok(Ok(size)) => return Some(size),
        Ok(Err(_)) => found.at(text.span, format!("`{key}`: expected fewer bytes")),
        Err(message) => found.at(text.span, format!("`{key}`: {message}")),
    }
    None
}

/// A length of time, which may be none.
fn time(
    section: &mut Section<'_>,
    key: &'static str,
    found: &mut Findings<'_>,
) -> Option<Duration> {
    let text = section.text(key)?;
    let parsed = parse_duration(&text.value);
    parsed.map_err(|message| found.at(text.span, format!("`{key}`: {message}"))).ok()
}

fn parsed<T: FromStr>(
    section: &mut Section<'_>,
    key: &'static str,
    expected: &str,
    found: &mut Findings<'_>,
) -> Option<T> {
    parse(&section.text(key)?, key, expected, found)
}

fn parse<T: FromStr>(
    text: &Spanned<String>,
    key: &str,
    expected: &str,
    found: &mut Findings<'_>,
) -> Option<T> {
    let parsed = text.value.parse().ok();
    if parsed.is_none() {
        found.at(text.span, format!("`{key}`: expected {expected}, found `{}`", text.value));
    }
    parsed
}

/// Names that mean the same in a file name, a cookie and a JSON string.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.len() <= 64 && text.bytes().all(allowed)
}

/// A folder that is good for an object's name and a spool file's.
fn is_landing_path(path: &str) -> bool {
    let mut rest = path.trim_matches('/');
    while let Some(percent) = rest.find('%') {
        let (before, code) = rest.split_at(percent);
        if !is_plain(before) || !matches!(code.as_bytes().get(1), Some(b'Y' | b'm' | b'd' | b'H')) {
            return false;
        }
        rest = &code[2..];
    }
    is_plain(rest) && !path.contains("//") && !path.split('/').any(is_hidden)
}

/// Whether readers take an object or a folder of this name for one that is not to be read.
fn is_hidden(name: &str) -> bool {
    name.starts_with(['_', '.'])
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=-_/".contains(&byte))
}

#[cfg(test)]
#[path = "config_file_tests.rs"]
mod tests;
