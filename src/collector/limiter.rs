//! Rate limits by client (token buckets): requests, and bytes beyond those that it sends.
//!
//! ```text
//! sent       2.7 kB of gzip            paid for: 32 times that, and 4 KiB
//! unpacked   1 MiB                     surplus: 0.9 MiB, charged
//! lines      4 MiB                     surplus: 3 MiB more, charged
//! ```
//!
//! A few bytes may unpack to many, and each item of a cart has what led to it in its event's line.
//! What honest clients send becomes some lines of its own length; so only what is far beyond that
//! is charged, by a token bucket of its client, and many honest clients behind one address pay
//! nothing. A client is an IPv4 address, or the /64 of an IPv6 one, of which each has 2^64; and all
//! /64s of a /48 together may do as much as 16 clients, for who has one has 65,536 of them.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use foldhash::fast::RandomState;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hyper::StatusCode;

use super::body::Refused;
use super::client::{Client, ClientKey, SITE_CLIENTS, client_key, site_key};
use super::config::CollectorLimits;

/// Bytes that a byte sent pays for.
const RATIO: usize = 32;
/// Bytes that a request pays for, whatever it has.
const REQUEST_BYTES: usize = 4 << 10;

/// What clients may do.
#[derive(Debug)]
pub(super) struct ClientLimiter {
    clients: Bounds,
    /// Of each /48 of IPv6.
    sites: Bounds,
    limits: CollectorLimits,
}

/// What each of those with a key may do.
#[derive(Debug)]
struct Bounds {
    rate: Option<DefaultKeyedRateLimiter<ClientKey>>,
    surplus: Buckets,
}

impl Bounds {
    /// As much as so many clients.
    fn of(limits: &CollectorLimits, clients: u32) -> Self {
        let rate = NonZeroU32::new(limits.client_rate_max.saturating_mul(clients));
        // The largest request that may come must be allowed, however seldom.
        let largest = limits.request_lines_bytes_max.max(limits.body_bytes_max);
        let full = largest.max(limits.client_surplus_max) as f64;
        Bounds {
            rate: rate.map(|rate| RateLimiter::keyed(Quota::per_second(rate))),
            surplus: Buckets {
                rate: limits.client_surplus_max as f64 * f64::from(clients),
                full: full * f64::from(clients),
                buckets: Mutex::default(),
            },
        }
    }

    fn admits(&self, key: ClientKey) -> bool {
        self.rate.as_ref().is_none_or(|rate| rate.check_key(&key).is_ok())
    }

    fn tidy(&self, now: Instant) {
        if let Some(rate) = &self.rate {
            rate.retain_recent();
            rate.shrink_to_fit();
        }
        self.surplus.tidy(now);
    }
}

/// What a request has paid for, and was charged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bill {
    paid: usize,
    charged: usize,
}

impl Bill {
    /// Of a request that brought so many bytes, as sent.
    pub fn of(sent: usize) -> Self {
        Bill { paid: sent.saturating_mul(RATIO).saturating_add(REQUEST_BYTES), charged: 0 }
    }

    /// Bytes beyond what was paid for and charged, which are charged by this.
    fn surplus(&mut self, bytes: usize) -> usize {
        let surplus = bytes.saturating_sub(self.paid).saturating_sub(self.charged);
        self.charged += surplus;
        surplus
    }
}

impl ClientLimiter {
    pub fn new(limits: &CollectorLimits) -> Self {
        ClientLimiter {
            clients: Bounds::of(limits, 1),
            sites: Bounds::of(limits, SITE_CLIENTS),
            limits: limits.clone(),
        }
    }

    /// Forgets clients that are gone; asked now and then.
    pub fn tidy(&self) {
        let now = Instant::now();
        self.clients.tidy(now);
        self.sites.tidy(now);
    }

    /// The bounds that a client has, each with its key.
    fn bounds_of(&self, client: &Client) -> impl Iterator<Item = (&Bounds, ClientKey)> {
        let of_client = client.ip.map(|ip| (&self.clients, client_key(ip)));
        let of_site = client.ip.and_then(site_key).map(|site| (&self.sites, site));
        of_client.into_iter().chain(of_site)
    }

