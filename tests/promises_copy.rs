//! Copies to another cluster: done by ashiato itself, or by the script that it prints.
//!
//! `hadoop` is a stand-in that does what was measured of the real one: `support/bin/hadoop`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Finished, Project, ROOT, files_below, finish};

const OUTPUT: &str = r#"
[[output]]
name = "rows"
location = "${OUT}/rows"
formats = ["tsv"]
partition_by = ["name"]
exclude = ["_source", "_line"]
[output.tsv]
compression = "none"
[[output]]
name = "ids"
location = "${OUT}/ids"
formats = ["parquet"]
"#;

const TARGET: &str = "hdfs://namenode/ware house";
const DAY: &str = "2026-11-21";

fn project() -> Project {
    let project =
        Project::new().pipeline(OUTPUT).logs("a.ndjson", logs(&["a", "b", "it's 50%"], 1));
    project.write("shop/ids.sql", "SELECT id FROM logs");
    project
}

fn logs(names: &[&str], id: u32) -> String {
    names.iter().map(|name| format!("{{\"id\":{id},\"name\":\"{name}\"}}\n")).collect()
}

fn hadoop<'c>(project: &Project, command: &'c mut Command) -> &'c mut Command {
    let path = std::env::var("PATH").unwrap();
    command
        .env("PATH", format!("{ROOT}/tests/support/bin:{path}"))
        .env("HDFS_ROOT", project.path("hdfs"))
        .env("HADOOP_LOG", project.path("hadoop.log"))
}

fn distcp(project: &Project, arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut command = project.command("distcp", arguments);
    finish(hadoop(project, &mut command).envs(environment.iter().copied()))
}

fn copy_to(project: &Project, target: &str) -> Finished {
    distcp(project, &["--date", DAY, "--target", target, "--run"], &[])
}

fn copied(project: &Project) -> Value {
    let finished = copy_to(project, TARGET);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    finished.result()
}

fn rerun(project: &Project, id: u32) {
    project.write("logs/dt=2026-11-21/a.ndjson", logs(&["a", "b"], id));
    project.run().published();
}

fn verify_at(project: &Project, target: &str) -> Finished {
    let arguments = ["--date", DAY, "--deep", "--at", target];
    finish(hadoop(project, &mut project.command("verify", &arguments)))
}

/// The folder has the files of the tables, no more and no less.
fn assert_is_copy(project: &Project, folder: &Path) {
    for table in ["rows", "ids"] {
        let own = files_below(&project.path("out").join(table));
        assert_eq!(files_below(&folder.join(table)), own, "{table} in {}", folder.display());
        assert!(own.contains_key("_SUCCESS"));
    }
}

fn calls(project: &Project) -> String {
    fs::read_to_string(project.path("hadoop.log")).unwrap_or_default()
}

#[test]
fn distcp_run_copies_removes_what_was_replaced_and_tells_what_it_did() {
    let project = project();
    project.run().published();
    let target = project.path("hdfs/ware house");
    let result = copied(&project);
    assert_eq!(
        (&result["status"], &result["tables"][0]["copied_files"]),
        (&"copied".into(), &3.into())
    );
    assert_eq!(result["tables"][0]["target"], "hdfs://namenode/ware house/rows");
    assert_is_copy(&project, &target);

    fs::remove_file(project.path("hadoop.log")).unwrap();
    assert_eq!(copied(&project)["status"], "already_copied");
    let read_only = |call: &str| call.starts_with("fs -ls") || call.starts_with("fs -cat");
    assert!(calls(&project).lines().all(read_only), "{}", calls(&project));

    rerun(&project, 2);
    let result = copied(&project);
    assert_eq!(result["tables"][0]["removed_files"], 3, "{result}");
    assert_is_copy(&project, &target);
    assert_eq!(verify_at(&project, TARGET).code, Some(0));
}

