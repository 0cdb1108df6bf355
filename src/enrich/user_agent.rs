//! Browser, operating system and kind of device out of a User-Agent text.
//!
//! ```text
//! "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) … Version/17.1 Mobile/15E148 …"
//!   ─► patterns     family "Mobile Safari" 17.1, system "iOS" 17.1, device "iPhone"
//!   ─► device kind  smartphone
//! ```
//!
//! The patterns are those of uap-core, which the `ua-parser` crate runs; they are bundled as JSON,
//! made from its `regexes.yaml` without other changes. Compiling them takes a while, so that is
//! done at first use, once a process.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use foldhash::HashMap;
use ua_parser::{Extractor, Regexes};

const PATTERNS: &str = include_str!("user_agent_patterns.json");
/// Bytes of a text that are looked at; longer ones are no browser's, but may be an attack.
const LOOKED_AT_BYTES_MAX: usize = 1024;
/// Distinct texts of one generation of the cache; at most two generations are kept.
const GENERATION_ENTRIES_MAX: usize = 8192;

static EXTRACTOR: LazyLock<Extractor<'static>> = LazyLock::new(|| {
    let patterns: Regexes<'static> = serde_json::from_str(PATTERNS)
        .expect("the bundled patterns are part of the program, and tests read them");
    patterns.try_into().expect("the bundled patterns are part of the program, and tests use them")
});

/// What a User-Agent text tells; fields are none where it does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAgent {
    /// The browser's or bot's family, such as `Chrome Mobile`; of a bot that uap-core does not
    /// know, the product that its text begins with.
    pub browser: Option<String>,
    /// Its version, as far as it is given: `119.0.6045`.
    pub version: Option<String>,
    /// The operating system's family, such as `Mac OS X`.
    pub os: Option<String>,
    /// Its version, as far as it is given.
    pub os_version: Option<String>,
    /// What it runs on.
    pub device_kind: DeviceKind,
    /// Whether it is a crawler, a monitor or another robot.
    pub bot: bool,
}

/// Kinds of devices. The first rule that holds decides:
///
/// 1. `Bot`: uap-core's device is `Spider`, or the text has a word that ends in `bot`, `crawler`,
///    `spider`, `slurp`, `fetcher`, `feedparser` or `rss`, begins with `feed`, or holds `monitor`:
///    crawlers, fetchers of feeds and monitors.
/// 2. `Tv`: the text names a television or a set-top box.
/// 3. `Tablet`: an iPad, a text with `Tablet`, `Kindle` or `PlayBook`, or Android without `Mobile`.
/// 4. `Smartphone`: an iPhone or iPod, Android, Windows Phone, or a text with `Mobile` or
///    `BlackBerry`.
/// 5. `Pc`: a desktop operating system (Windows, macOS, Chrome OS, Linux, BSD, Solaris).
/// 6. `Other`: everything else, such as scripts, game consoles and feature phones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// A desktop or laptop computer.
    Pc,
    /// A phone that runs apps.
    Smartphone,
    /// A tablet or e-book reader.
    Tablet,
    /// A television or set-top box.
    Tv,
    /// A program that acts by itself.
    Bot,
    /// Something else or not to be told.
    Other,
}

impl DeviceKind {
    /// The name in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            DeviceKind::Pc => "pc",
            DeviceKind::Smartphone => "smartphone",
            DeviceKind::Tablet => "tablet",
            DeviceKind::Tv => "tv",
            DeviceKind::Bot => "bot",
            DeviceKind::Other => "other",
        }
    }
}

/// Parses texts, each distinct one once as long as it stays in a bounded cache.
///
/// The cache has two generations: when the young one is full, it becomes the old one, and what was
/// old is forgotten. A text that is met again comes back into the young one.
#[derive(Debug, Default)]
pub struct UserAgents {
    cache: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<UserAgent>>,
    old: HashMap<Box<str>, Arc<UserAgent>>,
}

impl UserAgents {
    /// What a text tells. Only its first 1,024 bytes are looked at.
    pub fn parse(&self, text: &str) -> Arc<UserAgent> {
        let text = &text[..text.floor_char_boundary(LOOKED_AT_BYTES_MAX)];
        if let Some(known) = self.generations().get(text) {
            return known;
        }
        // Parsed without the lock: another thread may do the same work, but none has to wait.
        let parsed = Arc::new(parse(text));
        self.generations().insert(text, &parsed);
        parsed
    }