    /// Refuses a request too many.
    pub fn admit(&self, client: &Client) -> Result<(), Refused> {
        if self.bounds_of(client).any(|(bounds, key)| !bounds.admits(key)) {
            let max = self.limits.client_rate_max;
            return Err(too_much(format!(
                "expected at most {max} requests a second of one client"
            )));
        }
        Ok(())
    }

    /// Refuses a body that is to be unpacked, of a client that has used up what it may.
    pub fn admit_packed(&self, client: &Client) -> Result<(), Refused> {
        self.take(client, 0)
    }

    /// Charges a client for bytes that were unpacked.
    pub fn charge_unpacked(&self, client: &Client, bill: &mut Bill, bytes: usize) {
        let surplus = bill.surplus(bytes);
        for (bounds, key) in self.bounds_of(client).filter(|_| surplus > 0) {
            bounds.surplus.charge(key, surplus, Instant::now());
        }
    }

    /// Charges a client for bytes of lines, or refuses them if it has used up what it may.
    pub fn charge_lines(
        &self,
        client: &Client,
        bill: &mut Bill,
        bytes: usize,
    ) -> Result<(), Refused> {
        match bill.surplus(bytes) {
            0 => Ok(()),
            surplus => self.take(client, surplus),
        }
    }

    fn take(&self, client: &Client, bytes: usize) -> Result<(), Refused> {
        let now = Instant::now();
        if self.bounds_of(client).all(|(bounds, key)| bounds.surplus.take(key, bytes, now)) {
            return Ok(());
        }
        let max = self.limits.client_surplus_max;
        Err(too_much(format!(
            "expected at most {max} bytes a second of one client beyond {RATIO} for each byte that \
             it sends, unpacked and as lines"
        )))
    }
}

/// Token buckets, of which each may be overdrawn once: what was taken too much must be made up for
/// before anything else is taken.
#[derive(Debug)]
struct Buckets {
    /// Bytes a second; 0 is no limit.
    rate: f64,
    /// Bytes of a bucket that is full, as it is at first.
    full: f64,
    buckets: Mutex<HashMap<ClientKey, TokenBucket, RandomState>>,
}

#[derive(Debug, Clone, Copy)]
struct TokenBucket {
    bytes: f64,
    at: Instant,
}

impl Buckets {
    /// Takes bytes out of a client's bucket, unless it is empty.
    fn take(&self, client: ClientKey, bytes: usize, now: Instant) -> bool {
        self.change(client, now, |bucket| {
            let is_left = bucket.bytes > 0.0;
            bucket.bytes -= if is_left { bytes as f64 } else { 0.0 };
            is_left
        })
    }

    /// Takes bytes out of a client's bucket, even if it is empty: but for twice what it holds.
    fn charge(&self, client: ClientKey, bytes: usize, now: Instant) {
        self.change(client, now, |bucket| {
            bucket.bytes = (bucket.bytes - bytes as f64).max(-2.0 * self.full);
            true
        });
    }

    fn change(
        &self,
        client: ClientKey,
        now: Instant,
        change: impl FnOnce(&mut TokenBucket) -> bool,
    ) -> bool {
        if self.rate <= 0.0 {
            return true;
        }
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(client).or_insert(TokenBucket { bytes: self.full, at: now });
        *bucket = self.filled(*bucket, now);
        change(bucket)
    }

    fn filled(&self, bucket: TokenBucket, now: Instant) -> TokenBucket {
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        TokenBucket { bytes: (bucket.bytes + passed * self.rate).min(self.full), at: now }
    }

    /// Forgets those that are full.
    fn tidy(&self, now: Instant) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|_, bucket| self.filled(*bucket, now).bytes < self.full);
        buckets.shrink_to_fit();
    }
}