#[test]
fn a_lost_or_cut_file_at_the_target_is_copied_anew() {
    let project = project();
    project.run().published();
    copied(&project);
    let copy = project.path("hdfs/ware house/rows");
    let names: Vec<String> =
        files_below(&copy).into_keys().filter(|name| name != "_SUCCESS").collect();
    fs::write(copy.join(&names[0]), "cut").unwrap();
    fs::remove_file(copy.join(&names[1])).unwrap();
    let result = copied(&project);
    assert_eq!(result["tables"][0]["copied_files"], 2, "{result}");
    assert_is_copy(&project, &project.path("hdfs/ware house"));
    fs::remove_file(copy.join("_SUCCESS")).unwrap();
    assert_eq!(copied(&project)["status"], "copied");
    assert_is_copy(&project, &project.path("hdfs/ware house"));
}

#[test]
fn an_unpublished_interval_is_no_success_whichever_way_it_is_copied() {
    let project = project();
    let finished = copy_to(&project, TARGET);
    finished.fails_with(64, &["is not published", "ashiato runs"]);
    assert_eq!(finished.result()["status"], "failed");
    let binary = env!("CARGO_BIN_EXE_ashiato");
    let folder = project.path("shop").display().to_string();
    for (arguments, code) in [("--target hdfs://namenode/x", 64), ("--target x", 78), ("--tar", 64)]
    {
        for pipe in ["bash", "sed '$d' | bash -euo pipefail"] {
            let mut bash = Command::new("bash");
            let line = format!("'{binary}' distcp '{folder}' --date {DAY} {arguments} | {pipe}");
            bash.args(["-c", &line]).env("SOURCE", project.path("logs"));
            let ended = finish(hadoop(&project, bash.env("OUT", project.path("out"))));
            // A usage error has no last line of JSON that sed could take.
            if arguments != "--tar" || pipe == "bash" {
                assert_eq!(ended.code, Some(code), "{line}: {ended:#?}");
            }
        }
    }
    assert_eq!(calls(&project), "", "nothing was touched");
}

