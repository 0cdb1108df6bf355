//! `[visit_store]` of `collector.toml`: where visits are kept.

use std::path::PathBuf;
use std::time::Duration;

use toml_span::Spanned;

use super::config::VisitStoreConfig;
use super::visits::REDIS_PREFIX_DEFAULT;
use crate::base::config::section::{Findings, Section};

/// Bytes that the embedded store must be allowed at least: its journal alone takes some 128 MiB.
const STORE_BYTES_LEAST: u64 = 512 << 20;

/// The kinds of visit stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StoreKind {
    Embedded,
    Redis,
    Migrating,
}

/// The keys of each kind of store.
const STORE_KEYS: [(&str, &[&str]); 3] = [
    ("embedded", &["folder", "size_bytes_max", "cache_bytes_max"]),
    ("redis", &["url", "prefix", "timeout"]),
    ("migrating", &["old", "new"]),
];

/// Reads the table `[visit_store]`, or one of the two that are below it while visits move.
pub(super) fn read_store(
    section: &mut Section<'_>,
    found: &mut Findings<'_>,
) -> Option<VisitStoreConfig> {
    let kinds = [
        ("embedded", StoreKind::Embedded),
        ("redis", StoreKind::Redis),
        ("migrating", StoreKind::Migrating),
    ];
    let kind = section.choice("kind", &kinds, found);
    refuse_keys_of_others(section, kind, found);
    match kind {
        StoreKind::Embedded => {
            let folder = section.text("folder").map(|folder| PathBuf::from(folder.value));
            let size_bytes_max = section.byte_size("size_bytes_max", found).unwrap_or(4 << 30);
            if size_bytes_max < STORE_BYTES_LEAST {
                found.at(section.span, "`size_bytes_max`: expected at least 512MiB");
            }
            let cache_bytes_max = section.byte_size("cache_bytes_max", found).unwrap_or(128 << 20);
            Some(VisitStoreConfig::Embedded { folder, size_bytes_max, cache_bytes_max })
        }
        StoreKind::Redis => {
            let text = |text: Option<Spanned<String>>| text.map(|text| text.value);
            let url = section.required_text("url")?;
            if let Err(error) = redis::Client::open(url.value.as_str()) {
                let expected = "an address such as `redis://127.0.0.1:6379/0`";
                found.at(url.span, format!("`url`: expected {expected}: {error}"));
            }
            let url = url.value;
            let prefix = text(section.text("prefix")).unwrap_or(REDIS_PREFIX_DEFAULT.to_owned());
            let timeout = section.duration("timeout", found).unwrap_or(Duration::from_secs(2));
            Some(VisitStoreConfig::Redis { url, prefix, timeout })
        }
        StoreKind::Migrating => {
            let old = section.required_section("old", found, read_store);
            let new = section.required_section("new", found, read_store);
            let (old, new) = (Box::new(old?), Box::new(new?));
            if old == new {
                found.at(section.span, "`old` and `new` are the same store");
            }
            Some(VisitStoreConfig::Migrating { old, new })
        }
    }
}

/// Keys that another kind of store has: what is written without an effect is refused.
fn refuse_keys_of_others(section: &mut Section<'_>, kind: StoreKind, found: &mut Findings<'_>) {
    let (own, _) = STORE_KEYS[kind as usize];
    for (other, keys) in STORE_KEYS.iter().filter(|(name, _)| *name != own) {
        for key in *keys {
            if let Some(span) = section.take_place(key) {
                let message = format!(
                    "`{key}` has no effect: it goes with `kind = \"{other}\"`, and this store's \
                     is `{own}`; leave it out, or change `kind`"
                );
                found.at(span, message);
            }
        }
    }
}
