//! Names as a pipeline may use them.

/// Names that become directories and SQL identifiers alike.
pub(super) fn is_word(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !name.is_empty() && name.chars().all(legal)
}
