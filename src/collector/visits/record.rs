//! What is known of a visitor, as it is stored, and what a cookie says of a visit.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::attribution::{CartItem, Touch};
use super::counted::CountedEvents;
use crate::base::error::{Error, Result};

/// What is known of a visitor. Stored as JSON, which an operator can read:
///
/// ```json
/// {"short":"0199…","seq":4,"seen_ms":1795233900123,"revision":9,"touch":null,"cart":[],
///  "counted":{"marks":"1h8…"}}
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorRecord {
    /// The present visit's id.
    #[serde(with = "uuid_text")]
    pub short: Uuid,
    /// Events of the present visit so far.
    pub seq: u64,
    /// When the visit was renewed last, in milliseconds since 1970.
    pub seen_ms: i64,
    /// How often the record changed; of two, the one with more changes is the newer.
    pub revision: u64,
    /// What led the visitor here, if that is in force.
    #[serde(default)]
    pub touch: Option<Touch>,
    /// What lies in the cart, and what led it there.
    #[serde(default, with = "cart_text")]
    pub cart: Vec<CartItem>,
    /// Which events were counted lately.
    #[serde(default)]
    pub counted: CountedEvents,
    /// Whether the visitor brought the id back that was given: then a name is not enough any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_kept: bool,
}

impl VisitorRecord {
    /// Reads a stored record.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the bytes are no record: another program wrote them.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|error| {
            Error::Unavailable(format!(
                "reading a visitor's record: {error}; does another program write to the visit \
                 store under the same names?"
            ))
        })
    }

    /// The bytes to store.
    ///
    /// # Errors
    /// None that could happen: the record is plain.
    pub fn encode(&self) -> Result<Bytes> {
        // No more memory than it has bytes: many are kept.
        serde_json::to_vec(self)
            .map(|bytes| Bytes::from(bytes.into_boxed_slice()))
            .map_err(|error| Error::Bug(format!("writing a visitor's record: {error}")))
    }

    /// The bytes to store, some `bytes_max` at most: a visitor with a huge cart is to cost no more
    /// than others. What is forgotten first is what events got that may come again, then the items
    /// that have been in the cart for longest.
    ///
    /// # Errors
    /// None that could happen: the record is plain.
    pub fn encode_within(&mut self, bytes_max: usize) -> Result<Bytes> {
        let mut encoded = self.encode()?;
        if encoded.len() > bytes_max {
            self.counted.forget_attributions();
            encoded = self.encode()?;
        }
        while encoded.len() > bytes_max && !self.cart.is_empty() {
            // A part as large as what is too much.
            let excess = encoded.len() - bytes_max;
            let count = (self.cart.len() * excess / encoded.len()).max(1);
            self.cart.drain(..count);
            encoded = self.encode()?;
        }
        Ok(encoded)
    }
}

/// What the short-lived cookie says: `<visit>.<milliseconds since 1970>.<events so far>`.
///
/// It counts where the store knows less, so that a visit keeps its id even if the store lost its
/// last second, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortCookie {
    /// The visit's id.
    pub short: Uuid,
    /// When it was renewed last.
    pub seen_ms: i64,
    /// Its events so far.
    pub seq: u64,
}

impl std::fmt::Display for ShortCookie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.short, self.seen_ms, self.seq)
    }
}

/// A cart as it is stored: an item that the same led there as an earlier one has that one's number,
/// from 1, instead of its `via`, which is long and mostly the same for all.
mod cart_text {
    use std::borrow::Cow;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::super::attribution::CartItem;

    #[derive(Serialize, Deserialize)]
    struct StoredItem<'a> {
        sku: Cow<'a, str>,
        quantity: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        via: Option<Cow<'a, str>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        same_as: Option<usize>,
        at_ms: i64,
    }

    pub fn serialize<S: Serializer>(cart: &[CartItem], serializer: S) -> Result<S::Ok, S::Error> {
        let mut known: Vec<(&str, usize)> = Vec::new();
        serializer.collect_seq(cart.iter().enumerate().map(|(place, item)| {
            let mut stored = StoredItem {
                sku: Cow::Borrowed(&item.sku),
                quantity: item.quantity,
                via: None,
                same_as: None,
                at_ms: item.at_ms,
            };
            if let Some(via) = item.via.as_deref() {
                stored.same_as = known.iter().find(|(one, _)| *one == via).map(|(_, at)| *at);
                if stored.same_as.is_none() {
                    known.push((via, place + 1));
                    stored.via = Some(Cow::Borrowed(via));
                }
            }
            stored
        }))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<CartItem>, D::Error> {
        let stored = Vec::<StoredItem<'_>>::deserialize(deserializer)?;
        let mut cart: Vec<CartItem> = Vec::with_capacity(stored.len());
        for StoredItem { sku, quantity, via, same_as, at_ms } in stored {
            let via = match same_as {
                Some(number) => {
                    let earlier = cart.get(number.wrapping_sub(1));
                    earlier.ok_or_else(|| D::Error::custom("no such item"))?.via.clone()
                }
                None => via.map(Cow::into_owned),
            };
            cart.push(CartItem { sku: sku.into_owned(), quantity, via, at_ms });
        }
        Ok(cart)
    }
}

