//! Tells one object that may not be read from a store that may not be read at all.
//!
//! A store says 403 for both: to whoever has the wrong credentials, of all objects; and of a single
//! one that belongs to another account, or whose key is withheld. So another object is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::{GetOptions, GetRange, ObjectStore};

use super::decompress::Unreadable;
use super::list::SourceObject;
use crate::base::error::Error;

/// Other objects that are asked for before all of the store counts as denied.
const ASKED_MAX: usize = 8;

const NONE: usize = usize::MAX;

/// Knows which object of a listing was read last. Clients of one store share it.
#[derive(Debug)]
pub struct ReadAccess {
    read_last: AtomicUsize,
}

impl Default for ReadAccess {
    fn default() -> Self {
        ReadAccess { read_last: AtomicUsize::new(NONE) }
    }
}

impl ReadAccess {
    /// Bytes of an object came.
    pub fn note_read(&self, object: usize) {
        self.read_last.store(object, Ordering::Relaxed);
    }

    /// What an error that a retry will not help means for an object of which no byte came: it
    /// cannot be read, if another one can; else the error stands.
    ///
    /// # Errors
    /// `error` itself.
    pub async fn judge(
        &self,
        store: &dyn ObjectStore,
        objects: &[SourceObject],
        object: usize,
        error: Error,
    ) -> Result<Unreadable, Error> {
        if !matches!(error, Error::Config(_)) {
            return Err(error);
        }
        for other in self.others(objects, object) {
            let options =
                GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
            if store.get_opts(&objects[other].path, options).await.is_ok() {
                let said = error.to_string();
                let doing = format!("reading {}: ", objects[object].location);
                let reason = said.strip_prefix(&doing).unwrap_or(&said);
                let reason = format!("{reason}; others can be read");
                return Ok(Unreadable { format: "denied".to_owned(), reason });
            }
        }
        Err(error)
    }

    /// The object that was read last, and some from all over the listing.
    fn others(&self, objects: &[SourceObject], object: usize) -> Vec<usize> {
        let is_asked = |other: &usize| *other != object && objects[*other].unreadable.is_none();
        let known = Some(self.read_last.load(Ordering::Relaxed)).filter(|last| *last < NONE);
        let candidates: Vec<usize> = (0..objects.len()).filter(is_asked).collect();
        let step = candidates.len().div_ceil(ASKED_MAX).max(1);
        known.into_iter().chain(candidates.into_iter().step_by(step)).filter(is_asked).collect()
    }
}
