//! Escapes non-canonical names in the responses of clouds' listings, so that their clients take
//! them.
//!
//! ```text
//! <Key>raw//a.json</Key>  ─►  <Key>raw/<mark>-/a.json</Key>
//! ```
//!
//! The clients of `object_store` fail a whole listing for one name that a `Path` cannot hold, and
//! read `/raw/a.json` as `raw/a.json`. So names are looked at before they get there.

use std::borrow::Cow;

use bytes::Bytes;
use object_store::client::HttpRequest;
use percent_encoding::percent_decode_str;
use quick_xml::escape::{escape, unescape};

use super::noncanonical_names::{escape_name, is_noncanonical};

/// Whether a request lists objects: with S3's and Google's words, or Azure's.
pub(super) fn is_listing(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method().as_str() == "GET"
        && query.split('&').any(|pair| matches!(pair, "list-type=2" | "comp=list"))
}

/// The response, with non-canonical names escaped.
pub(super) fn escape_listed_names(body: Bytes) -> Bytes {
    let Ok(text) = std::str::from_utf8(&body) else { return body };
    let mut written = String::new();
    let mut done = 0;
    let mut rest = text;
    while let Some(element) = next_name(rest) {
        let at = text.len() - rest.len();
        rest = &rest[element.end..];
        if let Some(escaped) = element.escaped_form(rest) {
            written.push_str(&text[done..at + element.start]);
            written.push_str(&format!("<{0}>{1}</{0}>", element.tag, escape(escaped)));
            done = at + element.end;
        }
    }
    if done == 0 {
        return body;
    }
    written.push_str(&text[done..]);
    written.into()
}

/// An element that holds an object's name or that of a folder.
struct Element<'t> {
    tag: &'t str,
    attributes: &'t str,
    content: &'t str,
    /// Whether it names a folder.
    is_folder: bool,
    /// Where it stands.
    start: usize,
    end: usize,
}

/// `Key` is S3's, `Name` Azure's; folders are `Prefix` within `CommonPrefixes`.
const TAGS: [&str; 3] = ["Key", "Name", "Prefix"];

fn next_name(text: &str) -> Option<Element<'_>> {
    let mut from = 0;
    while let Some(found) = text[from..].find('<') {
        let start = from + found;
        let inner = &text[start + 1..];
        from = start + 1;
        let Some(tag) = TAGS.iter().find(|tag| inner.starts_with(**tag)) else { continue };
        let Some((attributes, after)) = inner[tag.len()..].split_once('>') else { continue };
        let is_other = !attributes.is_empty() && !attributes.starts_with(' ');
        if is_other || attributes.ends_with('/') {
            continue;
        }
        let Some(content) = after.find("</").map(|end| &after[..end]) else { continue };
        let around = text[..start].trim_end();
        let is_folder = around.ends_with("<CommonPrefixes>") || around.ends_with("<BlobPrefix>");
        if *tag == "Prefix" && !is_folder {
            continue;
        }
        let begin = start + 1 + tag.len() + attributes.len() + 1;
        let end = begin + content.len() + "</>".len() + tag.len();
        return Some(Element { tag, attributes, content, is_folder, start, end });
    }
    None
}

impl Element<'_> {
    /// The form of the name, if it is non-canonical; `after` is the text after the element.
    fn escaped_form(&self, after: &str) -> Option<String> {
        let name = unescape(self.content).unwrap_or(Cow::Borrowed(self.content));
        // Azure does so with names that XML cannot hold.
        let is_encoded = self.attributes.contains("Encoded=\"true\"");
        let name = match is_encoded {
            true => percent_decode_str(&name).decode_utf8_lossy().into_owned(),
            false => name.into_owned(),
        };
        if self.is_folder {
            let folder = name.strip_suffix('/').unwrap_or(&name);
            return is_noncanonical(&name).then(|| escape_name(folder.as_bytes()) + "/");
        }
        // A folder's marker is a name that ends in `/`, and has no byte.
        let is_object = name.ends_with('/') && !is_empty(after);
        (is_noncanonical(&name) || is_object || is_encoded).then(|| {
            match is_noncanonical(&name) || is_object {
                true => escape_name(name.as_bytes()),
                false => name,
            }
        })
    }
}

/// Whether the object's size, which stands after its name, is nothing.
fn is_empty(after: &str) -> bool {
    let sizes = ["<Size>", "<Content-Length>"];
    let size = sizes.iter().filter_map(|tag| Some((after.find(tag)?, tag.len()))).min();
    size.is_none_or(|(at, length)| after[at + length..].starts_with("0<"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &'static str) -> String {
        String::from_utf8(escape_listed_names(Bytes::from_static(text.as_bytes())).to_vec())
            .unwrap()
    }

    #[test]
    fn responses_without_a_noncanonical_name_stay_as_they_are() {
        for text in [
            "<ListBucketResult><Name>lake</Name><Prefix>raw//</Prefix><Contents><Key>raw/a</Key>\
             <Size>1</Size></Contents><Contents><Key>raw/</Key><Size>0</Size></Contents>\
             </ListBucketResult>",
            "<Prefix/><KeyCount>2</KeyCount><Contents><Key>a&amp;b</Key></Contents>",
            "<Key>never ended",
            "<BlobPrefix><Name>raw/</Name></BlobPrefix><Blob><Name>a</Name><Properties>\
             <Content-Length>3</Content-Length></Properties></Blob>",
            "",
        ] {
            assert_eq!(names(text), text);
        }
    }

    #[test]
    fn noncanonical_names_are_escaped_and_the_others_stay() {
        let text = "<Contents><Key>raw//a&lt;</Key><Size>3</Size></Contents><Contents>\
                    <Key>raw/b</Key><Size>3</Size></Contents><Contents><Key>raw/</Key>\
                    <Size>9</Size></Contents><Contents><Key>a&#x9;b</Key></Contents>\
                    <CommonPrefixes><Prefix>raw//</Prefix></CommonPrefixes>";
        let expected = text
            .replace("raw//a", "raw/\u{10fffe}-/a")
            .replace("<Key>raw/</Key>", "<Key>raw/\u{10fffe}-</Key>")
            .replace("a&#x9;b", "a\u{10fffe}09b")
            .replace("<Prefix>raw//", "<Prefix>raw/\u{10fffe}-/");
        assert_eq!(names(text), expected);
        let azure = "<Blob><Name Encoded=\"true\">a%0Ab</Name><Properties>\
                     <Content-Length>3</Content-Length></Properties></Blob>";
        assert!(names(azure).starts_with("<Blob><Name>a\u{10fffe}0ab</Name>"), "{}", names(azure));
    }
}
