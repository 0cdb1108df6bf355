use super::*;

fn told(text: &str) -> String {
    let ua = UserAgents::default().parse(text);
    let or_dash = |field: &Option<String>| field.clone().unwrap_or_else(|| "-".to_owned());
    let fields = [&ua.browser, &ua.version, &ua.os, &ua.os_version].map(or_dash).join(" | ");
    assert_eq!(ua.bot, ua.device_kind == DeviceKind::Bot);
    format!("{fields} | {}", ua.device_kind.as_str())
}

#[test]
fn browsers_are_told_by_family_version_system_and_kind() {
    let cases = [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
          Chrome/119.0.0.0 Safari/537.36",
            "Chrome | 119.0.0 | Windows | 10 | pc",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like \
          Gecko) Version/17.1 Safari/605.1.15",
            "Safari | 17.1 | Mac OS X | 10.15.7 | pc",
        ),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
            "Firefox | 120.0 | Ubuntu | - | pc",
        ),
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) \
          Chrome/119.0.0.0 Safari/537.36",
            "Chrome | 119.0.0 | Chrome OS | 14541.0.0 | pc",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1_1 like Mac OS X) AppleWebKit/605.1.15 \
          (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1",
            "Mobile Safari | 17.1 | iOS | 17.1.1 | smartphone",
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
          Gecko) Version/12.1 Mobile/15E148 Safari/604.1",
            "Mobile Safari | 12.1 | iOS | 12.5 | tablet",
        ),
        (
            "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) \
          Chrome/119.0.6045.66 Mobile Safari/537.36",
            "Chrome Mobile | 119.0.6045 | Android | 14 | smartphone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) \
          Chrome/119.0.0.0 Safari/537.36",
            "Chrome | 119.0.0 | Android | 13 | tablet",
        ),
        (
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) \
          Chrome/96.0.4664.45 Mobile Safari/537.36",
            "Chrome Mobile | 96.0.4664 | Android | 9 | smartphone",
        ),
        (
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) \
          76.0.3809.146/6.0 TV Safari/537.36",
            "Safari | - | Tizen | 6.0 | tv",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn robots_are_told_by_the_patterns_or_by_their_own_word() {
    let cases = [
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Googlebot | 2.1 | - | - | bot",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 6_0 like Mac OS X) AppleWebKit/536.26 (KHTML, like \
          Gecko) Version/6.0 Mobile/10A5376e Safari/8536.25 (compatible; Googlebot-Mobile/2.1; \
          +http://www.google.com/bot.html)",
            "Googlebot-Mobile | 2.1 | iOS | 6.0 | bot",
        ),
        (
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "bingbot | 2.0 | - | - | bot",
        ),
        ("SomeNewCrawler/1.0", "SomeNewCrawler | 1.0 | - | - | bot"),
        (
            "UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/",
            "UniversalFeedParser | 4.2 | - | - | bot",
        ),
        ("Tiny Tiny RSS/1.11 (http://tt-rss.org/)", "Tiny Tiny RSS | 1.11 | - | - | bot"),
        ("FeedBurner/1.0 (http://www.FeedBurner.com)", "FeedBurner | 1.0 | - | - | bot"),
        ("monitor/", "monitor | - | - | - | bot"),
        ("Mozilla/5.0 (compatible; monitor)", "- | - | - | - | bot"),
        ("acme-uptime-monitoring 3", "- | - | - | - | bot"),
    ];
    for (text, expected) in cases {
        assert_eq!(told(text), expected, "{text}");
    }
}

#[test]
fn texts_that_tell_nothing_are_other() {
    for text in ["", "-", "x", "\u{0}", "日本語"] {
        assert_eq!(told(text), "- | - | - | - | other", "{text:?}");
    }
    assert!(told("curl/8.4.0").ends_with("| other"));
    assert!(told("Opera/9.30 (Nintendo Wii; U; ; 2047-7; en)").ends_with("| other"));
}

#[test]
fn an_endless_text_is_looked_at_only_at_its_beginning() {
    let long = format!("{}Googlebot/2.1", "あ".repeat(1 << 20));
    assert_eq!(told(&long), "- | - | - | - | other");
}

#[test]
fn the_cache_forgets_what_is_not_met_again_and_stays_bounded() {
    let agents = UserAgents::default();
    let first = agents.parse("robot-free 0");
    for i in 0..3 * GENERATION_ENTRIES_MAX {
        agents.generations().insert(&format!("made up {i}"), &first);
        if i % 1000 == 0 {
            assert!(Arc::ptr_eq(&agents.parse("robot-free 0"), &first), "met again, so kept");
        }
    }
    let generations = agents.generations();
    assert!(generations.young.len() <= GENERATION_ENTRIES_MAX);
    assert!(generations.old.len() <= GENERATION_ENTRIES_MAX);
    assert!(!generations.young.contains_key("made up 0"));
    assert!(!generations.old.contains_key("made up 0"));
}
