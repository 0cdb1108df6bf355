//! The library: what other programs call.

use std::path::Path;
use std::process::Command;

use crate::support::{Finished, Project, finish};

/// Runs `fixtures/embed` on a project's pipeline; `cargo test` builds it with the tests.
fn embed(project: &Project, date: &str) -> Finished {
    let folder = Path::new(env!("CARGO_BIN_EXE_ashiato")).parent().unwrap();
    let program = folder.join("examples/embed");
    assert!(program.exists(), "build it: cargo build --example embed");
    let mut command = Command::new(program);
    command.arg(project.path("shop")).arg(date);
    finish(command.env("SOURCE", project.path("logs")).env("OUT", project.path("out")))
}

#[test]
fn a_program_runs_a_pipeline_through_the_library() {
    let project = Project::new().logs("a.ndjson", "{\"id\":1}\n\n{\"id\":2}\nno JSON\n");
    let first = embed(&project, "2026-11-21");
    assert_eq!(first.stdout, "Published: 2 rows of 4 lines\n", "{first:#?}");
    assert_eq!(project.rows(), ["1\t\\N\t\\N", "2\t\\N\t\\N"]);
    let again = embed(&project, "2026-11-21");
    assert_eq!(again.stdout, "AlreadyPublished: 2 rows of 4 lines\n", "{again:#?}");
    assert_eq!(again.code, Some(0));

    let failed = embed(&project, "tomorrow");
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{failed:#?}");
    assert!(failed.stderr.contains("tomorrow"), "{failed:#?}");
}
