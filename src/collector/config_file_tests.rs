use super::*;
use crate::collector::VisitStoreConfig;

fn parse(text: &str) -> Result<CollectorConfig> {
    let file = ConfigFile { path: "collector.toml".into(), text: text.to_owned() };
    parse_collector_config(&file, &|name| match name {
        "PORT" => Some("9999".to_owned()),
        "SHOP_COOKIE_KEY" | "SHOP_COOKIE_KEY_OLD" => Some("0123456789abcdef".to_owned()),
        _ => None,
    })
}

#[test]
fn an_empty_file_is_the_default() {
    let config = parse("").unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", CollectorConfig::default()));
}

#[test]
fn everything_can_be_said() {
    let config = parse(
        r#"
        listen = "0.0.0.0:${PORT}"
        name = "web-1"
        data = "/var/lib/ashiato"
        stop_time_max = "1min"
        stop_delay = "0s"
        log = "warn,ashiato=debug"
        allowed_origins = ["https://shop.example", "*"]
        trusted_proxies = ["10.0.0.0/8", "::1/128"]
        [landing]
        location = "s3://lake/raw"
        path = "/dt=%Y-%m-%d/hr=%H/"
        time_zone = "Asia/Tokyo"
        file_mode = "0640"
        object_age_max = "30s"
        object_bytes_max = "1MiB"
        backlog_bytes_max = "1GiB"
        recent_ids_min = 5
        [limits]
        body_bytes_max = "2MiB"
        events_max = 10
        event_bytes_max = "1KiB"
        depth_max = 8
        header_bytes_max = "8KiB"
        connections_max = 7
        request_time_max = "3s"
        waiting_requests_max = 9
        heads_bytes_max = "1MiB"
        idle_time_max = "5s"
        request_lines_bytes_max = "8MiB"
        client_rate_max = 11
        client_surplus_max = 0
        client_connections_max = 12
        client_clock_behind_max = "1d"
        client_clock_ahead_max = "0s"
        services = ["books"]
        services_max = 13
        [consent]
        honor_dnt = false
        honor_gpc = false
        anonymous_header = "X-Anonymous"
        keep_ip = true
        [cookies]
        short_name = "s"
        long_name = "l"
        domain = "shop.example"
        path = "/v1"
        same_site = "none"
        secure = true
        http_only = false
        key_variable = "SHOP_COOKIE_KEY"
        accept_unsigned = true
        [visits]
        short_ttl = "20min"
        long_ttl = "100days"
        via_ttl = "2h"
        cart_ttl = "10days"
        cart_items_max = 50
        record_bytes_max = "8KiB"
        touch = "first"
        renewing_events = ["page_view"]
        [visit_store]
        kind = "migrating"
        [visit_store.old]
        kind = "embedded"
        folder = "/old"
        size_bytes_max = "1GiB"
        cache_bytes_max = "1MiB"
        [visit_store.new]
        kind = "redis"
        url = "redis://127.0.0.1/1"
        prefix = "v:"
        timeout = "500ms"
        "#,
    )
    .unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:9999");
    assert_eq!(config.landing.path, "dt=%Y-%m-%d/hr=%H");
    assert_eq!(config.limits.depth_max, 8);
    assert_eq!((config.limits.client_surplus_max, config.stop_delay), (0, Duration::ZERO));
    assert_eq!(config.consent.anonymous_header, "x-anonymous");
    assert_eq!(config.cookies.same_site, SameSite::None);
    assert!(!config.cookies.keys.is_empty() && config.cookies.accept_unsigned);
    assert_eq!(config.visits.short_ttl_ms, 20 * 60_000);
    assert_eq!(config.visits.attribution.touching, Touching::First);
    let redis = VisitStoreConfig::Redis {
        url: "redis://127.0.0.1/1".into(),
        prefix: "v:".into(),
        timeout: Duration::from_millis(500),
    };
    let VisitStoreConfig::Migrating { new, .. } = config.visit_store else { panic!() };
    assert_eq!(*new, redis);
}

#[test]
fn a_configuration_that_is_read_again_changes_what_needs_no_restart_and_names_the_rest() {
    let before = parse("name = \"a\"\n[limits]\nevents_max = 5").unwrap();
    let text = "name = \"b\"\nallowed_origins = [\"*\"]\n[landing]\nbacklog_bytes_max = 7\n\
                [limits]\nevents_max = 6\nconnections_max = 3\n[visits]\nshort_ttl = \"1h\"";
    let (config, unchanged) = before.reloaded(parse(text).unwrap());
    assert_eq!((config.limits.events_max, config.landing.backlog_bytes_max), (6, 7));
    assert_eq!(config.allowed_origins, ["*"]);
    assert_eq!((config.name.as_str(), config.limits.connections_max), ("a", 20_000));
    assert_eq!(config.visits.short_ttl_ms, 30 * 60_000);
    let limits = "[limits] of connections, heads and waiting requests";
    assert_eq!(unchanged, ["name", limits, "[visits]"]);
    let (_, unchanged) = before.reloaded(before.clone());
    assert!(unchanged.is_empty(), "{unchanged:?}");
}

