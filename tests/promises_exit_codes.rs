//! Each exit code, from the real binary.

use crate::support::{OUTPUT, Project, finish};

#[test]
fn a_published_run_exits_0_with_its_result_as_the_only_line_of_stdout() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1,\"name\":\"a\",\"amount\":2}\n");
    let result = project.run().published();
    assert_eq!(result["pipeline"], "shop");
    assert_eq!(result["run_id"], "shop/20261120T150000Z-20261121T150000Z");
    assert_eq!(result["interval_start"], "2026-11-20T15:00:00Z");
    assert_eq!(result["outputs"]["rows"]["rows"], 1);
    assert!(result["peak_memory_bytes"].as_u64().unwrap() > 1 << 20);
    assert_eq!(project.rows(), ["1\ta\t2"]);
}

#[test]
fn the_result_is_the_last_line_even_where_stderr_is_merged_into_stdout() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    let command = project.command("run", &crate::support::DAY);
    let mut merged = std::process::Command::new("sh");
    merged.args(["-c", "exec \"$@\" 2>&1", "sh"]).arg(command.get_program());
    merged.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    merged.envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let merged = finish(&mut merged);
    let last = merged.stdout.lines().last().unwrap();
    let result: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(result["status"], "published");
}

#[test]
fn an_interval_without_objects_exits_99() {
    let finished = Project::new().run();
    assert_eq!(finished.code, Some(99), "{finished:#?}");
    assert_eq!(finished.result()["status"], "nothing_to_do");
}

#[test]
fn wrong_usage_exits_64_and_says_how_to_call() {
    let project = Project::new();
    let same = "2026-11-21T00:00:00Z";
    let zero = ["--interval-start", same, "--interval-end", same];
    project.ashiato("run", &zero).fails_with(64, &["is empty", "CronDataIntervalTimetable"]);
    let backward = ["--interval-start", same, "--interval-end", "2026-11-20T00:00:00Z"];
    project.ashiato("run", &backward).fails_with(64, &["runs backward"]);
    project.ashiato("run", &[]).fails_with(64, &["--interval-start"]);
    project.ashiato("run", &["--bogus"]).fails_with(64, &["--bogus"]);
    project
        .ashiato("run", &["--date", "2026-11-21", "--param", "x=1"])
        .fails_with(64, &["no parameter `x`"]);
}

#[test]
fn wrong_configuration_exits_78() {
    let project = Project::new().pipeline(&OUTPUT.replace("formats", "formatz"));
    project.run().fails_with(78, &["pipeline.toml:", "unknown key `formatz`", "`formats`"]);
}

#[test]
fn too_many_rejects_exit_65_and_the_quarantine_is_written_all_the_same() {
    let project = Project::new()
        .pipeline_with("max_reject_ratio = 0.1", "", OUTPUT)
        .logs("a.ndjson", "{\"id\":1}\n{\"id\":\"x\"}\n");
    let finished = project.run();
    finished.fails_with(
        65,
        &["at most a share of 0.1", "`max_reject_ratio`", "found 1 of 2", "quarantine"],
    );
    let result = finished.result();
    assert_eq!(result["status"], "failed");
    assert_eq!(result["error"]["exit_code"], 65);
    assert_eq!((&result["lines"], &result["rejected"]), (&2.into(), &1.into()));
    assert_eq!(project.quarantine().len(), 1);
    assert!(project.rows().is_empty());
    assert!(!project.path("out/rows/_SUCCESS").exists());
}

#[test]
fn max_rejects_stops_a_run_early_with_exit_65() {
    let bad = "not json\n".repeat(1000);
    let project =
        Project::new().pipeline_with("max_rejects = 10", "", OUTPUT).logs("a.ndjson", bad);
    let finished = project.run();
    finished.fails_with(65, &["at most 10 rejects (`max_rejects`)", "a.ndjson"]);
    assert!(project.quarantine().len() >= 10);
    assert!(finished.result()["rejected"].as_u64().unwrap() > 10, "{finished:#?}");
    assert!(project.rows().is_empty());
}

#[test]
fn a_store_that_cannot_be_reached_exits_75() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    let mut command = project.command("run", &crate::support::DAY);
    // Nothing listens on the discard port of the loopback interface.
    command
        .env("SOURCE", "s3://bucket/logs")
        .env("AWS_ENDPOINT", "http://127.0.0.1:9")
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("ASHIATO_RETRY_SECONDS", "1");
    let finished = finish(&mut command);
    finished.fails_with(75, &["s3://bucket/logs", "tried ", " times in 1 s; a retry may help"]);
    let head = &finished.result()["store"]["head"];
    assert_eq!(head["requests"].as_u64(), head["retries"].as_u64().map(|retries| retries + 1));
    assert!(head["retries"].as_u64().unwrap() > 0, "{head}");
}

#[test]
fn a_variable_of_the_stores_that_makes_no_sense_exits_78_with_a_result() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    for subcommand in ["run", "check"] {
        let arguments: &[&str] = if subcommand == "run" { &crate::support::DAY } else { &[] };
        let mut command = project.command(subcommand, arguments);
        let finished = finish(command.env("ASHIATO_BANDWIDTH_MAX", "fast"));
        assert_eq!(finished.code, Some(78), "{finished:#?}");
        assert!(finished.stderr.contains("ASHIATO_BANDWIDTH_MAX: expected"), "{finished:#?}");
    }
    let mut command = project.command("run", &crate::support::DAY);
    let finished = finish(command.env("ASHIATO_RETRY_SECONDS", "5s"));
    finished.fails_with(78, &["ASHIATO_RETRY_SECONDS: expected seconds, found `5s`"]);
}

