//! Tables of the documents in `docs/`, which tests compare with the code.

/// The rows of the first table below a heading, cell by cell; a row's first cell is a name.
fn rows<'d>(document: &'d str, heading: &str) -> Vec<Vec<&'d str>> {
    let mut lines = document.lines().skip_while(|line| *line != heading).skip(1);
    assert!(lines.by_ref().any(|line| line.starts_with("|---")), "no table below `{heading}`");
    lines.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// The names in code in the first cell of each row.
pub(crate) fn names<'d>(document: &'d str, heading: &str) -> Vec<&'d str> {
    let rows = rows(document, heading).into_iter();
    rows.flat_map(|cells| cells[0].split('`').skip(1).step_by(2)).collect()
}

/// The keys that have a default, as a line of TOML each: those whose default is code.
pub(crate) fn defaults(document: &str, heading: &str) -> Vec<String> {
    let of_row = |cells: Vec<&str>| {
        let default = cells[2].strip_prefix('`')?.strip_suffix('`')?;
        Some(format!("{} = {default}", cells[0].trim_matches('`')))
    };
    rows(document, heading).into_iter().filter_map(of_row).collect()
}

fn cells(row: &str) -> Vec<&str> {
    row.trim_matches('|').split(" | ").map(str::trim).collect()
}
