//! Names of a source's objects that no object can have: `path` and `glob` are looked at before a
//! run finds nothing.
//!
//! ```text
//! glob = "/raw/*.gz"        objects are named from `path` on: leave out the leading `/`
//! path = "dt=yyyy-MM-dd/"   a folder of this very name; directives are `%Y-%m-%d`
//! ```

use globset::GlobBuilder;

/// Directives that a path may have.
const DIRECTIVES: &str = "YymdjFHMekbBGV";

/// Why no object can match a glob, and what to write.
pub(super) fn glob_fault(glob: &str) -> Option<(String, String)> {
    if glob.is_empty() {
        return fault("it is empty and would match nothing", "leave it out to match all");
    }
    if glob.contains("://") {
        return fault("a URL matches no name", "name the place in `location`");
    }
    if let Some(found) = common_fault(glob, "below `path`") {
        return Some(found);
    }
    if glob.starts_with('/') {
        return fault("no name begins with `/`", "write it from `path` on, without the first `/`");
    }
    if glob.ends_with('/') {
        let help = "write `/**` at its end for all objects of a folder";
        return fault("objects are matched, not folders", help);
    }
    for part in glob.split('/') {
        match part {
            "" => return fault("no name has an empty part (`//`)", "leave one `/` out"),
            "." | ".." => {
                let message = format!("no name has a part `{part}`");
                return fault(message, "write it from `path` on");
            }
            "**" => {}
            part if part.contains("**") => {
                let message = format!("`**` stands alone between `/`, found `{part}`");
                return fault(message, "write `*` for any characters of one part");
            }
            part if part.starts_with(['_', '.']) => {
                let message = format!("`{part}`: names that begin with `_` or `.` are not read");
                return fault(message, "rename the objects");
            }
            _ => {}
        }
    }
    if let Some(directive) = directive_in(glob) {
        let message = format!("`{directive}` is no directive here");
        return fault(message, "name what depends on the interval in `path`");
    }
    let built = GlobBuilder::new(glob).literal_separator(true).build();
    built.err().map(|error| {
        let help = "`[*]` is the sign itself";
        (error.kind().to_string(), help.to_owned())
    })
}

/// Why no folder can have a path's name, and what to write; what is wrong with its directives is
/// told elsewhere.
pub(super) fn path_fault(path: &str) -> Option<(String, String)> {
    if let Some(found) = common_fault(path, "below `location`") {
        return Some(found);
    }
    if path.split('/').any(|part| part.contains("**")) {
        return fault("`**` is for `glob`", "write `*` for one part of the path");
    }
    let java = ["yyyy", "YYYY", "MM-dd", "MM/dd", "HH/"].into_iter().find(|it| path.contains(it));
    let java = java.filter(|_| directive_in(path).is_none());
    java.and_then(|java| {
        let message = format!("`{java}` is a folder of this very name");
        fault(message, "directives begin with `%`: `%Y-%m-%d`, `%H`")
    })
}

fn common_fault(name: &str, below: &str) -> Option<(String, String)> {
    if name.trim() != name {
        return fault("it begins or ends with whitespace", "leave that out");
    }
    if name.contains('\\') {
        let help = format!("write `/` between the folders {below}; `[*]` is the sign itself");
        return fault("`\\` separates no folders", help);
    }
    if name.starts_with("~/") {
        return fault("`~` is no folder here", format!("write the path {below}"));
    }
    None
}

fn fault(message: impl Into<String>, help: impl Into<String>) -> Option<(String, String)> {
    Some((message.into(), help.into()))
}

/// A directive such as `%Y`; `%d0` is a percent-encoded byte of a name.
fn directive_in(text: &str) -> Option<&str> {
    text.match_indices('%').find_map(|(at, _)| {
        let rest = &text[at + 1..];
        let letter = rest.chars().next().filter(|letter| DIRECTIVES.contains(*letter))?;
        let is_byte = rest.len() > 1 && rest.chars().take(2).all(|c| c.is_ascii_hexdigit());
        (!is_byte).then(|| &text[at..at + 1 + letter.len_utf8()])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_that_no_object_can_match_are_refused() {
        for glob in [
            "", "/abs/*", "../*", "./*", "a/../b", "a/./b", "a//b", "*/", "**/", "a/**/", "a**b",
            "***", " *.gz", "*.gz ", "a\\*.gz", "~/x", "s3://b/*", "%Y/*", "dt=%d/*", "_tmp/*",
            ".*.gz", "[", "{a", "a]{",
        ] {
            assert!(glob_fault(glob).is_some(), "{glob:?}");
        }
    }

    #[test]
    fn globs_that_an_object_may_match_are_taken() {
        for glob in [
            "*",
            "**",
            "*.gz",
            "**/*.gz",
            "a/**",
            "a/**/b",
            "*.{gz,zst}",
            "[!a]*",
            "[*]",
            "?",
            "a%20b*",
            "%d0%b0*",
            "a_b.c",
            "{_a,b}",
            "100%",
        ] {
            assert_eq!(glob_fault(glob), None, "{glob:?}");
        }
    }

    #[test]
    fn paths_in_the_words_of_java_and_of_globs_are_refused() {
        for path in ["dt=yyyy-MM-dd/", "YYYY/MM/dd/", "**/x/", "a\\b/", " a/", "~/a/"] {
            assert!(path_fault(path).is_some(), "{path:?}");
        }
        for path in ["", "raw/", "dt=%Y-%m-%d/", "{account}/*/%Y/", "%Y/yyyy/", "MM/"] {
            assert_eq!(path_fault(path), None, "{path:?}");
        }
    }
}
