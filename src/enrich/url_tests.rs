use serde_json::Value;

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

/// Request targets by RFC 9112, section 3.2: host, path, and the value of `a`.
#[test]
fn request_targets_give_what_stands_there() {
    type Parts<'t> = (&'t str, Option<&'t str>, Option<&'t str>, Option<&'t str>);
    let cases: &[Parts<'_>] = &[
        // Origin-form.
        ("/", None, Some("/"), None),
        ("/a?a=c", None, Some("/a"), Some("c")),
        ("?a=c", None, Some("/"), Some("c")),
        ("/a/../b/./c", None, Some("/b/c"), None),
        ("/a/b/..", None, Some("/a/"), None),
        ("/../../etc/passwd", None, Some("/etc/passwd"), None),
        ("/%2e%2E/a/.%2e/b/%2e", None, Some("/b/"), None),
        ("/...", None, Some("/..."), None),
        ("/.env", None, Some("/.env"), None),
        ("/a#b?a=c", None, Some("/a"), None),
        ("/?a=b?c", None, Some("/"), Some("b?c")),
        ("/?a=/../x", None, Some("/"), Some("/../x")),
        ("/a:b@c", None, Some("/a:b@c"), None),
        ("/http://other.example/x", None, Some("/http://other.example/x"), None),
        ("/a b", None, Some("/a b"), None),
        ("/a\tb", None, Some("/a\tb"), None),
        // Origin-form that begins like a host.
        ("//wp-includes/x.xml", None, Some("//wp-includes/x.xml"), None),
        ("//index.php?a=1", None, Some("//index.php"), Some("1")),
        ("///a/b", None, Some("///a/b"), None),
        ("//", None, Some("//"), None),
        ("//a//..//b", None, Some("//a//b"), None),
        ("//../b", None, Some("/b"), None),
        ("//user@host:80/x", None, Some("//user@host:80/x"), None),
        ("//[::1", None, Some("//[::1"), None),
        ("/\\evil.example/x", None, Some("/\\evil.example/x"), None),
        ("/\\/evil.example", None, Some("/\\/evil.example"), None),
        ("/a\\..\\b", None, Some("/a\\..\\b"), None),
        // Percent-encoding that is broken, or no UTF-8.
        ("/100%", None, Some("/100%"), None),
        ("/%zz%4", None, Some("/%zz%4"), None),
        ("/%83%65%zz", None, Some("/%83%65%zz"), None),
        ("/本%83", None, Some("/本%83"), None),
        ("/a%00b", None, Some("/a%00b"), None),
        ("/?a=%E6%9C", None, Some("/"), Some("%E6%9C")),
        ("/?a=a%00b", None, Some("/"), Some("a%00b")),
        ("/?a=%E6%9C+x", None, Some("/"), Some("%E6%9C+x")),
        ("/a%2Fb%3Fc", None, Some("/a/b?c"), None),
        // Absolute-form.
        ("http://Shop.Example", Some("shop.example"), Some("/"), None),
        ("HTTP://u:p@h:8080//a/b?a=1#f", Some("h"), Some("//a/b"), Some("1")),
        ("http://[2001:DB8::1]:80/x", Some("[2001:db8::1]"), Some("/x"), None),
        ("http://192.0.2.1:81/x", Some("192.0.2.1"), Some("/x"), None),
        ("http://0x7f.1/", Some("127.0.0.1"), Some("/"), None),
        ("http://h\\a\\..\\b", Some("h"), Some("/b"), None),
        ("http://user@evil.example@h/", Some("h"), Some("/"), None),
        ("http://h?a=1", Some("h"), Some("/"), Some("1")),
        ("ftp://h/a", Some("h"), Some("/a"), None),
        ("file:///a/b", None, Some("/a/b"), None),
        // Authority-form.
        ("example.com:443", Some("example.com"), None, None),
        ("EXAMPLE.com:443", Some("example.com"), None, None),
        ("192.0.2.1:80", Some("192.0.2.1"), None, None),
        ("[2001:DB8::1]:443", Some("[2001:db8::1]"), None, None),
        ("localhost:8080", Some("localhost"), None, None),
        ("日本語.jp:443", Some("xn--wgv71a119e.jp"), None, None),
        ("example.com:65536", None, None, None),
        ("example.com:", None, None, None),
        ("[::1:443", None, None, None),
        ("u@example.com:443", None, None, None),
        ("tel:110", None, None, None),
        // Asterisk-form.
        ("*", None, None, None),
        // No target and no URL with a hierarchy.
        ("", None, None, None),
        (" ", None, None, None),
        ("-", None, None, None),
        ("shop", None, None, None),
        ("shop.example/a", None, None, None),
        ("a/b?a=1", None, None, None),
        ("\\\\host\\a", None, None, None),
        ("http://", None, None, None),
        ("http://[::1", None, None, None),
        ("http://a:b/", None, None, None),
        ("http://a:65536/", None, None, None),
        ("http://a b/", None, None, None),
        ("http://%zz/", None, None, None),
        ("::", None, None, None),
        ("mailto:a@b.example?a=x", None, None, None),
        ("data:,x", None, None, None),
        ("javascript:alert(1)", None, None, None),
        ("\u{16}\u{3}\u{1}", None, None, None),
    ];
    for (target, expected_host, expected_path, expected_value) in cases {
        assert_eq!(host(target).as_deref(), *expected_host, "host of {target:?}");
        assert_eq!(path(target).as_deref(), *expected_path, "path of {target:?}");
        assert_eq!(query_value(target, "a").as_deref(), *expected_value, "query of {target:?}");
    }
}

