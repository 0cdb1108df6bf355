//! Dynamic thresholds (Choudhury and Hahne): memory that clients share, of which none can keep the
//! others out.
//!
//! ```text
//! a client may have as much as is left free, then
//! one that is greedy      has a half, and a half is free
//! two of them             have a third each, and a third is free
//! ```
//!
//! So all together never have more than there is, and there is always some for who has little.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::client::{ClientKey, client_key, site_key};

/// Bytes that clients share.
#[derive(Debug)]
pub(super) struct FairShares {
    bytes_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: usize,
    clients: HashMap<ClientKey, usize, RandomState>,
}

impl FairShares {
    /// Shares so many bytes.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(FairShares { bytes_max, taken: Mutex::default() })
    }

    /// Nothing yet, for a client. All of a site of IPv6 are one, as who has one has the 65,536
    /// networks that it has.
    pub fn begin(self: &Arc<Self>, ip: IpAddr) -> Share {
        let client = site_key(ip).unwrap_or_else(|| client_key(ip));
        Share { shares: Arc::clone(self), client, bytes: 0 }
    }

    fn take(&self, client: ClientKey, bytes: usize) -> bool {
        let mut taken = self.taken();
        let own = taken.clients.get(&client).copied().unwrap_or_default() + bytes;
        if own > self.bytes_max.saturating_sub(taken.bytes + bytes) {
            return false;
        }
        taken.bytes += bytes;
        taken.clients.insert(client, own);
        true
    }

    fn give_back(&self, client: ClientKey, bytes: usize) {
        let mut taken = self.taken();
        taken.bytes -= bytes;
        if let Some(own) = taken.clients.get_mut(&client) {
            *own -= bytes;
            if *own == 0 {
                taken.clients.remove(&client);
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one of a client's requests has of the memory, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<FairShares>,
    client: ClientKey,
    bytes: usize,
}

impl Share {
    /// Bytes that it has.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes as many more, or none; whether it has them.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let is_taken = bytes == 0 || self.shares.take(self.client, bytes);
        if is_taken {
            self.bytes += bytes;
        }
        is_taken
    }

    /// Gives back all but so many.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        if less > 0 {
            self.shares.give_back(self.client, less);
            self.bytes -= less;
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn who_takes_all_keeps_nobody_out_and_all_together_never_have_more_than_there_is() {
        let shares = FairShares::new(1000);
        let share_of = |client: u32| shares.begin(IpAddr::V4(Ipv4Addr::from_bits(client)));
        let greedy = |client: u32| -> Vec<Share> {
            let mut all: Vec<Share> = (0..100).map(|_| share_of(client)).collect();
            all.iter_mut().for_each(|share| while share.grow(1) {});
            all
        };
        let bytes = |all: &[Share]| all.iter().map(Share::bytes).sum::<usize>();
        let (first, second) = (greedy(1), greedy(2));
        assert_eq!((bytes(&first), bytes(&second)), (500, 250));
        let mut other = share_of(3);
        assert!(other.grow(125) && !other.grow(1));
        other.shrink_to(5);
        drop(first);
        assert_eq!(bytes(&greedy(1)), 372);
        drop((second, other));
        let taken = shares.taken();
        assert_eq!((taken.bytes, taken.clients.len()), (0, 0));
    }
}
