//! `${NAME}` and `${NAME:-default}` in configuration values.
//!
//! A default may itself hold variables: `${ASHIATO_SOURCE:-${PIPELINE_DIR}/../logs}`. An empty
//! value counts as absent where there is a default, as in the shell. `$$` is a dollar sign.

use toml_span::value::{Value, ValueInner};

use super::error_at;

/// Looks a variable up by its name.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces the variables in every string of a document; errors have the string's place.
pub fn substitute_variables(
    value: &mut Value<'_>,
    lookup: Lookup<'_>,
    errors: &mut Vec<toml_span::Error>,
) {
    let span = value.span;
    let replaced = match value.take() {
        ValueInner::String(text) if text.contains('$') => {
            let mut faults = Vec::new();
            let expanded = expand(&text, lookup, &mut faults);
            let is_good = faults.is_empty();
            errors.extend(faults.into_iter().map(|message| error_at(span, message)));
            ValueInner::String(if is_good { expanded.into() } else { text })
        }
        ValueInner::Array(mut items) => {
            items.iter_mut().for_each(|item| substitute_variables(item, lookup, errors));
            ValueInner::Array(items)
        }
        ValueInner::Table(mut table) => {
            table.values_mut().for_each(|item| substitute_variables(item, lookup, errors));
            ValueInner::Table(table)
        }
        other => other,
    };
    value.set(replaced);
}

/// Expands one text; what is wrong with any of its variables goes to `faults`.
fn expand(text: &str, lookup: Lookup<'_>, faults: &mut Vec<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let Some(end) = closing_brace(inside) else {
                faults.push(format!("`${{` without its `}}` in `{text}`"));
                return expanded;
            };
            expanded.push_str(&expand_variable(&inside[..end], lookup, faults));
            rest = &inside[end + 1..];
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    expanded
}

fn expand_variable(inside: &str, lookup: Lookup<'_>, faults: &mut Vec<String>) -> String {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(is_name) {
        faults.push(format!("`{name}` is no name of an environment variable"));
        return String::new();
    }
    match (lookup(name), default) {
        (Some(value), None) => value,
        (Some(value), Some(_)) if !value.is_empty() => value,
        (_, Some(default)) => expand(default, lookup, faults),
        (None, None) => {
            faults.push(format!(
                "environment variable {name} is not set; set it, or give a default as \
                 ${{{name}:-…}}"
            ));
            String::new()
        }
    }
}

/// Position of the brace that closes a variable, past nested ones.
pub(crate) fn closing_brace(inside: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (position, byte) in inside.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(position),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let mut faults = Vec::new();
        let lookup = |name: &str| match name {
            "OUT" => Some("/data".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let expanded = expand(text, &lookup, &mut faults);
        if faults.is_empty() { Ok(expanded) } else { Err(faults.join("\n")) }
    }

    #[test]
    fn a_set_variable_is_replaced_and_a_default_is_not_used() {
        assert_eq!(expanded("${OUT}/a").unwrap(), "/data/a");
        assert_eq!(expanded("${OUT:-x}/a").unwrap(), "/data/a");
    }

    #[test]
    fn an_absent_or_empty_variable_takes_its_default_which_may_nest() {
        assert_eq!(expanded("${NONE:-${OUT}/in}/a").unwrap(), "/data/in/a");
        assert_eq!(expanded("${EMPTY:-x}").unwrap(), "x");
        assert_eq!(expanded("${NONE:-}").unwrap(), "");
    }

    #[test]
    fn an_undefined_variable_is_an_error_that_names_it() {
        assert!(expanded("a/${NONE}").unwrap_err().contains("NONE is not set"));
        let both = expanded("${NONE}/${OUT}/${EMPTY:-${OTHER}}").unwrap_err();
        assert!(both.contains("NONE is not set") && both.contains("OTHER is not set"), "{both}");
    }

    #[test]
    fn a_doubled_dollar_is_a_dollar_and_a_lone_one_stays() {
        assert_eq!(expanded("a$$b$c").unwrap(), "a$b$c");
        assert!(expanded("${OUT").is_err());
        assert!(expanded("${A B}").is_err());
    }
}
