//! The pixel: an event made of a query, for mail and pages without scripts.
//!
//! ```text
//! ?event=mail_open&service=books&via=mail&page.url=https%3A%2F%2Fs.example%2F
//! {"event":"mail_open","page":{"url":"https://s.example/"},"service":"books","v":2,"via":"mail"}
//! ```

use serde_json::{Map, Value};

/// A transparent GIF of one pixel.
pub(super) const PIXEL: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\
\x01\0\x01\0\0\x02\x02D\x01\0;";

/// The event of a query: a member a key; of `page.url`, the member `url` of the object `page`.
pub(super) fn event_of_query(query: &str) -> String {
    let mut event = Map::new();
    event.insert("v".to_owned(), Value::from(2));
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    for (key, value) in pairs.filter(|(key, _)| !matches!(&**key, "anonymous" | "first" | "")) {
        let value = Value::from(value.into_owned());
        let Some((outer, inner)) = key.split_once('.') else {
            event.insert(key.into_owned(), value);
            continue;
        };
        let slot = event.entry(outer).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(members) = slot {
            members.insert(inner.to_owned(), value);
        }
    }
    Value::Object(event).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_an_event() {
        let event = event_of_query("event=mail_open&page.url=a%26b&page.title=x+y&anonymous=1&=z");
        assert_eq!(event, r#"{"event":"mail_open","page":{"title":"x y","url":"a&b"},"v":2}"#);
        assert_eq!(event_of_query(""), r#"{"v":2}"#);
        assert_eq!(event_of_query("a=1&a.b=2"), r#"{"a":"1","v":2}"#);
    }
}
