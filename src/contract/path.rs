//! Paths into a record: written, shown, followed.

use std::fmt;
use std::str::FromStr;

use super::JsonPath;
use crate::json::{Json, JsonKind, Member};

/// Characters that a key must be quoted for.
const QUOTED_FOR: [char; 5] = ['.', '"', '\\', '[', ']'];

impl JsonPath {
    /// The value at the path in an object's members; of members with one key the last counts.
    pub fn find<'a>(&self, record: &'a [Member<'a>]) -> Option<&'a Json<'a>> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(member(record, first)?, |json, key| match &json.kind {
            JsonKind::Object(members) => member(members, key),
            _ => None,
        })
    }
}

fn member<'a>(members: &'a [Member<'a>], key: &str) -> Option<&'a Json<'a>> {
    members.iter().rev().find(|member| member.key == key).map(|member| &member.value)
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, key) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            write!(f, "{}", PathKey(key))?;
        }
        Ok(())
    }
}

/// A key as it stands in a path: in quotes if it is empty, `$`, or holds one of `."\[]`.
#[derive(Debug, Clone, Copy)]
pub struct PathKey<'a>(pub &'a str);

impl fmt::Display for PathKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !matches!(self.0, "" | "$") && !self.0.contains(QUOTED_FOR) {
            return f.write_str(self.0);
        }
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

impl FromStr for JsonPath {
    type Err = String;

    /// Reads `session.short`, or `headers."user.agent"` with `\"` and `\\` between the quotes.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "$" || text.starts_with("$.") {
            let bare = text.trim_start_matches(['$', '.']);
            return Err(format!(
                "paths begin with the first key: write `{bare}`, or `\"$\".…` for a key of that \
                 name"
            ));
        }
        let mut keys = Vec::new();
        let mut rest = text;
        loop {
            let (key, behind) = match rest.strip_prefix('"') {
                Some(quoted) => quoted_key(quoted)?,
                None => bare_key(rest)?,
            };
            keys.push(key);
            match behind.strip_prefix('.') {
                Some(next) => rest = next,
                None if behind.is_empty() => return Ok(JsonPath(keys)),
                None => return Err(format!("expected `.` before `{behind}`")),
            }
        }
    }
}

fn bare_key(text: &str) -> Result<(String, &str), String> {
    let (key, behind) = text.split_at(text.find(QUOTED_FOR).unwrap_or(text.len()));
    if behind.starts_with(['[', ']']) {
        let advice = "elements of arrays are read by a column of type `list`, not by a path";
        return Err(format!("expected a key without `[` and `]`: {advice}"));
    }
    if key.is_empty() {
        return Err("expected a key; an empty one is written \"\"".to_owned());
    }
    Ok((key.to_owned(), behind))
}

fn quoted_key(text: &str) -> Result<(String, &str), String> {
    let mut key = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((key, &text[at + 1..])),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => key.push(escaped),
                _ => return Err("expected `\"` or `\\` behind a `\\`".to_owned()),
            },
            _ => key.push(character),
        }
    }
    Err("expected `\"` at a quoted key's end".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_are_keys_between_points_and_quoted_where_they_must_be() {
        let cases: [(&str, &[&str]); 5] = [
            ("time", &["time"]),
            ("session.short", &["session", "short"]),
            ("a.\"b.c\"", &["a", "b.c"]),
            ("\"\".\"q\\\"\\\\\"", &["", "q\"\\"]),
            ("利用者.番号 1", &["利用者", "番号 1"]),
        ];
        for (text, keys) in cases {
            let path: JsonPath = text.parse().unwrap();
            assert_eq!(path.0, keys, "{text}");
            assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_the_reason() {
        let cases = [
            ("", "expected a key"),
            ("a.", "expected a key"),
            ("a..b", "expected a key"),
            ("a[0].b", "type `list`"),
            ("a\"b", "expected `.` before"),
            ("\"a\"b", "expected `.` before"),
            ("\"a", "at a quoted key's end"),
            ("\"a\\n\"", "behind a `\\`"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<JsonPath>().unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_path_reads_back_as_it_is_shown(keys in prop::collection::vec(".{0,4}", 1..4)) {
            let path = JsonPath(keys);
            prop_assert_eq!(path.to_string().parse::<JsonPath>(), Ok(path));
        }
    }
}
