//! Repairs markers: `_SUCCESS` files that are missing, or another publish's.

use crate::base::error::Result;
use crate::commit::head::ReadHead;
use crate::commit::pipeline_state::Commit;
use crate::commit::table_root::TableFiles;

/// A table and its name in the state.
pub(super) struct NamedTable {
    /// `<output>.<format>`.
    pub(super) name: String,
    pub(super) files: Box<dyn TableFiles>,
}

/// Repairs markers that are missing, or another publish's, though nothing is under way.
pub(super) fn restore_markers(commit: &Commit, tables: &[NamedTable]) -> Result<()> {
    let head = ReadHead::of(commit)?.head;
    for NamedTable { name, files } in tables {
        let Some(last) = head.tables.get(name) else { continue };
        let marker = last.marker(&commit.pipeline)?;
        if head.publishing.is_none() && files.read_success()?.as_ref() != Some(&marker) {
            files.put_success(&marker)?;
        }
    }
    Ok(())
}
