//! Safe by default: whose events are taken, who is not tracked, and who may read what is kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::collector::{CONFIG, Collector, event, folder, landed};
use crate::support::finish;

#[test]
fn only_pages_of_allowed_origins_and_the_collectors_own_may_send_events() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let own = format!("http://{}", collector.address);
    let mut browser = collector.browser();
    let mut status = |method: &str, path: &str, headers: &[(&str, &str)], number: u64| {
        let body =
            if method == "POST" { event(number, "click").to_string() } else { String::new() };
        browser.send(method, path, headers, body).unwrap().status
    };
    let mut taken = 0;
    for origin in ["https://shop.example", "https://SHOP.example", "https://shop.example:443", &own]
    {
        taken += 1;
        assert_eq!(status("POST", "/v1/events", &[("origin", origin)], taken), 204, "{origin}");
    }
    for origin in [
        "https://shop.example.evil",
        "https://evilshop.example",
        "https://a.shop.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example/",
        "null",
        "",
    ] {
        let headers = [("origin", origin)];
        assert_eq!(status("POST", "/v1/events", &headers, 90), 403, "{origin}");
        assert_eq!(status("OPTIONS", "/v1/events", &headers, 90), 403, "{origin}");
        assert_eq!(status("GET", "/v1/pixel.gif?event=x", &headers, 90), 403, "{origin}");
    }
    assert_eq!(status("POST", "/v1/events", &[("sec-fetch-site", "cross-site")], 90), 403);
    // An app or a server is no page.
    assert_eq!(status("POST", "/v1/events", &[], 50), 204);
    let refused = collector
        .browser()
        .send("POST", "/v1/events", &[("origin", "https://evil.example")], "{}")
        .unwrap();
    assert!(!refused.headers.contains_key("set-cookie"));
    assert!(!refused.headers.contains_key("access-control-allow-origin"));
    let reason = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(reason.contains("https://evil.example") && reason.contains("allowed_origins"));
    assert!(collector.stop().success());
    assert_eq!(landed(&folder.path().join("raw")).len() as u64, taken + 1);
}

#[test]
fn who_asks_not_to_be_tracked_is_not_and_loses_the_cookies() {
    let folder = folder();
    let collector = Collector::start(folder.path(), CONFIG, &[]);
    let mut browser = collector.browser();
    browser.event(&event(1, "page_view"));
    let known = browser.cookies.clone();
    let before = browser.cookies["ashiato_long"].clone();
    let mut count = 1;
    for (query, header) in [
        ("anonymous=1", None),
        ("anonymous=true", None),
        ("Anonymous=TRUE", None),
        ("anonymous", None),
        ("a=b&anonymous=on", None),
        ("", Some(("dnt", "1, 1"))),
        ("", Some(("dnt", "1"))),
        ("", Some(("sec-gpc", "1"))),
        ("", Some(("sec-gpc", "?1"))),
        ("", Some(("ashiato-anonymous", "yes"))),
    ] {
        count += 1;
        let mut browser = collector.browser();
        browser.cookies.clone_from(&known);
        let path = format!("/v1/events?{query}");
        let headers: Vec<_> = header.into_iter().collect();
        let body = event(count, "click").to_string();
        let reply = browser.send("POST", &path, &headers, body).unwrap();
        assert_eq!(reply.status, 204);
        assert!(!reply.headers.contains_key("ashiato-visit-long"), "{query} {header:?}");
        // A page that says so has no consent; a browser may say so of this request alone.
        match header {
            None => assert!(reply.headers["set-cookie"].contains("Max-Age=0"), "{query}"),
            Some(_) => assert!(!reply.headers.contains_key("set-cookie"), "{header:?}"),
        }
        let is_gone = browser.cookies["ashiato_long"].is_empty();
        assert_eq!(
            (is_gone, browser.cookies["ashiato_short"].is_empty()),
            (header.is_none(), is_gone)
        );
    }
    // A page has no event to tell of: it only wants the cookies gone.
    browser.cookies.clone_from(&known);
    let gone = browser.send("POST", "/v1/events?anonymous=1", &[], "[]").unwrap();
    assert_eq!((gone.status, browser.cookies["ashiato_long"].as_str()), (204, ""));
    // Who had none gets none.
    let clean = collector.browser().send("POST", "/v1/events?anonymous=1", &[], "[]").unwrap();
    assert!(!clean.headers.contains_key("set-cookie"));
    // Whoever consents again is another visitor.
    browser.cookies.clear();
    browser.event(&event(100, "page_view"));
    assert_ne!(browser.cookies["ashiato_long"], before);
    assert!(collector.stop().success());
    let lines = landed(&folder.path().join("raw"));
    let tracked = lines.iter().filter(|line| line.get("visit").is_some()).count();
    assert_eq!((lines.len() as u64, tracked), (count + 1, 2));
    assert!(lines.iter().all(|line| line.get("visit").is_some() || line.get("ip").is_none()));
}

/// The permissions of all files and folders below one, as octal numbers.
fn modes(folder: &Path) -> Vec<(String, u32)> {
    let mut modes = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            modes.push((entry.path().display().to_string(), mode));
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    modes
}

#[test]
fn what_visitors_did_is_for_the_collectors_own_user_only() {
    let folder = folder();
    let config = CONFIG.replace("200ms", "1h");
    let collector = Collector::start(folder.path(), &config, &[]);
    collector.browser().event(&event(1, "page_view"));
    let data = folder.path().join("data");
    let found = modes(&data);
    assert!(found.iter().any(|(name, _)| name.ends_with(".spool")), "{found:?}");
    for (name, mode) in found {
        let reachable = fs::metadata(&data).unwrap().permissions().mode() & 0o077;
        assert!(mode & 0o077 == 0 && reachable == 0, "{name}: {mode:o}");
    }
    assert!(collector.stop().success());
    let raw = folder.path().join("raw");
    for (name, mode) in modes(&raw) {
        let expected = if name.ends_with(".zst") { 0o600 } else { 0o700 };
        assert_eq!(mode, expected, "{name}: {mode:o}");
    }
    assert_eq!(fs::metadata(&raw).unwrap().permissions().mode() & 0o777, 0o700);

    // Another user's pipeline may read it, if it is told so.
    let config = config.replace("location = \"raw\"", "location = \"shared\"\nfile_mode = \"640\"");
    let collector = Collector::start(folder.path(), &config, &[]);
    collector.browser().event(&event(2, "page_view"));
    assert!(collector.stop().success());
    let shared = folder.path().join("shared");
    for (name, mode) in modes(&shared) {
        let expected = if name.ends_with(".zst") { 0o640 } else { 0o750 };
        assert_eq!(mode, expected, "{name}: {mode:o}");
    }
    assert!(modes(&data).iter().all(|(_, mode)| mode & 0o077 == 0));
    for wrong in ["999", "7777", "rw", "0200"] {
        let config = CONFIG.replace("object_age_max", &format!("file_mode = \"{wrong}\"\n#"));
        fs::write(folder.path().join("collector.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashiato"));
        command.args(["collect", "--config", "collector.toml"]).current_dir(folder.path());
        finish(&mut command).fails_with(78, &["`file_mode`: expected"]);
    }
}
