//! Folders that a path template leaves open: `*` and `{account}` between its parts.
//!
//! ```text
//! AWSLogs/{account}/CloudTrail/*/2026/11/21/
//!   ─► AWSLogs/111/CloudTrail/eu-west-1/2026/11/21/, account = 111
//!   ─► AWSLogs/222/CloudTrail/us-east-1/2026/11/21/, account = 222
//! ```
//!
//! Each such part costs one listing of a folder's folders for each folder before it, once a run.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;

use crate::base::error::{Error, Result};
use crate::store::noncanonical_names::{is_escaped_path, text_of_path};
use crate::store::{Store, store_error};

/// A place that a template names, without anything left open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenedPrefix {
    pub prefix: String,
    /// What the names in braces stand for.
    pub captured: Vec<(String, String)>,
}

/// Listings of folders at a time.
const LISTINGS_MAX: usize = 8;

/// More places than this are a mistake in the template.
const PREFIXES_MAX: usize = 100_000;

/// Finds the folders that are there.
pub(crate) struct Folders<'s> {
    store: &'s Store,
    /// The folders of a folder, as far as they were asked for.
    known: HashMap<String, Vec<String>>,
}

impl<'s> Folders<'s> {
    pub fn of(store: &'s Store) -> Self {
        Folders { store, known: HashMap::new() }
    }

    /// The places that an expanded template stands for.
    pub async fn open(&mut self, template: &str) -> Result<Vec<OpenedPrefix>> {
        let mut opened = vec![OpenedPrefix { prefix: String::new(), captured: Vec::new() }];
        for (number, part) in template.split('/').enumerate() {
            let between = if number == 0 { "" } else { "/" };
            if !is_open(part) {
                for place in &mut opened {
                    place.prefix.push_str(between);
                    place.prefix.push_str(part);
                }
                continue;
            }
            self.list(&opened).await?;
            let mut inner = Vec::new();
            for place in opened {
                for folder in &self.known[&place.prefix] {
                    let Some(captured) = match_part(part, folder) else { continue };
                    let captured = captured.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
                    inner.push(OpenedPrefix {
                        prefix: format!("{}{between}{folder}", place.prefix),
                        captured: place.captured.iter().cloned().chain(captured).collect(),
                    });
                }
            }
            opened = inner;
            if opened.len() > PREFIXES_MAX {
                return Err(Error::Usage(format!(
                    "source path `{template}`: expected at most {PREFIXES_MAX} folders for what \
                     it leaves open, found more"
                )));
            }
        }
        Ok(opened)
    }

    /// Lists the folders in each of some places, if that was not done before.
    async fn list(&mut self, places: &[OpenedPrefix]) -> Result<()> {
        let store = self.store;
        let unknown = places.iter().filter(|place| !self.known.contains_key(&place.prefix));
        let unknown: Vec<String> = unknown.map(|place| place.prefix.clone()).collect();
        let listings = futures::stream::iter(unknown).map(|place| async move {
            let folders = list_folders(store, &place).await?;
            Ok::<_, Error>((place, folders))
        });
        let listed: Vec<_> = listings.buffered(LISTINGS_MAX).try_collect().await?;
        self.known.extend(listed);
        Ok(())
    }
}

async fn list_folders(store: &Store, place: &str) -> Result<Vec<String>> {
    let joined = format!("{}/{place}", store.prefix);
    let base = Path::parse(joined.trim_matches('/'))
        .map_err(|error| Error::config(format!("source path `{joined}`: {error}")))?;
    let listed = store.store.list_with_delimiter(Some(&base)).await;
    let listed = listed
        .map_err(|error| store_error(&format!("listing {}", store.display_of(&base)), &error))?;
    let folders = listed.common_prefixes.iter().filter(|folder| !is_escaped_path(folder));
    let names = folders.filter_map(|folder| Some(text_of_path(folder).rsplit('/').next()?.into()));
    Ok(names.filter(|name: &String| !name.starts_with(['_', '.'])).collect())
}

/// Whether a part of a template leaves something open.
pub(crate) fn is_open(part: &str) -> bool {
    part.contains(['*', '{'])
}

/// What the names in braces of a template's part stand for in a folder's name; none if that is
/// another. `*` stands for any text, a name in braces for one of at least a character.
fn match_part<'t>(part: &'t str, name: &'t str) -> Option<Vec<(&'t str, &'t str)>> {
    let Some(open) = part.find(['*', '{']) else {
        return (part == name).then(Vec::new);
    };
    let rest = name.strip_prefix(&part[..open])?;
    let (key, after) = match part[open..].strip_prefix('{') {
        Some(braced) => braced.split_once('}').map(|(key, after)| (Some(key), after))?,
        None => (None, &part[open + 1..]),
    };
    let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.rev().filter(|end| key.is_none() || *end > 0).find_map(|end| {
        let captured = key.map(|key| (key, &rest[..end]));
        let others = match_part(after, &rest[end..])?;
        Some(captured.into_iter().chain(others).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_matches_names_and_says_what_the_braces_stand_for() {
        for (part, name, expected) in [
            ("*", "eu-west-1", Some(vec![])),
            ("{region}", "eu-west-1", Some(vec![("region", "eu-west-1")])),
            ("r={region}", "r=eu", Some(vec![("region", "eu")])),
            ("{a}-{b}", "1-2-3", Some(vec![("a", "1-2"), ("b", "3")])),
            ("app*x", "appx", Some(vec![])),
            ("r={region}", "r=", None),
            ("app-*", "other", None),
            ("{a}x", "足跡x", Some(vec![("a", "足跡")])),
        ] {
            assert_eq!(match_part(part, name), expected, "{part} of {name}");
        }
    }
}
