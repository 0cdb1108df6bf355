//! Keys that a file does not have, and which one was meant.

use super::{nearest, suggestion};

/// Words for a key in other programs; they count where the key is one of those that are expected.
const OTHER_WORDS: [(&str, &str); 32] = [
    ("check", "predicate"),
    ("cluster_by", "sort_by"),
    ("condition", "predicate"),
    ("cores", "threads"),
    ("cpus", "threads"),
    ("date_format", "formats"),
    ("dir", "location"),
    ("directory", "location"),
    ("field", "path"),
    ("json_path", "path"),
    ("jsonpath", "path"),
    ("max_reject_rate", "max_reject_ratio"),
    ("memory", "memory_limit"),
    ("mode", "required"),
    ("not_null", "required"),
    ("nullable", "required"),
    ("on_error", "on_mismatch"),
    ("on_failure", "on_fail"),
    ("optional", "required"),
    ("order_by", "sort_by"),
    ("parallelism", "threads"),
    ("partition_columns", "partition_by"),
    ("partitioned_by", "partition_by"),
    ("partitions", "partition_by"),
    ("pattern", "glob"),
    ("prefix", "path"),
    ("query", "view"),
    ("sql", "view"),
    ("temp", "spill"),
    ("time_zone", "assumed_time_zone"),
    ("timezone", "time_zone"),
    ("url", "location"),
];

/// Keys of a pipeline's tables, and the table of each.
const ELSEWHERE: [(&str, &str); 22] = [
    ("compression", "[output.parquet]` or `[output.tsv]"),
    ("file_size", "[output.parquet]` or `[output.tsv]"),
    ("framing", "[source]"),
    ("geoip", "[enrichment]"),
    ("glob", "[source]"),
    ("grain", "[[output]]"),
    ("max_open_writers", "[resources]"),
    ("max_reject_ratio", "[quarantine]"),
    ("max_rejects", "[quarantine]"),
    ("max_unreadable_objects", "[source]"),
    ("memory_limit", "[resources]"),
    ("on_empty", "[source]"),
    ("on_fail", "[[output.expectation]]"),
    ("on_schema_change", "[[output]]"),
    ("partition_by", "[[output]]"),
    ("predicate", "[[output.expectation]]"),
    ("row_group_size", "[output.parquet]"),
    ("sort_by", "[[output]]"),
    ("spill", "[resources]"),
    ("tax_table", "[enrichment]"),
    ("tax_unknown", "[enrichment]"),
    ("threads", "[resources]"),
];

/// What may have been meant by a key that a table does not take.
pub(crate) fn key_help(key: &str, expected: &[String]) -> String {
    let known: Vec<&str> = expected.iter().map(String::as_str).collect();
    if nearest(key, &known).is_none() {
        let lower = key.to_lowercase();
        let of_other = OTHER_WORDS.iter().find(|(word, _)| *word == lower).map(|(_, ours)| *ours);
        match of_other.filter(|ours| known.contains(ours)) {
            Some("required") => return "write `required = true` for what must be there".to_owned(),
            Some(ours) => return format!("did you mean `{ours}`?"),
            None => {}
        }
        if lower == "time_zone" || lower == "timezone" {
            return "it stands at the top of pipeline.toml".to_owned();
        }
        // Only the tables of a pipeline have such keys.
        let table = ELSEWHERE.iter().find(|(word, _)| *word == lower);
        if let Some((_, table)) = table.filter(|_| is_of_pipeline(&known)) {
            return format!("it belongs to `{table}`");
        }
    }
    suggestion(key, known.into_iter())
}

fn is_of_pipeline(known: &[&str]) -> bool {
    let tables: [&[&str]; 5] = [
        &["source", "quarantine"],
        &["location", "glob"],
        &["location", "max_rejects"],
        &["formats", "view"],
        &["memory_limit", "threads"],
    ];
    tables.iter().any(|keys| keys.iter().all(|key| known.contains(key)))
}

/// The key whose value begins at a position, if it stands on the same line.
pub(crate) fn key_before(text: &str, position: usize) -> Option<&str> {
    let before = text.get(..position)?;
    let line = before.rsplit('\n').next()?;
    let (key, rest) = line.rsplit_once('=')?;
    let key = key.rsplit(['{', ',']).next()?.trim();
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_value_next = rest.chars().all(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '['));
    (is_value_next && !key.is_empty() && key.chars().all(is_key)).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_programs_lead_to_the_key() {
        let column = ["name", "path", "required", "type"].map(str::to_owned);
        assert!(key_help("nullable", &column).contains("required = true"));
        assert_eq!(key_help("jsonpath", &column), "did you mean `path`?");
        let output = ["formats", "view", "sort_by"].map(str::to_owned);
        assert_eq!(key_help("on_empty", &output), "it belongs to `[source]`");
        assert!(key_help("spill", &column).starts_with("expected one of"));
    }

    #[test]
    fn a_value_has_its_key_before_it() {
        let text = "a = 1\nb = \"x\"\nc = { d = 5 }\n[[e]]\n";
        let of = |value: &str| key_before(text, text.find(value).unwrap());
        assert_eq!(of("1"), Some("a"));
        assert_eq!(of("x"), Some("b"));
        assert_eq!(of("5"), Some("d"));
        assert_eq!(of("e]"), None);
    }
}