#[test]
fn the_first_of_several_equal_names_wins() {
    assert_eq!(query_value("/?a=1&b=2&a=3&&=4", "a").as_deref(), Some("1"));
    assert_eq!(query_value("/?a=1=2", "a").as_deref(), Some("1=2"));
    assert_eq!(query_value("/?=4", "").as_deref(), Some("4"));
    assert_eq!(query_value("/?a%3Db=1", "a=b").as_deref(), Some("1"));
}

/// The web platform's own tests of absolute URLs; see `fixtures/README.md`.
const WEB_PLATFORM_TESTS: &str = include_str!("../../fixtures/url_tests.ndjson");

#[test]
fn absolute_urls_are_read_as_the_web_platforms_tests_say() {
    let (mut read, mut refused) = (0, 0);
    for line in WEB_PLATFORM_TESTS.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let input = case["input"].as_str().unwrap();
        // By itself, such a text is a request target. The crate reads files' and unknown schemes'
        // paths that begin with `//` in its own way.
        let is_target = input.starts_with(['/', '?']) || authority_host(input).is_some();
        let is_known_fault = input.starts_with("file:") || input.starts_with("non-spec:/.");
        if is_target || is_known_fault {
            continue;
        }
        if case["failure"] == true {
            assert_eq!((host(input), path(input)), (None, None), "{input:?}");
            refused += 1;
            continue;
        }
        let [hostname, pathname, search] =
            ["hostname", "pathname", "search"].map(|key| case[key].as_str().unwrap());
        // A path without a slash has no hierarchy, unless there is a host.
        let has_parts = !hostname.is_empty() || pathname.starts_with('/');
        if !has_parts {
            assert_eq!((host(input), path(input)), (None, None), "{input:?}");
            continue;
        }
        assert_eq!(host(input).unwrap_or_default(), hostname, "{input:?}");
        let expected = (!pathname.is_empty()).then(|| decode_path(pathname));
        assert_eq!(path(input), expected, "{input:?}");
        let query = search.strip_prefix('?').unwrap_or_default();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let name = parameter.split('=').next().unwrap();
            let name = decode_query(name);
            assert!(query_value(input, &name).is_some(), "{name} of {input:?}");
        }
        read += 1;
    }
    assert!(read > 150 && refused > 150, "{read} {refused}");
}