fn too_much(error: String) -> Refused {
    Refused { status: StatusCode::TOO_MANY_REQUESTS, error }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(ip: &str) -> Client {
        Client { ip: Some(ip.parse().unwrap()), ..Client::default() }
    }

    #[test]
    fn the_rate_of_an_ipv6_client_is_that_of_its_network() {
        let limits = CollectorLimits { client_rate_max: 2, ..CollectorLimits::default() };
        let limiter = ClientLimiter::new(&limits);
        let taken = |ips: [&str; 3]| ips.map(|ip| limiter.admit(&client(ip)).is_ok());
        assert_eq!(taken(["2001:db8::1", "2001:db8::2", "2001:db8::3"]), [true, true, false]);
        assert_eq!(taken(["2001:db8:0:1::1", "192.0.2.1", "192.0.2.2"]), [true; 3]);
        assert_eq!(taken(["192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"]), [true, false, false]);
    }

    #[test]
    fn many_networks_of_one_site_may_do_as_much_as_a_few_clients() {
        let limits = CollectorLimits { client_rate_max: 100, ..CollectorLimits::default() };
        let limiter = ClientLimiter::new(&limits);
        let one_of = |site: u16, network: u32| client(&format!("2001:db8:{site:x}:{network:x}::1"));
        let networks = 0..20_000;
        let admitted = networks.clone().filter(|n| limiter.admit(&one_of(1, *n)).is_ok()).count();
        assert!((1600..8000).contains(&admitted), "{admitted}");
        let taken =
            |n: &u32| limiter.charge_lines(&one_of(1, *n), &mut Bill::of(0), 1 << 20).is_ok();
        let taken = networks.filter(taken).count();
        assert!((64..1000).contains(&taken), "{taken}");
        assert!(limiter.admit_packed(&one_of(1, 60_000)).is_err());
        assert!(limiter.admit_packed(&one_of(2, 1)).is_ok());
        assert!(
            limiter.admit(&one_of(2, 1)).is_ok() && limiter.admit(&client("192.0.2.1")).is_ok()
        );
    }

    #[test]
    fn what_a_request_becomes_is_charged_to_its_client_and_to_no_other() {
        let limiter = ClientLimiter::new(&CollectorLimits::default());
        let (evil, other) = (client("192.0.2.1"), client("192.0.2.2"));
        let taken = |client: &Client, sent: usize, bytes: usize| {
            limiter.charge_lines(client, &mut Bill::of(sent), bytes).is_ok()
        };
        let count = (0..100).filter(|_| taken(&evil, 2700, 1 << 20)).count();
        assert!((3..10).contains(&count), "{count} requests");
        assert!(limiter.admit_packed(&evil).is_err());
        assert!(taken(&evil, 900, 1600), "what is in proportion is taken all the same");
        assert!(taken(&other, 2700, 1 << 20) && limiter.admit_packed(&other).is_ok());
        let (mut bill, third) = (Bill::of(0), client("192.0.2.3"));
        limiter.charge_unpacked(&third, &mut bill, 1 << 20);
        for bytes in [1 << 20, 2 << 20] {
            assert!(limiter.charge_lines(&third, &mut bill, bytes).is_ok());
        }
        assert_eq!(bill.charged, (2 << 20) - REQUEST_BYTES, "nothing is charged twice");
    }

    #[test]
    fn what_is_overdrawn_must_be_made_up_for() {
        let buckets = Buckets { rate: 100.0, full: 1000.0, buckets: Mutex::default() };
        let (ip, began) = (client("192.0.2.1").ip.unwrap(), Instant::now());
        let at = |second: u64| began + std::time::Duration::from_secs(second);
        assert!(buckets.take(ip, 999, at(0)) && buckets.take(ip, 1001, at(0)));
        assert!(!buckets.take(ip, 0, at(9)) && !buckets.take(ip, 0, at(10)));
        assert!(buckets.take(ip, 0, at(11)));
        // Over a long time no more than the rate, however it is asked.
        let taken = (11..1011).filter(|second| buckets.take(ip, 500, at(*second))).count();
        assert!((195..210).contains(&taken), "{taken}");
        buckets.charge(ip, 1_000_000, at(1011));
        assert!(!buckets.take(ip, 0, at(1030)) && buckets.take(ip, 0, at(1032)));
        buckets.tidy(at(1033));
        assert_eq!(buckets.buckets.lock().unwrap().len(), 1);
        buckets.tidy(at(1100));
        assert!(buckets.buckets.lock().unwrap().is_empty());
    }
}
