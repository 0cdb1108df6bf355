//! Parts of URLs, decoded.
//!
//! ```text
//! "https://Shop.Example/%E6%9C%AC?q=a+b&q=c"
//!   ─► host   shop.example
//!   ─► path   /本
//!   ─► query  q ─► "a b", the first of the two
//! ```
//!
//! URLs are read as browsers read them (WHATWG URL Standard): hosts come out in lower case, names
//! in other scripts as `xn--…`, `.` and `..` in paths are resolved. A text without a scheme counts
//! as relative only if it begins with `/` or `?`, as request targets in access logs do; any other
//! text, and URLs that have no hierarchy (`mailto:…`), are malformed and have no parts.
//!
//! Percent-encoding is undone as UTF-8. What would not be UTF-8, or would hold a NUL, stays
//! percent-encoded as it stands, so that nothing is lost; a `%` that no two hexadecimal digits
//! follow is a plain `%`.

use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use url::Url;

/// What relative URLs are resolved against; its host never comes out.
static BASE: LazyLock<Url> = LazyLock::new(|| {
    Url::parse("http://relative.invalid/").expect("the constant is a URL, and tests parse it")
});

/// The host of an absolute URL (or of one that begins with `//`); none if it has none.
pub fn host(url: &str) -> Option<String> {
    let has_host = !is_relative(url) || url.starts_with("//");
    let host = parse(url).filter(|_| has_host)?.host_str()?.to_owned();
    (!host.is_empty()).then_some(host)
}

/// The path of an absolute or relative URL, decoded; none if the URL is malformed.
pub fn path(url: &str) -> Option<String> {
    let url = parse(url)?;
    Some(decode(url.path()).unwrap_or_else(|| url.path().to_owned()))
}

/// The value of the first parameter of the query whose name is `key`, both decoded, `+` standing
/// for a space; a parameter without `=` is empty; none if there is no such parameter or the URL is
/// malformed.
pub fn query_value(url: &str, key: &str) -> Option<String> {
    let url = parse(url)?;
    let mut parameters = url.query()?.split('&').filter(|parameter| !parameter.is_empty());
    parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        (decode_query(name) == key).then(|| decode_query(value))
    })
}

fn is_relative(url: &str) -> bool {
    url.starts_with(['/', '?'])
}

fn parse(url: &str) -> Option<Url> {
    let parsed = if is_relative(url) { BASE.join(url) } else { Url::parse(url) };
    parsed.ok().filter(|url| !url.cannot_be_a_base())
}

fn decode_query(text: &str) -> String {
    let spaced = text.replace('+', "%20");
    decode(&spaced).unwrap_or_else(|| text.to_owned())
}

fn decode(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    (!decoded.contains('\0')).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gives_its_parts_decoded() {
        let url = "https://user:pw@Shop.Example:8443/a/%E6%9C%AC%20x?q=%E3%81%82+b&e=&f#frag?q=z";
        assert_eq!(host(url).as_deref(), Some("shop.example"));
        assert_eq!(path(url).as_deref(), Some("/a/本 x"));
        assert_eq!(query_value(url, "q").as_deref(), Some("あ b"));
        assert_eq!(query_value(url, "e").as_deref(), Some(""));
        assert_eq!(query_value(url, "f").as_deref(), Some(""));
        assert_eq!(query_value(url, "g"), None);
    }

    #[test]
    fn raw_japanese_is_the_same_as_encoded_japanese() {
        assert_eq!(path("/本/棚?語=値").as_deref(), Some("/本/棚"));
        assert_eq!(query_value("/?語=値", "語").as_deref(), Some("値"));
        assert_eq!(query_value("/?%E8%AA%9E=%E5%80%A4", "語").as_deref(), Some("値"));
        assert_eq!(host("https://日本語.jp/").as_deref(), Some("xn--wgv71a119e.jp"));
    }

    #[test]
    fn a_relative_url_has_a_path_and_a_query_but_no_host() {
        assert_eq!(host("/a?b=c"), None);
        assert_eq!(path("/a?b=c").as_deref(), Some("/a"));
        assert_eq!(query_value("/a?b=c", "b").as_deref(), Some("c"));
        assert_eq!(path("?b=c").as_deref(), Some("/"));
        assert_eq!(query_value("?b=c", "b").as_deref(), Some("c"));
        assert_eq!(host("//cdn.example/x").as_deref(), Some("cdn.example"));
        assert_eq!(path("/a/../b/./c").as_deref(), Some("/b/c"));
    }

    #[test]
    fn what_cannot_be_decoded_stays_encoded() {
        assert_eq!(path("/%83%65%zz").as_deref(), Some("/%83%65%zz"));
        assert_eq!(path("/100%").as_deref(), Some("/100%"));
        assert_eq!(query_value("/?q=%E6%9C", "q").as_deref(), Some("%E6%9C"));
        assert_eq!(query_value("/?q=a%00b", "q").as_deref(), Some("a%00b"));
        assert_eq!(query_value("/?q=%E6%9C+x", "q").as_deref(), Some("%E6%9C+x"));
    }

    #[test]
    fn the_first_of_several_equal_names_wins() {
        assert_eq!(query_value("/?a=1&b=2&a=3&&=4", "a").as_deref(), Some("1"));
        assert_eq!(query_value("/?a=1=2", "a").as_deref(), Some("1=2"));
        assert_eq!(query_value("/?=4", "").as_deref(), Some("4"));
        assert_eq!(query_value("/?a%3Db=1", "a=b").as_deref(), Some("1"));
    }

    #[test]
    fn malformed_urls_have_no_parts() {
        let malformed =
            ["", " ", "-", "shop", "shop.example/a", "http://", "http://[::1", "http://a:b/", "::"];
        for url in malformed.into_iter().chain(["mailto:a@b.example?subject=x", "data:,x"]) {
            assert_eq!(host(url), None, "{url}");
            assert_eq!(path(url), None, "{url}");
            assert_eq!(query_value(url, "subject"), None, "{url}");
        }
    }
}
