//! As much of `collector` as reading events and cookies needs.

#[path = "../../src/collector/claims.rs"]
mod claims;
#[path = "../../src/collector/config.rs"]
pub mod config;
#[path = "../../src/collector/cookies.rs"]
mod cookies;
#[path = "../../src/collector/events.rs"]
pub mod events;
#[path = "../../src/collector/members.rs"]
mod members;

#[path = "visits.rs"]
pub mod visits;

pub use cookies::CookieKeys;

use uuid::Uuid;
use visits::ShortCookie;

/// A visitor's signed cookies, as a header has them.
pub fn cookies_of(long: Uuid, short: ShortCookie, keys: &CookieKeys) -> String {
    let value = cookies::signed_short(short, long, keys);
    format!("l={}; s={value}", cookies::LongCookie::signed(long, short.seen_ms, keys))
}

/// The visitor and the visit that headers tell of.
pub fn read_cookies(headers: &[&[u8]], keys: &CookieKeys) -> (Option<Uuid>, Option<ShortCookie>) {
    let (short_name, long_name) = ("s", "l");
    let reader = cookies::CookieReader { short_name, long_name, keys, accepts_unsigned: false };
    let brought = reader.read(headers.iter().copied());
    (brought.long.map(|cookie| cookie.long), brought.short)
}
