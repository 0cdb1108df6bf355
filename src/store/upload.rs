//! Files that lie in a store as unfinished uploads, invisible until they are completed.

use serde::{Deserialize, Serialize};

/// An upload whose parts are all stored: any process can complete or abort it.
///
/// Its object is invisible to readers and listings until then. A completed upload is gone, so that
/// completing it again fails and cannot bring back an object that was deleted since.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Upload {
    /// What the store calls it. Azure has no uploads, only blocks that belong to a name.
    pub id: String,
    /// What the store calls the parts, in their order.
    pub parts: Vec<String>,
}
