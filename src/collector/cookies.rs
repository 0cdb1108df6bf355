//! The cookies of the ids: signed (HMAC-SHA-256), and read as the bytes that they are.
//!
//! ```text
//! ashiato_long    <visitor>.<renewed, ms since 1970>.<tag>
//! ashiato_short   <visit>.<renewed, ms since 1970>.<events so far>.<tag>
//! tag             16 bytes of HMAC-SHA-256 (RFC 2104) over what stands before it, in base64url;
//!                 of the visit over the visitor, too: it is of no use to another one
//! ```
//!
//! Without a key there is no tag, and whoever knows an id can say that it is theirs. A header holds
//! whatever other cookies a site has, in any encoding: only our own pairs are looked at. Of several
//! cookies of one name the newest counts that is valid.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::visits::ShortCookie;

/// Bytes of a key at least.
pub(super) const KEY_BYTES_MIN: usize = 16;
/// Bytes of a tag, before they are text: half of the hash, which RFC 2104 allows.
const TAG_BYTES: usize = 16;
/// Characters of a tag.
pub(super) const TAG_CHARACTERS: usize = 22;
/// Events of a visit beyond which a cookie is none of ours.
const SEQ_MAX: u64 = u32::MAX as u64;
/// Cookies of one name that are looked at, of those that have our form: each costs a hash.
const COOKIES_MAX: usize = 16;

/// Secret keys: the first one signs, any of them is good. They leave this type in no way.
#[derive(Clone, Default)]
pub struct CookieKeys(Vec<Hmac<Sha256>>);

impl CookieKeys {
    /// Adds a key, after those that are there; whether it is long enough to be one.
    pub fn push(&mut self, secret: &[u8]) -> bool {
        let keyed = Hmac::new_from_slice(secret).ok().filter(|_| secret.len() >= KEY_BYTES_MIN);
        keyed.map(|keyed| self.0.push(keyed)).is_some()
    }

    /// Whether cookies are not signed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A secret for another purpose, which tells nothing of the key; none without one.
    pub(super) fn derive(&self, purpose: &[u8]) -> Option<[u8; 32]> {
        Some(mac_of(self.0.first()?, &[purpose]).finalize().into_bytes().into())
    }

    fn sign(&self, message: &[&[u8]]) -> Option<Tag> {
        let mac = mac_of(self.0.first()?, message).finalize().into_bytes();
        let mut tag = [0; TAG_CHARACTERS];
        URL_SAFE_NO_PAD.encode_slice(&mac[..TAG_BYTES], &mut tag).ok()?;
        Some(Tag(tag))
    }

    fn verify(&self, message: &[&[u8]], tag: &str) -> bool {
        let mut bytes = [0; TAG_BYTES + 2];
        let Ok(TAG_BYTES) = URL_SAFE_NO_PAD.decode_slice(tag, &mut bytes) else { return false };
        let tag = &bytes[..TAG_BYTES];
        self.0.iter().any(|key| mac_of(key, message).verify_truncated_left(tag).is_ok())
    }
}

impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CookieKeys({})", self.0.len())
    }
}

fn mac_of(key: &Hmac<Sha256>, message: &[&[u8]]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    message.iter().for_each(|part| mac.update(part));
    mac
}

/// The end of a signed cookie.
#[derive(Debug, Clone, Copy)]
struct Tag([u8; TAG_CHARACTERS]);

/// A cookie's value as it is sent.
#[derive(Debug)]
pub(super) struct CookieValue<T> {
    payload: T,
    tag: Option<Tag>,
}

impl<T: fmt::Display> fmt::Display for CookieValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.payload)?;
        match &self.tag {
            Some(Tag(text)) => write!(f, ".{}", str::from_utf8(text).unwrap_or_default()),
            None => Ok(()),
        }
    }
}

/// What the long-lived cookie says: `<visitor>.<milliseconds since 1970>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LongCookie {
    pub long: Uuid,
    /// When it was renewed last; none if the client does not say.
    pub renewed_ms: Option<i64>,
}

impl LongCookie {
    /// The cookie of a visitor that was renewed at a time.
    pub fn signed(long: Uuid, renewed_ms: i64, keys: &CookieKeys) -> CookieValue<Self> {
        let payload = LongCookie { long, renewed_ms: Some(renewed_ms) };
        CookieValue { payload, tag: keys.sign(&[b"long", long.as_bytes(), &payload.time()]) }
    }

    /// The id, unless its time is up.
    pub fn in_force(self, ttl_ms: i64, now_ms: i64) -> Option<Uuid> {
        let is_over = self.renewed_ms.is_some_and(|at| now_ms.saturating_sub(at) >= ttl_ms);
        (!is_over).then_some(self.long)
    }

    fn time(&self) -> [u8; 8] {
        self.renewed_ms.unwrap_or_default().to_be_bytes()
    }
}

impl fmt::Display for LongCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.long, self.renewed_ms.unwrap_or_default())
    }
}