#[test]
fn what_is_wrong_is_told_with_its_place_all_at_once() {
    let error = parse(
        "listen = \"nowhere\"\nname = \"a b\"\nlistne = 1\nallowed_origins = [\"shop.example/\"]\n\
         [landing]\npath = \"dt=%F\"\ntime_zone = \"Tokyo\"\n[limits]\ndepth_max = 65\n\
         [cookies]\nsame_site = \"none\"\nsecure = false\n[visits]\nshort_ttl = \"soon\"\n\
         [visit_store]\nkind = \"redis\"\n",
    )
    .unwrap_err()
    .to_string();
    for expected in [
        "collector.toml:1:11: `listen`: expected an address such as 127.0.0.1:8080",
        "collector.toml:2:9: `name`: expected letters",
        "unknown key `listne`; did you mean `listen`?",
        "expected a scheme and a host such as `https://shop.example`",
        "`path`: expected letters",
        "`time_zone`: expected a time zone such as Asia/Tokyo, found `Tokyo`",
        "`depth_max`: expected 1 to 64",
        "browsers refuse it",
        "`short_ttl`: expected a length of time such as `30s` or `400days`, found `soon`",
        "missing key `url`",
    ] {
        assert!(error.contains(expected), "{expected} is missing in:\n{error}");
    }
    assert!(parse("data = \"unterminated").is_err());
}

#[test]
fn keys_of_another_visit_store_are_refused_as_they_have_no_effect() {
    for (text, key, kind, own) in [
        ("url = \"redis://127.0.0.1\"", "url", "redis", "embedded"),
        ("kind = \"embedded\"\ntimeout = \"2s\"", "timeout", "redis", "embedded"),
        (
            "kind = \"redis\"\nurl = \"redis://127.0.0.1\"\nfolder = 5",
            "folder",
            "embedded",
            "redis",
        ),
        ("[visit_store.old]\nkind = \"embedded\"", "old", "migrating", "embedded"),
        (
            "kind = \"migrating\"\nsize_bytes_max = \"1GiB\"\n[visit_store.old]\n\
             [visit_store.new]\nkind = \"redis\"\nurl = \"redis://127.0.0.1\"",
            "size_bytes_max",
            "embedded",
            "migrating",
        ),
    ] {
        let error = parse(&format!("[visit_store]\n{text}")).unwrap_err().to_string();
        let expected = format!(
            "`{key}` has no effect: it goes with `kind = \"{kind}\"`, and this store's is `{own}`"
        );
        assert!(error.contains(&expected), "{expected} is missing in:\n{error}");
        assert!(!error.contains("unknown key"), "{error}");
    }
}

#[test]
fn the_page_shows_the_defaults_as_they_are() {
    let page = include_str!("../../docs/collector.md");
    let (_, shown) = page.split_once("# collector.toml").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let whole = parse(&format!("#{shown}")).unwrap();
    assert!(matches!(whole.visit_store, VisitStoreConfig::Redis { .. }));
    let (before_store, _) = shown.split_once("[visit_store]").unwrap();
    let defaults: Vec<&str> =
        before_store.lines().skip(1).filter(|line| !line.contains("# * ")).collect();
    assert!(defaults.len() > 30, "{defaults:?}");
    let parsed = parse(&defaults.join("\n")).unwrap();
    assert_eq!(format!("{parsed:?}"), format!("{:?}", CollectorConfig::default()));
}

#[test]
fn keys_of_cookies_come_from_the_environment_and_are_long_enough() {
    let parse = |text: &str, variables: &[(&str, &str)]| {
        let file = ConfigFile { path: "collector.toml".into(), text: text.to_owned() };
        let lookup = |name: &str| {
            variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).to_owned())
        };
        parse_collector_config(&file, &lookup)
            .map(|config| format!("{:?}", config.cookies.keys))
            .map_err(|error| error.to_string())
    };
    const KEY: &str = "0123456789abcdef";
    let (now, before) = (("ASHIATO_COOKIE_KEY", KEY), ("ASHIATO_COOKIE_KEY_PREVIOUS", KEY));
    assert_eq!(parse("", &[]).unwrap(), "CookieKeys(0)");
    assert_eq!(parse("", &[now]).unwrap(), "CookieKeys(1)");
    assert_eq!(parse("[cookies]\nsecure = false", &[now, before]).unwrap(), "CookieKeys(2)");
    assert_eq!(parse("", &[("ASHIATO_COOKIE_KEY", "")]).unwrap(), "CookieKeys(0)");
    for (text, variables, expected) in [
        ("", &[("ASHIATO_COOKIE_KEY", "short")][..], "expected at least 16 bytes"),
        ("[cookies]\nkey_variable = \"K\"", &[], "the environment has no variable `K`"),
        ("", &[before], "from before, and no key now"),
    ] {
        let error = parse(text, variables).unwrap_err();
        assert!(error.contains(expected) && !error.contains(KEY), "{error}");
    }
}

#[test]
fn an_origin_with_a_pattern_is_refused_as_no_page_has_it() {
    let error = parse("allowed_origins = [\"https://*.shop.example\"]").unwrap_err().to_string();
    assert!(error.contains("or `*` for any, found `https://*.shop.example`"), "{error}");
}

#[test]
fn nothing_lands_under_a_name_that_readers_take_for_hidden() {
    for text in [
        "name = \"_web\"",
        "[landing]\npath = \"_x\"",
        "[landing]\npath = \"/_x/\"",
        "[landing]\npath = \"dt=%Y-%m-%d/_h=%H\"",
        "[landing]\npath = \"dt=%Y-%m-%d/.h=%H\"",
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains("beginning"), "{text}: {error}");
    }
    for text in ["name = \"w_b\"", "[landing]\npath = \"dt=%Y_%m/h_=%H\"", "[landing]\npath = \"\""]
    {
        parse(text).unwrap();
    }
}

#[test]
fn no_more_ids_are_known_than_memory_is_there_for() {
    for ids in [100_000_001_u64, 100_000_000_000_000] {
        let error = parse(&format!("[landing]\nrecent_ids_min = {ids}")).unwrap_err().to_string();
        assert!(error.contains("GiB of memory"), "{error}");
    }
    parse("[landing]\nrecent_ids_min = 100000000").unwrap();
}
