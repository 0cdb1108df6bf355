//! Calls with arguments of types that a function does not take, in SQL's words.
//!
//! ```text
//! Function 'sum' failed to match any signature, errors: … requires Decimal, but received String
//!     `sum` takes no VARCHAR, but DECIMAL, BIGINT, DOUBLE or INTERVAL; write `TRY_CAST(…)`
//! ```

/// What an engine's message about the arguments of a call means, and what to do; none if it is
/// about something else.
pub(crate) fn signature_message(text: &str) -> Option<(String, Option<String>)> {
    if let Some((_, after)) = text.split_once("user-defined coercion failed with: ") {
        let said = after.strip_prefix("Error during planning: ").unwrap_or(after);
        let said = said.split(". No function matches").next().unwrap_or(said);
        let said = said.strip_prefix("Execution error: ").unwrap_or(said);
        return Some((in_sql_types(said), None));
    }
    if text.contains("failed to match any signature") {
        let function = quoted_after(text, "Function '")?;
        let wanted = texts_after(text, "requires ", &[", but", " but"]);
        let found = texts_after(text, "(DataType: ", &[").", "),", ")"]);
        let found = found.first().map_or_else(|| "such a value".to_owned(), |it| in_sql_types(it));
        let wanted = listed(&wanted);
        let message = format!("`{function}` takes no {found}, expected {wanted}");
        return Some((message, Some(help_of(function, &found))));
    }
    if text.contains("ailed to coerce arguments to satisfy a call to") {
        let function = quoted_after(text, "call to '")?;
        let given = text.split("coercion from ").nth(1)?.split(" to the signature").next()?;
        let given = in_sql_types(given);
        let message = format!("`{function}` takes no arguments of the types {given}");
        return Some((message, Some(help_of(function, &given))));
    }
    None
}

fn help_of(function: &str, given: &str) -> String {
    match function {
        "to_char" => "write `to_char(at, '%Y-%m-%d')` with a DATE or TIMESTAMP as `at`; \
                      `CAST(n AS VARCHAR)` writes a number"
            .to_owned(),
        "date_trunc" => "write `date_trunc('day', at)`".to_owned(),
        "date_part" => "write `date_part('year', at)`".to_owned(),
        _ if given.contains("VARCHAR") => {
            "write `TRY_CAST(a AS BIGINT)`, which is NULL where the text is no number, or type the \
             column in contract.toml"
                .to_owned()
        }
        _ => "cast the arguments: `CAST(a AS type)`".to_owned(),
    }
}

fn quoted_after<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    text.split_once(before)?.1.split('\'').next()
}

fn texts_after<'t>(text: &'t str, before: &str, ends: &[&str]) -> Vec<&'t str> {
    let after = text.split(before).skip(1);
    let cut = |after: &'t str| {
        let end = ends.iter().filter_map(|end| after.find(end)).min().unwrap_or(after.len());
        &after[..end]
    };
    let mut found: Vec<&str> = Vec::new();
    for text in after.map(cut) {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// `DECIMAL, BIGINT or DOUBLE`
fn listed(types: &[&str]) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in types.iter().map(|name| in_sql_types(name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "another type".to_owned(),
    }
}

/// A text with the engine's names of types replaced by SQL's.
pub(crate) fn in_sql_types(text: &str) -> String {
    const NAMES: [(&str, &str); 20] = [
        ("Int8", "TINYINT"),
        ("Int16", "SMALLINT"),
        ("Int32", "INT"),
        ("Int64", "BIGINT"),
        ("UInt64", "BIGINT"),
        ("Float32", "REAL"),
        ("Float64", "DOUBLE"),
        ("Utf8", "VARCHAR"),
        ("Utf8View", "VARCHAR"),
        ("LargeUtf8", "VARCHAR"),
        ("String", "VARCHAR"),
        ("Boolean", "BOOLEAN"),
        ("Date32", "DATE"),
        ("Timestamp", "TIMESTAMP"),
        ("Decimal128", "DECIMAL"),
        ("Decimal", "DECIMAL"),
        ("Duration", "INTERVAL"),
        ("Interval", "INTERVAL"),
        ("Binary", "BYTEA"),
        ("Null", "NULL"),
    ];
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_alphanumeric() || c == '_') {
        let word = &rest[start..];
        let end = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
        result.push_str(&rest[..start]);
        let word = &word[..end];
        rest = &rest[start + end..];
        let name = NAMES.iter().find(|(engine, _)| *engine == word).map(|(_, sql)| *sql);
        result.push_str(name.unwrap_or(word));
        if name == Some("TIMESTAMP") && rest.starts_with('(') {
            // Its unit and zone say nothing here.
            rest = rest.split_once(')').map_or(rest, |(_, after)| after);
        }
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_types_are_told_as_sqls() {
        assert_eq!(in_sql_types("Int64, Utf8"), "BIGINT, VARCHAR");
        assert_eq!(in_sql_types("Timestamp(µs, \"UTC\") and x"), "TIMESTAMP and x");
        assert_eq!(in_sql_types("List(Int64)"), "List(BIGINT)");
    }
}