/// The cookie of a visitor's visit.
pub(super) fn signed_short(
    short: ShortCookie,
    long: Uuid,
    keys: &CookieKeys,
) -> CookieValue<ShortCookie> {
    let (time, seq) = (short.seen_ms.to_be_bytes(), short.seq.to_be_bytes());
    let tag = keys.sign(&[b"short", long.as_bytes(), short.short.as_bytes(), &time, &seq]);
    CookieValue { payload: short, tag }
}

/// Reads cookies.
#[derive(Debug, Clone, Copy)]
pub(super) struct CookieReader<'a> {
    pub short_name: &'a str,
    pub long_name: &'a str,
    pub keys: &'a CookieKeys,
    /// Whether a cookie without a tag is good, though there are keys.
    pub accepts_unsigned: bool,
}

/// What a client's cookies say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Brought {
    pub long: Option<LongCookie>,
    pub short: Option<ShortCookie>,
    /// Whether there was any of our names, whatever it said.
    pub any: bool,
}

impl CookieReader<'_> {
    /// Reads `Cookie` headers, however many and in whatever encoding they are. A visit is only
    /// known with its visitor.
    pub fn read<'h>(&self, headers: impl Iterator<Item = &'h [u8]>) -> Brought {
        let mut brought = Brought::default();
        let (mut longs, mut shorts) = (0, Vec::new());
        for (name, value) in headers.flat_map(|header| header.split(|b| *b == b';').map(pair_of)) {
            let is_long = name == self.long_name.as_bytes();
            if !is_long && name != self.short_name.as_bytes() {
                continue;
            }
            brought.any = true;
            let Ok(text) = str::from_utf8(value) else { continue };
            if !is_long {
                shorts.push(text);
            } else if longs < COOKIES_MAX
                && let Some((cookie, tag)) = parse_long(text)
            {
                longs += 1;
                let is_newer = brought.long.is_none_or(|one| one.renewed_ms < cookie.renewed_ms);
                if is_newer && self.admits_long(&cookie, tag) {
                    brought.long = Some(cookie);
                }
            }
        }
        let Some(LongCookie { long, .. }) = brought.long else { return brought };
        for (cookie, tag) in shorts.into_iter().filter_map(parse_short).take(COOKIES_MAX) {
            let time = |one: ShortCookie| (one.seen_ms, one.seq);
            if brought.short.is_none_or(|one| time(one) < time(cookie))
                && self.admits_short(&cookie, long, tag)
            {
                brought.short = Some(cookie);
            }
        }
        brought
    }

    /// A visitor's id as a header has it: the cookie's value, or without a tag the id alone.
    pub fn long_of(&self, value: &[u8]) -> Option<LongCookie> {
        let text = str::from_utf8(value.trim_ascii()).ok()?;
        let (cookie, tag) = parse_long(text)?;
        self.admits_long(&cookie, tag).then_some(cookie)
    }

    fn admits_long(&self, cookie: &LongCookie, tag: Option<&str>) -> bool {
        self.admits(&[b"long", cookie.long.as_bytes(), &cookie.time()], tag)
    }

    fn admits_short(&self, cookie: &ShortCookie, long: Uuid, tag: Option<&str>) -> bool {
        let (time, seq) = (cookie.seen_ms.to_be_bytes(), cookie.seq.to_be_bytes());
        self.admits(&[b"short", long.as_bytes(), cookie.short.as_bytes(), &time, &seq], tag)
    }

    fn admits(&self, message: &[&[u8]], tag: Option<&str>) -> bool {
        match tag {
            // Of a key that is no more, which nobody can verify.
            Some(tag) if self.keys.is_empty() => tag.len() == TAG_CHARACTERS,
            Some(tag) => self.keys.verify(message, tag),
            None => self.keys.is_empty() || self.accepts_unsigned,
        }
    }
}

/// A cookie's name and value: without blanks around them, and without quotes around the value.
fn pair_of(pair: &[u8]) -> (&[u8], &[u8]) {
    let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    let (name, value) = (pair[..at].trim_ascii(), pair.get(at + 1..).unwrap_or_default());
    let value = value.trim_ascii();
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    (name, bare.unwrap_or(value))
}

/// `<visitor>[.<ms>[.<tag>]]`.
fn parse_long(text: &str) -> Option<(LongCookie, Option<&str>)> {
    let mut parts = text.splitn(3, '.');
    let long = parse_id(parts.next()?)?;
    let renewed_ms = match parts.next() {
        Some(text) => Some(parse_ms(text)?),
        None => None,
    };
    Some((LongCookie { long, renewed_ms }, parts.next()))
}

/// `<visit>.<ms>.<events>[.<tag>]`.
fn parse_short(text: &str) -> Option<(ShortCookie, Option<&str>)> {
    let mut parts = text.splitn(4, '.');
    let short = parse_id(parts.next()?)?;
    let seen_ms = parse_ms(parts.next()?)?;
    let seq = parts.next()?.parse().ok().filter(|seq| (1..=SEQ_MAX).contains(seq))?;
    Some((ShortCookie { short, seen_ms, seq }, parts.next()))
}

fn parse_id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|id| !id.is_nil() && !id.is_max())
}

fn parse_ms(text: &str) -> Option<i64> {
    text.parse().ok().filter(|ms| *ms >= 0)
}

#[cfg(test)]
#[path = "cookies_tests.rs"]
mod tests;
