//! Non-canonical object names, which a [`Path`] cannot hold, in an injective escaped form.
//!
//! Stores and disks have names with empty parts (`raw//a.json`), with `.` and `..` for parts, with
//! tabs, and disks have names that are no UTF-8. One such name must not hide the others of its
//! listing, and what can be read under it is read. So listings give it in a form that a `Path`
//! takes, after a mark that no name has in earnest, and what asks for the object turns it back:
//!
//! ```text
//! raw//a.json  ─►  raw/<mark>-/a.json        an empty part
//! a/../b       ─►  a/<mark>2e<mark>2e/b      bytes in hexadecimal
//! ```
//!
//! A name that has the mark itself is such a name, too; so each has one form, and no two have the
//! same.

use object_store::path::Path;

/// A code point that is no character, for good (Unicode 23.7).
const MARK: char = '\u{10fffe}';

/// The path of a name, in whatever form it needs.
pub(crate) fn path_of_name(name: &[u8]) -> Path {
    let plain = std::str::from_utf8(name).ok().filter(|name| !is_noncanonical(name));
    let path = plain.and_then(|name| Path::parse(name).ok());
    // What is written is made of parts that a path can hold.
    path.unwrap_or_else(|| Path::parse(escape_name(name)).unwrap_or_default())
}

/// Whether a listed name would not come back as it is from a [`Path`].
pub(super) fn is_noncanonical(name: &str) -> bool {
    name.starts_with('/')
        || name.contains(MARK)
        || name.bytes().any(|byte| byte.is_ascii_control())
        || name.trim_end_matches('/').split('/').any(|part| matches!(part, "" | "." | ".."))
            && !name.is_empty()
        || name.ends_with("//")
}

/// The escaped form of a non-canonical name.
pub(super) fn escape_name(name: &[u8]) -> String {
    let parts = name.split(|byte| *byte == b'/').map(|part| {
        if part.is_empty() {
            return format!("{MARK}-");
        }
        let mut written = String::new();
        for chunk in part.utf8_chunks() {
            for character in chunk.valid().chars() {
                let is_dots = matches!(part, b"." | b"..");
                if character == MARK || character.is_ascii_control() || is_dots {
                    let mut bytes = [0; 4];
                    write_bytes(character.encode_utf8(&mut bytes).as_bytes(), &mut written);
                } else {
                    written.push(character);
                }
            }
            write_bytes(chunk.invalid(), &mut written);
        }
        written
    });
    parts.collect::<Vec<_>>().join("/")
}

fn write_bytes(bytes: &[u8], into: &mut String) {
    for byte in bytes {
        into.push(MARK);
        into.push_str(&hex::encode([*byte]));
    }
}

/// Whether a path stands for a non-canonical name.
pub(crate) fn is_escaped_path(path: &Path) -> bool {
    path.as_ref().contains(MARK)
}

/// The name that a path stands for.
pub(crate) fn name_of_path(path: &Path) -> Vec<u8> {
    let mut pieces = path.as_ref().split(MARK);
    let mut name = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) = match piece.strip_prefix('-') {
            Some(rest) => ("", rest),
            None => piece.split_at_checked(2).unwrap_or((piece, "")),
        };
        name.extend(hex::decode(code).unwrap_or_default());
        name.extend_from_slice(rest.as_bytes());
    }
    name
}

/// The name that a path stands for, for people and columns: `\x09` stands for a tab and for a byte
/// that is no UTF-8.
pub(crate) fn text_of_path(path: &Path) -> String {
    if !is_escaped_path(path) {
        return path.as_ref().to_owned();
    }
    let mut text = String::new();
    for chunk in name_of_path(path).utf8_chunks() {
        for character in chunk.valid().chars() {
            match character.is_ascii_control() {
                true => text.push_str(&format!("\\x{:02x}", character as u32)),
                false => text.push(character),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_and_no_two_are_the_same() {
        let names: [&[u8]; 16] = [
            b"raw/a.json",
            b"raw//a.json",
            b"raw//",
            b"/raw/a.json",
            b"//",
            b"/",
            b"a/../b",
            b"a/./b",
            b"..",
            b"a/...",
            b"a\tb",
            b"a/\x7f",
            b"\x91\xab\x90\xd5.json",
            "\u{10fffe}-/a".as_bytes(),
            "\u{10fffe}2e".as_bytes(),
            "足跡/a.json".as_bytes(),
        ];
        let mut paths = std::collections::BTreeSet::new();
        for name in names {
            let path = path_of_name(name);
            assert_eq!(name_of_path(&path), name, "{path}");
            assert!(paths.insert(path.clone()), "{path}");
            assert_eq!(Path::parse(path.as_ref()).unwrap(), path, "it is kept as a text");
        }
        for plain in ["raw/a.json", "a/...", "足跡/a.json", "a/.b", "x#1", "a%2Fb"] {
            assert_eq!(path_of_name(plain.as_bytes()).as_ref(), plain);
        }
    }

    #[test]
    fn people_see_what_a_name_is() {
        let text = |name: &[u8]| text_of_path(&path_of_name(name));
        assert_eq!(text(b"raw//a\tb"), "raw//a\\x09b");
        assert_eq!(text(b"\x91\xab.json"), "\\x91\\xab.json");
        assert_eq!(text(b"a/../b"), "a/../b");
        assert_eq!(text("足跡".as_bytes()), "足跡");
    }
}