/// Plans a copy and keeps what was printed, as it is.
fn planned(project: &Project, target: &str) -> String {
    let finished = distcp(project, &["--date", DAY, "--target", target], &[]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    finished.stdout
}

fn run_script(project: &Project, script: &str, environment: &[(&str, &str)]) -> Finished {
    project.write("copy.sh", script);
    let mut bash = Command::new("bash");
    // From standard input, which a command that reads it would swallow.
    bash.stdin(fs::File::open(project.path("copy.sh")).unwrap());
    finish(hadoop(project, &mut bash).envs(environment.iter().copied()))
}

#[test]
fn copies_to_two_targets_that_are_planned_side_by_side_do_not_touch_each_other() {
    let project = project();
    project.run().published();
    let targets = ["hdfs://namenode/a", "hdfs://namenode/b"];
    for target in targets {
        assert_eq!(copy_to(&project, target).code, Some(0));
    }
    rerun(&project, 2);
    let scripts = targets.map(|target| planned(&project, target));
    for script in &scripts {
        let ended = run_script(&project, script, &[]);
        assert_eq!(ended.code, Some(0), "{script}\n{ended:#?}");
    }
    for folder in ["hdfs/a", "hdfs/b"] {
        assert_is_copy(&project, &project.path(folder));
    }
    // Again, and after more reruns: each plan has what it was made for.
    let before = files_below(&project.path("out/state"));
    rerun(&project, 3);
    scripts.iter().for_each(|_| drop(planned(&project, targets[0])));
    let after = files_below(&project.path("out/state"));
    for (name, bytes) in before.iter().filter(|(name, _)| name.contains("/copies/")) {
        assert_eq!(after.get(name), Some(bytes), "{name} was overwritten");
    }
}

#[test]
fn a_plan_that_a_rerun_has_overtaken_is_not_carried_out() {
    let project = project();
    project.run().published();
    let script = planned(&project, TARGET);
    rerun(&project, 2);
    run_script(&project, &script, &[]).fails_with(75, &["published again", "plan the copy anew"]);
    assert!(files_below(&project.path("hdfs")).is_empty());
    let anew = planned(&project, TARGET);
    assert_eq!(run_script(&project, &anew, &[]).code, Some(0));
    assert_is_copy(&project, &project.path("hdfs/ware house"));
}

#[test]
fn a_hadoop_that_reads_its_standard_input_swallows_nothing() {
    let project = project();
    project.run().published();
    let reads = [("HADOOP_STDIN", "1")];
    let script = planned(&project, TARGET);
    let ended = run_script(&project, &script, &reads);
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    assert_is_copy(&project, &project.path("hdfs/ware house"));

    rerun(&project, 2);
    let arguments = ["--date", DAY, "--target", TARGET, "--run"];
    let mut command = project.command("distcp", &arguments);
    // A pipe that nobody writes to and nobody closes.
    let command = hadoop(&project, command.stdin(Stdio::piped())).envs(reads);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let held_open = child.stdin.take();
    assert!(child.wait().unwrap().success());
    drop(held_open);
    assert_is_copy(&project, &project.path("hdfs/ware house"));
}

#[test]
fn a_failing_command_ends_a_copy_and_leaves_no_marker() {
    let project = project();
    project.run().published();
    copied(&project);
    rerun(&project, 2);
    let script = planned(&project, TARGET);
    for (failing, code) in [
        ("-ls", 75),
        ("-rm", 75),
        ("-mkdir:No FileSystem for scheme \"hdfs\"", 78),
        ("distcp", 75),
        ("distcp:Permission denied: user=etl, access=WRITE", 78),
        ("-cp", 75),
    ] {
        let environment = [("HADOOP_FAILS", failing)];
        let arguments = ["--date", DAY, "--target", TARGET, "--run"];
        let ended = distcp(&project, &arguments, &environment);
        ended.fails_with(code, &["`hadoop "]);
        let result: Value = serde_json::from_str(ended.stdout.lines().last().unwrap()).unwrap();
        assert_eq!(result["exit_code"], code);
        if failing != "-ls" {
            assert_ne!(run_script(&project, &script, &environment).code, Some(0), "{failing}");
        }
    }
    assert!(!project.path("hdfs/ware house/rows/_SUCCESS").exists());
    // The same, where it says that all is well.
    rerun(&project, 3);
    for idle in ["distcp", "-cp"] {
        let arguments = ["--date", DAY, "--target", TARGET, "--run"];
        let ended = distcp(&project, &arguments, &[("HADOOP_IDLE", idle)]);
        ended.fails_with(75, &["ended well"]);
        assert!(!project.path("hdfs/ware house/rows/_SUCCESS").exists(), "{idle}");
    }
    copied(&project);
    rerun(&project, 4);
    let arguments = ["--date", DAY, "--target", TARGET, "--run"];
    let ended = distcp(&project, &arguments, &[("HADOOP_IDLE", "-rm")]);
    ended.fails_with(75, &["files that reruns have replaced are still there"]);
    copied(&project);
    assert_is_copy(&project, &project.path("hdfs/ware house"));
}

#[test]
fn a_part_of_a_script_does_not_end_well() {
    let project = project();
    project.run().published();
    let script = planned(&project, TARGET);
    let lines: Vec<&str> = script.lines().collect();
    let at = |text| lines.iter().position(|line| *line == text).unwrap();
    for end in at("trap broke_off EXIT") + 1..=at("trap - EXIT") {
        let ended = run_script(&project, &lines[..end].join("\n"), &[]);
        assert!(matches!(ended.code, Some(1..)), "{end} lines: {ended:#?}");
    }
    assert_eq!(run_script(&project, &script, &[]).code, Some(0));
    assert_is_copy(&project, &project.path("hdfs/ware house"));
}

#[test]
fn without_a_hadoop_command_or_a_target_of_use_a_copy_is_wrongly_configured() {
    let project = project();
    project.run().published();
    for at in [["distcp", "--target"], ["verify", "--at"]] {
        let mut arguments = vec!["--date", DAY, at[1], TARGET];
        arguments.extend((at[0] == "distcp").then_some("--run"));
        let mut command = project.command(at[0], &arguments);
        finish(command.env("PATH", project.path("nowhere"))).fails_with(78, &["`hadoop`", "PATH"]);
        for bad in ["", "lake", "ftp://host/lake", "hdfs://namenode/a*", "hdfs://namenode/a:b"] {
            let arguments = [&["--date", DAY, at[1], bad], &arguments[4..]].concat();
            let ended = finish(hadoop(&project, &mut project.command(at[0], &arguments)));
            ended.fails_with(78, &["target `"]);
        }
    }
    assert_eq!(calls(&project), "");
}

#[test]
fn a_target_where_the_pipeline_itself_writes_is_refused() {
    let project = project();
    project.run().published();
    let before = files_below(&project.path("out/rows"));
    let out = project.path("out").display().to_string();
    for target in [format!("file://{out}"), out.clone(), format!("FILE:{out}/rows/copy")] {
        copy_to(&project, &target).fails_with(78, &["must not contain one another"]);
        distcp(&project, &["--date", DAY, "--target", &target], &[]).fails_with(78, &[]);
    }
    assert_eq!(files_below(&project.path("out/rows")), before);
}

#[test]
fn distcp_and_verify_mean_the_same_place_however_it_is_written() {
    let project = project();
    project.run().published();
    let disk = project.path("disk %20 x").display().to_string();
    let targets = [
        ("/re", "hdfs/re".to_owned()),
        ("/re/", "hdfs/re".to_owned()),
        ("hdfs:/re", "hdfs/re".to_owned()),
        ("hdfs:///re", "hdfs/re".to_owned()),
        ("HDFS://namenode/re", "hdfs/re".to_owned()),
        ("/", "hdfs".to_owned()),
        (&format!("file://{disk}"), disk.clone()),
        (&format!("FILE:{disk}/below"), format!("{disk}/below")),
    ];
    for (target, folder) in &targets {
        let ended = copy_to(&project, target);
        assert_eq!(ended.code, Some(0), "{target}: {ended:#?}");
        assert_is_copy(&project, &project.path(folder));
        let verified = verify_at(&project, target);
        assert_eq!(verified.code, Some(0), "{target}: {verified:#?}");
    }
    let script = planned(&project, "HDFS://namenode/script");
    assert_eq!(run_script(&project, &script, &[]).code, Some(0));
    assert_is_copy(&project, &project.path("hdfs/script"));
    verify_at(&project, "/elsewhere").fails_with(65, &["missing"]);
}

/// Waits for a file that a process writes, or one that it started, and gives its contents.
fn awaited(path: &Path, by: &mut Child) -> String {
    loop {
        match fs::read_to_string(path) {
            Ok(text) if !text.is_empty() => return text,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
        assert_eq!(by.try_wait().unwrap(), None, "it ended before it wrote {}", path.display());
    }
}

fn is_alive(pid: &str) -> bool {
    // A zombie has ended, though nobody has asked how.
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

#[test]
fn a_copy_that_is_stopped_or_killed_leaves_no_marker_and_the_next_one_goes_on() {
    let project = project();
    project.run().published();
    let copy = project.path("hdfs/ware house/rows");
    for (signal, code) in [("TERM", Some(143)), ("INT", Some(130)), ("KILL", None)] {
        let sign = project.path(&format!("hangs-{signal}"));
        let arguments = ["--date", DAY, "--target", TARGET, "--run"];
        let mut command = project.command("distcp", &arguments);
        let command = hadoop(&project, &mut command).env("HADOOP_HANGS", &sign);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let hanging = awaited(&sign, &mut child);
        let kill = |signal: &str, pid: &str| {
            Command::new("kill").args(["-s", signal, pid]).status().unwrap();
        };
        kill(signal, &child.id().to_string());
        let ended = child.wait_with_output();
        if signal == "KILL" {
            // Nobody is left to end it; an orchestrator kills the whole group.
            kill("KILL", &hanging);
        }
        let ended = ended.unwrap();
        assert_eq!(ended.status.code(), code, "{signal}: {ended:?}");
        while signal == "KILL" && is_alive(&hanging) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!is_alive(&hanging), "{signal}: hadoop is still at work");
        let left = files_below(&copy);
        assert!(!left.contains_key("_SUCCESS"), "{left:?}");
        assert!(left.keys().any(|name| name.starts_with(".distcp.tmp.")), "{left:?}");
        fs::remove_file(copy.join(left.keys().last().unwrap())).unwrap();
    }
    fs::create_dir_all(copy.join("name=gone")).unwrap();
    let result = copied(&project);
    assert!(result["tables"][0]["removed_files"].as_u64() >= Some(1), "{result}");
    assert_eq!(result["tables"][0]["removed_folders"], 1);
    assert_is_copy(&project, &project.path("hdfs/ware house"));
    assert!(!copy.join("name=gone").exists());
}

#[test]
fn emptied_partitions_and_files_of_killed_copies_go_with_the_next_copy() {
    let project = project();
    project.run().published();
    for (run, id) in [(true, 2), (false, 3)] {
        let target = project.path("hdfs/ware house");
        copied(&project);
        let left = target.join("rows/.distcp.tmp.attempt_1795233900123_0001_m_000000_0");
        fs::write(left, "half").unwrap();
        fs::create_dir_all(target.join("rows/_staging")).unwrap();
        project.write("logs/dt=2026-11-21/a.ndjson", logs(&["a"], id));
        project.run().published();
        if run {
            copied(&project);
        } else {
            let script = planned(&project, TARGET);
            let ended = run_script(&project, &script, &[]);
            assert_eq!(ended.code, Some(0), "{ended:#?}");
        }
        assert_is_copy(&project, &target);
        let mut folders: Vec<_> = fs::read_dir(target.join("rows")).unwrap().collect();
        folders.retain(|entry| entry.as_ref().unwrap().path().is_dir());
        assert_eq!(folders.len(), 2, "name=a, and _staging, which is not ours");
        fs::remove_dir(target.join("rows/_staging")).unwrap();
        project.write("logs/dt=2026-11-21/a.ndjson", logs(&["a", "b"], id + 10));
        project.run().published();
    }
    // All rows go: what is left is an empty table under its marker.
    copied(&project);
    let view = "SELECT id, name, amount, _source, _line FROM logs WHERE id < 0";
    project.write("shop/rows.sql", view);
    project.run().published();
    copied(&project);
    let left = files_below(&project.path("hdfs/ware house/rows"));
    assert_eq!(left.into_keys().collect::<Vec<_>>(), ["_SUCCESS"]);
}

#[test]
fn a_rerun_of_another_interval_that_comes_along_with_a_folder_replaces_its_old_rows() {
    let project = project();
    project.run().published();
    let next = "2026-11-22";
    let run_next = |id| {
        project.write("logs/dt=2026-11-22/b.ndjson", logs(&["a", "z"], id));
        project.ashiato("run", &["--date", next]).published();
    };
    run_next(7);
    copied(&project);
    assert_eq!(distcp(&project, &["--date", next, "--target", TARGET, "--run"], &[]).code, Some(0));
    assert_is_copy(&project, &project.path("hdfs/ware house"));
    run_next(8);
    rerun(&project, 2);
    copied(&project);
    let rows = |folder: &str| crate::support::tsv_lines(&project.path(folder).join("name=a"));
    assert_eq!(rows("hdfs/ware house/rows"), rows("out/rows"), "no row stands twice");
    let foreign = project.path("hdfs/ware house/rows/name=a/part-00000-foreign1.tsv");
    fs::write(&foreign, "x\n").unwrap();
    rerun(&project, 3);
    copied(&project);
    assert!(foreign.exists(), "what no publish knows is not ours to judge");
}

#[test]
fn a_table_that_is_not_whole_itself_is_not_copied() {
    let project = project();
    project.run().published();
    copied(&project);
    fs::remove_file(project.path("out/ids/_SUCCESS")).unwrap();
    let before = files_below(&project.path("hdfs"));
    copy_to(&project, TARGET)
        .fails_with(65, &["_SUCCESS is missing there", "run the interval again"]);
    assert_eq!(files_below(&project.path("hdfs")), before);
    project.run();
    assert_eq!(copied(&project)["status"], "already_copied");
}
