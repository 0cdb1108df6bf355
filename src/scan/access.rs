//! Tells one object that may not be read from a store that may not be read at all.
//!
//! A store says 403 for both: to whoever has the wrong credentials, of all objects; and of a single
//! one that belongs to another account, or whose key is withheld. So another object is asked for.

use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::{GetOptions, GetRange, ObjectStore};

use super::decompress::Unreadable;
use super::list::SourceObject;
use crate::base::error::{Diagnostic, Error};

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
    /// One that is read alone, or only with others that are denied as well, cannot be told from a
    /// store whose credentials are wrong: to leave it out would publish an empty table.
    ///
    /// # Errors
    /// `error`, with how many others were denied as well.
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
        let others = self.others(objects, object);
        for other in &others {
            let options =
                GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
            if store.get_opts(&objects[*other].path, options).await.is_ok() {
                let said = error.to_string();
                let doing = format!("reading {}: ", objects[object].location);
                let reason = said.strip_prefix(&doing).unwrap_or(&said);
                let reason = format!("{reason}; others can be read");
                return Ok(Unreadable { format: "denied".to_owned(), reason });
            }
        }
        Err(denied_alone(error, others.len()))
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

/// The error of an object beside which no other could be read, `asked` of which were.
fn denied_alone(error: Error, asked: usize) -> Error {
    let Error::Config(found) = error else { return error };
    let help = match asked {
        0 => "it is the only object that is read here, so that it cannot be told whether all of \
              the store is denied: let these credentials read it, or leave it out by `glob`"
            .to_owned(),
        asked => format!(
            "of {asked} others that were asked for none can be read either: let these credentials \
             read them, or leave them out by `glob`"
        ),
    };
    let with_help = |fault: Diagnostic| match fault.help {
        Some(_) => fault,
        None => fault.help(help.as_str()),
    };
    Error::Config(found.into_iter().map(with_help).collect())
}
