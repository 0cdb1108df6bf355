//! Deduplication keys: what tells an event from all others, so that one that comes again is known.
//!
//! | who sends it | by its id | by its text |
//! |---|---|---|
//! | a visitor, the id is a UUID | visitor, id | id, all that it says |
//! | a visitor, any other id | visitor, id | who came, id, all that it says |
//! | a newcomer | the visitor that it becomes, id | id, all that it says, and perhaps the address |
//! | who takes no ids | | id, all that it says, and perhaps the address |
//!
//! The address counts where the id is no UUID.
//!
//! An event that has one key of an earlier one is that one. Ids are the client's own, so nobody can
//! have another's event taken for one that came already, but by saying all that it says, with an id
//! that nobody can guess. With a UUID the same event is known even if who sends it is another one
//! by then: by a cookie whose time is up, or without ids, as there is no consent any more. Ids that
//! are no UUIDs may be the same for many. A phone that goes from one network to another and sends
//! again has another address.
//!
//! What another site may have had sent has keys of its own: it would keep out the visitor's own
//! events whose ids can be guessed.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::client::Client;
use super::members::DIGEST_VERSION;
use super::visits::EventFacts;

/// What an address is hashed with.
pub(super) const SECRET_BYTES: usize = 32;

/// Makes keys of what clients send.
#[derive(Clone)]
pub(super) struct EventKeyMaker {
    /// Keys are kept for long, and there are few addresses: without a secret that is kept
    /// elsewhere, whoever reads keys could try them all.
    keyed: Option<Hmac<Sha256>>,
}

impl std::fmt::Debug for EventKeyMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EventKeyMaker")
    }
}

impl EventKeyMaker {
    pub fn new(secret: &[u8; SECRET_BYTES]) -> Self {
        EventKeyMaker { keyed: Hmac::new_from_slice(secret).ok() }
    }

    /// The key by all that an event says; none if it has no id of its own.
    pub fn by_text(&self, client: &Client, facts: &EventFacts, text: &str) -> Option<Uuid> {
        let id = facts.id?;
        let hash = begin(id, facts.is_passive);
        let is_uuid = id.get_version_num() != usize::from(DIGEST_VERSION);
        let hash = match client.long {
            _ if is_uuid => hash.chain_update(b"t"),
            Some(cookie) => hash.chain_update(b"w").chain_update(cookie.long),
            None => hash.chain_update(b"a").chain_update(self.address(client.ip)),
        };
        Some(end(hash.chain_update(text)))
    }

    /// What stands for an address, in nothing that is kept but within a key.
    fn address(&self, ip: Option<IpAddr>) -> [u8; 32] {
        let octets = ip.map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        });
        let Some(keyed) = &self.keyed else { return [0; 32] };
        let mac = keyed.clone().chain_update(octets.unwrap_or_default());
        mac.finalize().into_bytes().into()
    }
}

/// The key by an event's id, and whose it is; none if it has no id of its own.
pub(super) fn by_id(visitor: Uuid, facts: &EventFacts) -> Option<Uuid> {
    let hash = begin(facts.id?, facts.is_passive);
    Some(end(hash.chain_update(b"v").chain_update(visitor)))
}

fn begin(id: Uuid, is_passive: bool) -> Sha256 {
    let hash = Sha256::new().chain_update(id);
    if is_passive { hash.chain_update(b"p") } else { hash }
}

fn end(hash: Sha256) -> Uuid {
    Uuid::from_bytes(hash.finalize().first_chunk().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::cookies::LongCookie;
    use crate::collector::visits::EventKind;

    fn facts(id: Uuid) -> EventFacts {
        let (via, items) = (None, Vec::new());
        EventFacts {
            id: Some(id),
            kind: EventKind::Other,
            renews: true,
            is_passive: false,
            via,
            items,
        }
    }

    fn client(ip: &str, long: Option<u64>) -> Client {
        let long = long.map(|long| Uuid::from_u64_pair(0, long));
        let long = long.map(|long| LongCookie { long, renewed_ms: None });
        Client { ip: ip.parse().ok(), long, ..Client::default() }
    }

    #[test]
    fn an_id_that_is_no_uuid_is_anothers_at_another_address_and_a_uuid_is_the_same_everywhere() {
        let keys = EventKeyMaker::new(&[1; SECRET_BYTES]);
        let uuid = facts(Uuid::from_u64_pair(0x0199_f000_0000_7000, 1 << 63));
        let other = facts(uuid::Builder::from_custom_bytes([3; 16]).into_uuid());
        let of = |facts: &EventFacts, ip: &str, long| keys.by_text(&client(ip, long), facts, "{}");
        assert_eq!(of(&uuid, "192.0.2.1", None), of(&uuid, "192.0.2.2", Some(1)));
        assert_ne!(of(&other, "192.0.2.1", None), of(&other, "192.0.2.2", None));
        assert_ne!(of(&other, "192.0.2.1", Some(1)), of(&other, "192.0.2.1", Some(2)));
        assert_eq!(of(&other, "192.0.2.1", Some(1)), of(&other, "192.0.2.2", Some(1)));
    }

    #[test]
    fn an_address_is_found_in_no_key_by_who_does_not_know_the_secret() {
        let other = facts(uuid::Builder::from_custom_bytes([3; 16]).into_uuid());
        let of = |secret: u8| {
            let keys = EventKeyMaker::new(&[secret; SECRET_BYTES]);
            keys.by_text(&client("203.0.113.77", None), &other, "{}")
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let octets = std::net::Ipv4Addr::new(203, 0, 113, 77).to_ipv6_mapped().octets();
        let bare = begin(other.id.unwrap(), false).chain_update(b"a").chain_update(octets);
        assert_ne!(of(1), Some(end(bare.chain_update("{}"))));
    }

    #[test]
    fn what_any_site_may_have_had_sent_has_keys_of_its_own() {
        let keys = EventKeyMaker::new(&[1; SECRET_BYTES]);
        let (visitor, own) = (Uuid::from_u64_pair(0, 1), facts(Uuid::from_u64_pair(0, 2)));
        let passive = EventFacts { is_passive: true, ..own.clone() };
        assert_ne!(by_id(visitor, &own), by_id(visitor, &passive));
        let of = |facts| keys.by_text(&client("192.0.2.1", Some(1)), facts, "{}");
        assert_ne!(of(&own), of(&passive));
    }
}