/// UUIDs as their text, for serde.
mod uuid_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use uuid::Uuid;
    use uuid::fmt::Hyphenated;

    pub fn serialize<S: Serializer>(id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(id.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Uuid::try_parse(text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_led_many_items_to_the_cart_is_stored_once() {
        let vias = [Some("a"), None, Some("b"), Some("a"), Some("b"), None];
        let item = |(place, via): (usize, &Option<&str>)| CartItem {
            sku: place.to_string(),
            quantity: 1,
            via: via.map(|via| format!("{{\"channel\":\"{}\"}}", via.repeat(200))),
            at_ms: 5,
        };
        let record = VisitorRecord {
            short: Uuid::from_u64_pair(1, 2),
            seq: 4,
            seen_ms: 5,
            revision: 9,
            touch: None,
            cart: vias.iter().enumerate().map(item).collect(),
            counted: CountedEvents::default(),
            is_kept: false,
        };
        let encoded = record.encode().unwrap();
        assert!(encoded.len() < 900, "{}", encoded.len());
        assert_eq!(VisitorRecord::decode(&encoded).unwrap(), record);
        // As it was stored before.
        let old = br#"{"short":"00000000-0000-0001-0000-000000000002","seq":1,"seen_ms":1,
            "revision":1,"cart":[{"sku":"7","quantity":2,"via":"{}","at_ms":3},
            {"sku":"8","quantity":1,"via":null,"at_ms":3}]}"#;
        let cart = VisitorRecord::decode(old).unwrap().cart;
        assert_eq!((cart[0].via.as_deref(), cart[1].via.as_deref()), (Some("{}"), None));
        let wrong = br#"{"short":"00000000-0000-0001-0000-000000000002","seq":1,"seen_ms":1,
            "revision":1,"cart":[{"sku":"7","quantity":2,"same_as":1,"at_ms":3}]}"#;
        assert!(VisitorRecord::decode(wrong).is_err());
    }

    #[test]
    fn a_record_is_bounded_in_bytes_and_keeps_what_is_newest() {
        let item = |number: u64| CartItem {
            sku: format!("{number}-{}", "7".repeat(120)),
            quantity: 1,
            via: Some(format!("{{\"channel\":\"{number}{}\"}}", "\"".repeat(200))),
            at_ms: 5,
        };
        for (items, bytes_max) in [(100, 24 << 10), (100, 4 << 10), (3, 24 << 10)] {
            let mut record = VisitorRecord {
                short: Uuid::from_u64_pair(1, 2),
                seq: 4,
                seen_ms: 5,
                revision: 9,
                touch: None,
                cart: (0..items).map(item).collect(),
                counted: CountedEvents::default(),
                is_kept: false,
            };
            let encoded = record.encode_within(bytes_max).unwrap();
            assert!(encoded.len() <= bytes_max, "{} of {bytes_max}", encoded.len());
            assert!(encoded.len() > bytes_max / 2 || items == 3, "no more is lost than must be");
            assert_eq!(VisitorRecord::decode(&encoded).unwrap(), record);
            assert_eq!(record.cart.last(), Some(&item(items - 1)), "the newest stays");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = VisitorRecord {
            short: Uuid::from_u64_pair(1, 2),
            seq: 4,
            seen_ms: -5,
            revision: 9,
            touch: None,
            cart: Vec::new(),
            counted: CountedEvents::default(),
            is_kept: false,
        };
        assert_eq!(VisitorRecord::decode(&record.encode().unwrap()).unwrap(), record);
        let error = VisitorRecord::decode(b"PONG").unwrap_err();
        assert!(error.to_string().contains("another program"), "{error}");
    }
}
