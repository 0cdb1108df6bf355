//! Keyed hashes that stand for a person: the same text and key give the same pseudonym, and
//! without the key nobody can try out texts.
//!
//! ```text
//! "taro@example.jp", key "visitor"
//!   ─► HMAC-SHA-256 over the UTF-8 bytes (RFC 2104, FIPS 198-1)
//!   ─► 64 lower-case hexadecimal digits
//! ```
//!
//! A plain hash would not do: there are so few e-mail and IP addresses that all can be hashed.

use std::collections::BTreeMap;
use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::base::error::{Error, Result};

/// Secret keys by name. Names may be shown and logged; the secrets leave this type in no way.
#[derive(Clone, Default)]
pub struct Keys {
    keyed: BTreeMap<String, Pseudonymizer>,
}

impl Keys {
    /// Adds a key. A good one is 32 random bytes; an empty one is refused. A key of the same name
    /// is replaced.
    pub fn insert(&mut self, name: impl Into<String>, secret: &[u8]) -> Result<()> {
        let name = name.into();
        let refuse = |why: &str| Error::config(format!("the key `{name}` {why}"));
        if secret.is_empty() {
            return Err(refuse("is empty; give it at least 32 random bytes"));
        }
        let keyed = Hmac::new_from_slice(secret).map_err(|_| refuse("has an unusable length"))?;
        self.keyed.insert(name, Pseudonymizer { keyed });
        Ok(())
    }

    /// What makes pseudonyms with a key; none if there is no key of that name.
    pub fn get(&self, name: &str) -> Option<&Pseudonymizer> {
        self.keyed.get(name)
    }

    /// The names of all keys, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.keyed.keys().map(String::as_str)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// Makes pseudonyms with one key.
#[derive(Clone)]
pub struct Pseudonymizer {
    keyed: Hmac<Sha256>,
}

impl Pseudonymizer {
    /// The pseudonym of a text: 64 lower-case hexadecimal digits.
    pub fn pseudonymize(&self, text: &str) -> String {
        let mut mac = self.keyed.clone();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for Pseudonymizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonymizer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_the_hmac_of_the_published_test_vector() {
        // RFC 4231, test case 2.
        let mut keys = Keys::default();
        keys.insert("k", b"Jefe").unwrap();
        assert_eq!(
            keys.get("k").unwrap().pseudonymize("what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn debug_output_shows_names_but_no_secret_in_any_form() {
        let mut keys = Keys::default();
        keys.insert("visitor", b"hush-hush").unwrap();
        assert_eq!(format!("{keys:?}"), r#"{"visitor"}"#);
        assert_eq!(format!("{:?}", keys.get("visitor")), "Some(Pseudonymizer)");
        assert_eq!(keys.names().collect::<Vec<_>>(), ["visitor"]);
    }

    #[test]
    fn an_empty_key_is_refused_by_name() {
        let refused = Keys::default().insert("visitor", b"").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the key `visitor` is empty; give it at least 32 random bytes"
        );
    }
}
