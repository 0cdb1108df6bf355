//! A planned copy as a script for bash.
//!
//! Nothing runs before all of it has arrived, a part of it does not end well, and each command has
//! nothing to read; the script ends at the first one that fails, so that it can be piped, saved,
//! and run where `hadoop` is a wrapper that reads its standard input. It refuses to go on if the
//! interval was published again since.

use crate::commit::distcp::{DistCpForm, quoted};
use crate::commit::hand_off_plan::{HandOff, PlannedCopy};
use crate::sink::SUCCESS;
use crate::store::CopyTarget;

/// The commands that copy a table whose root is `source`, in their order; the last one is the only
/// one that tells readers that the copy is whole.
pub(super) fn commands(table: &HandOff, source: &str, emptied: Option<&str>) -> Vec<String> {
    let HandOff { target, listing, removal, form, .. } = table;
    let marker = quoted(&format!("{target}/{SUCCESS}"));
    let leftovers = quoted(&format!("{target}/.distcp.tmp.*"));
    let mut commands = vec![
        format!("hadoop fs -rm -f {marker} </dev/null"),
        format!("hadoop fs -mkdir -p {} </dev/null", quoted(target)),
        format!("hadoop fs -rm -f {leftovers} </dev/null || true"),
    ];
    if let Some(listing) = listing {
        let update = if *form == DistCpForm::Root { "-update " } else { "" };
        let (listing, target) = (quoted(listing), quoted(target));
        commands.push(format!("hadoop distcp {update}-f {listing} {target} </dev/null"));
    }
    let on_all = |list: &str, command: &str| {
        let xargs = r"xargs -d '\n' -r -n 200";
        format!("hadoop fs -cat {} </dev/null | {xargs} hadoop fs {command}", quoted(list))
    };
    if let Some(removal) = removal {
        commands.push(on_all(removal, "-rm -f"));
    }
    if let Some(emptied) = emptied {
        commands.push(on_all(emptied, "-rmdir --ignore-fail-on-non-empty || true"));
    }
    let source = quoted(&format!("{source}/{SUCCESS}"));
    commands.push(format!("hadoop fs -cp -f {source} {marker} </dev/null"));
    commands
}

/// The script; `manifest` is the interval's as Hadoop names it.
pub(super) fn script(planned: &PlannedCopy, manifest: &str, target: &CopyTarget) -> String {
    let PlannedCopy { manifest: of, tables } = planned;
    let (pipeline, interval, attempt) = (&of.pipeline, &of.interval, &of.attempt);
    let manifest = quoted(manifest);
    let stale = quoted(&format!(
        "interval {interval} of pipeline `{pipeline}` was published again since this copy was \
         planned, or its manifest cannot be read; plan the copy anew"
    ));
    let mut lines = vec![
        "#!/usr/bin/env bash".to_owned(),
        format!("# Copies interval {interval} of pipeline {pipeline}, as {attempt} published it,"),
        format!("# to {target}"),
        "set -euo pipefail".to_owned(),
        "broke_off() {".to_owned(),
        "local code=$?".to_owned(),
        "if [ $code = 0 ]; then echo 'the script broke off before its end' >&2; code=75; fi"
            .to_owned(),
        "exit $code".to_owned(),
        "}".to_owned(),
        "trap broke_off EXIT".to_owned(),
        "is_current() {".to_owned(),
        format!("local own='^  \"attempt\": \"{attempt}\"'"),
        format!(
            "if [ \"$(hadoop fs -cat {manifest} </dev/null | grep -c \"$own\")\" = 1 ]; then \
             return 0; fi"
        ),
        format!("echo {stale} >&2"),
        "return 1".to_owned(),
        "}".to_owned(),
        "copy() {".to_owned(),
    ];
    for table in tables {
        let HandOff { target, commands, .. } = &table.hand_off;
        let Some((last, before)) = commands.split_last() else { continue };
        let marker = quoted(&format!("{target}/{SUCCESS}"));
        lines.push("is_current || exit 75".to_owned());
        lines.extend(before.iter().cloned());
        lines.push("is_current || exit 75".to_owned());
        lines.push(last.clone());
        let remove = format!("hadoop fs -rm -f {marker} </dev/null");
        lines.push(format!("is_current || {{ {remove}; exit 75; }}"));
    }
    // Without a table, bash would not take the function.
    lines.extend([":", "}", "copy", "trap - EXIT", "exit 0"].map(str::to_owned));
    lines.join("\n")
}