#[test]
#[cfg(debug_assertions)]
fn a_run_that_lost_a_line_exits_70_and_publishes_nothing() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n{\"id\":2}\n");
    let mut command = project.command("run", &crate::support::DAY);
    let finished = finish(command.env("ASHIATO_TEST_LOSE_A_LINE", "1"));
    finished.fails_with(70, &["2 lines were read", "make 1", "please report"]);
    assert!(project.rows().is_empty());
    assert!(!project.path("out/rows/_SUCCESS").exists());
}

#[test]
fn another_attempt_at_the_same_interval_exits_75() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    project.run().published();
    let state = project.path("out/state/shop");
    let locks: Vec<_> = crate::support::files_below(&state)
        .into_keys()
        .filter(|name| name.ends_with(".lock"))
        .map(|name| std::fs::File::open(state.join(name)).unwrap())
        .collect();
    assert!(!locks.is_empty(), "the state holds the interval's lock");
    locks.iter().for_each(|lock| lock.lock().unwrap());
    project.run().fails_with(75, &["another attempt"]);
    drop(locks);
    project.run_again().published();
}

#[test]
fn a_report_file_holds_the_same_line_as_stdout() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    let report = project.path("report.json");
    let arguments = ["--date", "2026-11-21", "--report", report.to_str().unwrap()];
    let finished = project.ashiato("run", &arguments);
    assert_eq!(std::fs::read_to_string(report).unwrap(), finished.stdout);
}

#[test]
fn a_report_that_cannot_be_written_is_found_before_the_run() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    let arguments = ["--date", "2026-11-21", "--report", "/no/such/folder/x.json"];
    project.ashiato("run", &arguments).fails_with(64, &["/no/such/folder/x.json"]);
    assert!(project.rows().is_empty());
}

#[test]
fn a_full_or_closed_stderr_changes_nothing_about_the_run() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\nbad\n");
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = project.command("run", &crate::support::DAY);
    assert_eq!(command.stderr(full()).output().unwrap().status.code(), Some(0));
    let mut command = project.command("run", &["--date", "yesterday"]);
    assert_eq!(command.stderr(full()).output().unwrap().status.code(), Some(64));
}

#[test]
fn a_dry_run_tells_what_it_would_do_and_writes_nothing() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    let finished = project.ashiato("run", &["--date", "2026-11-21", "--dry-run"]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    let result = finished.result();
    assert_eq!(result["status"], "planned");
    let objects = result["plan"]["source"]["objects"].as_array().unwrap();
    assert!(objects[0]["location"].as_str().unwrap().ends_with("dt=2026-11-21/a.ndjson"));
    assert_eq!(result["plan"]["outputs"][0]["columns"][0]["name"], "id");
    assert!(!project.path("out").exists());
}

#[test]
fn quiet_prints_nothing_but_the_result_and_json_logs_are_json() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n");
    let quiet = project.ashiato("run", &["--date", "2026-11-21", "--quiet"]);
    quiet.published();
    assert_eq!(quiet.stderr, "");
    let json = project.ashiato("run", &["--date", "2026-11-21", "--force", "--log-format", "json"]);
    json.published();
    assert!(json.stderr.lines().count() >= 2);
    for line in json.stderr.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], "INFO");
    }
}

#[test]
fn help_names_every_exit_code() {
    let help =
        std::process::Command::new(env!("CARGO_BIN_EXE_ashiato")).arg("--help").output().unwrap();
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).unwrap();
    for code in ["0", "64", "65", "70", "75", "78", "99", "130", "143"] {
        assert!(text.contains(&format!(" {code}  ")), "{code} is missing in {text}");
    }
}

#[test]
fn a_place_that_cannot_be_written_to_exits_78_before_anything_is_done() {
    for place in ["rows", "state", "quarantine"] {
        for kind in ["file", "link to nothing", "link to itself"] {
            let project = Project::new().logs("a.ndjson", "{\"id\":1}\n{\"id\":\"x\"}\n");
            std::fs::create_dir(project.path("out")).unwrap();
            let path = project.path("out").join(place);
            match kind {
                "file" => std::fs::write(&path, "").unwrap(),
                "link to nothing" => std::os::unix::fs::symlink("nothing", &path).unwrap(),
                _ => std::os::unix::fs::symlink(place, &path).unwrap(),
            }
            let run = project.run();
            run.fails_with(78, &[path.to_str().unwrap(), "cannot be written"]);
            assert_eq!(run.result()["lines"], 0, "{place}, {kind}");
            let left = std::fs::read_dir(project.path("out")).unwrap().count();
            assert_eq!(left, 1, "{place}, {kind}");
        }
    }
}

#[test]
fn a_name_that_is_too_long_for_the_disk_exits_78() {
    let long = format!("${{OUT}}/{}/rows", "x".repeat(300));
    let project = Project::new().pipeline(&OUTPUT.replace("${OUT}/rows", &long));
    let project = project.logs("a.ndjson", "{\"id\":1}\n");
    project.run().fails_with(78, &["File name too long"]);
}