    fn generations(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn get(&mut self, text: &str) -> Option<Arc<UserAgent>> {
        if let Some(known) = self.young.get(text) {
            return Some(Arc::clone(known));
        }
        let known = self.old.remove(text)?;
        self.insert(text, &known);
        Some(known)
    }

    fn insert(&mut self, text: &str, parsed: &Arc<UserAgent>) {
        if self.young.len() >= GENERATION_ENTRIES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(text.into(), Arc::clone(parsed));
    }
}

fn parse(text: &str) -> UserAgent {
    let (browser, os, device) = EXTRACTOR.extract(text);
    let system = os.as_ref().map(|os| os.os.as_ref());
    let spider = device.is_some_and(|device| device.device == "Spider");
    let device_kind = device_kind(text, system, spider);
    let bot = device_kind == DeviceKind::Bot;
    let (browser, version_of_browser) = match browser {
        Some(b) => (Some(b.family.to_string()), version([&b.major, &b.minor, &b.patch])),
        None if bot => product(text).unwrap_or_default(),
        None => (None, None),
    };
    UserAgent {
        browser,
        version: version_of_browser,
        os_version: os.as_ref().and_then(|os| version([&os.major, &os.minor, &os.patch])),
        os: os.map(|os| os.os.into_owned()),
        device_kind,
        bot,
    }
}

/// The first product of a text (`UniversalFeedParser/4.2-pre-314` is one, with version 4.2), as
/// RFC 9110, section 10.1.5, has them; none for `Mozilla`, which says nothing.
fn product(text: &str) -> Option<(Option<String>, Option<String>)> {
    let (name, rest) = text.split_once('/')?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || name == "Mozilla" || !name.chars().all(is_token) {
        return None;
    }
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let version = rest[..end].trim_matches('.');
    Some((Some(name.to_owned()), (!version.is_empty()).then(|| version.to_owned())))
}

/// The parts of a version up to the first that is absent, joined by dots.
fn version<T: AsRef<str>>(parts: [&Option<T>; 3]) -> Option<String> {
    let given = parts.into_iter().map_while(|part| part.as_ref().map(AsRef::as_ref));
    let given: Vec<&str> = given.take_while(|part| !part.is_empty()).collect();
    (!given.is_empty()).then(|| given.join("."))
}

fn device_kind(text: &str, system: Option<&str>, spider: bool) -> DeviceKind {
    const TELEVISIONS: [&str; 11] = [
        "smart-tv",
        "smarttv",
        "googletv",
        "google tv",
        "android tv",
        "apple tv",
        "appletv",
        "hbbtv",
        "bravia",
        "crkey",
        "web0s",
    ];
    const DESKTOPS: [&str; 7] =
        ["Windows", "Mac OS", "Chrome OS", "Linux", "BSD", "Solaris", "Ubuntu"];

    let lower = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let android = lower.contains("android");
    if spider || names_a_bot(&lower) {
        DeviceKind::Bot
    } else if has(&TELEVISIONS) || system == Some("ATV OS X") {
        DeviceKind::Tv
    } else if has(&["ipad", "tablet", "kindle", "playbook"]) || android && !lower.contains("mobile")
    {
        DeviceKind::Tablet
    } else if android || has(&["iphone", "ipod", "windows phone", "mobile", "blackberry"]) {
        DeviceKind::Smartphone
    } else if system.is_some_and(|s| DESKTOPS.iter().any(|d| s.contains(d)) || is_linux(s)) {
        DeviceKind::Pc
    } else {
        DeviceKind::Other
    }
}

/// uap-core names distributions of Linux by their own names.
fn is_linux(system: &str) -> bool {
    matches!(system, "Debian" | "Fedora" | "Red Hat" | "CentOS" | "SUSE" | "Gentoo" | "Slackware")
}

fn names_a_bot(lower: &str) -> bool {
    const ENDINGS: [&str; 7] =
        ["bot", "crawler", "spider", "slurp", "fetcher", "feedparser", "rss"];
    // CUBOT makes phones.
    let words = lower.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| *word != "cubot");
    let mut words = words.filter(|word| !word.is_empty());
    words.any(|word| {
        word.contains("monitor")
            || word.starts_with("feed")
            || ENDINGS.iter().any(|end| word.ends_with(end))
    })
}

#[cfg(test)]
#[path = "user_agent_tests.rs"]
mod tests;
