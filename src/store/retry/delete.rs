//! Retried deletions: of a batch, only what failed is deleted again.

use futures::stream::{BoxStream, StreamExt, TryStreamExt, iter};
use object_store::path::Path;
use object_store::{Error, Result};

use super::{Operation, RetryStore};
use crate::store::transient::transient;

/// Objects that are deleted by one call: what S3 takes in one request.
const NAMES_PER_CALL: usize = 1000;

/// Calls under way at once.
const CALLS_MAX: usize = 4;

impl RetryStore {
    /// Deletes objects; what each came to is told in their order. An error of a whole call is told
    /// once, in the place of the first object that it left.
    pub(super) fn delete_all(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let calls = locations.try_chunks(NAMES_PER_CALL).map(move |names| {
            let store = store.clone();
            async move {
                match names {
                    Ok(names) => store.delete_some(names).await,
                    Err(error) => vec![Err(error.1)],
                }
            }
        });
        calls.buffered(CALLS_MAX).flat_map(iter).boxed()
    }

    async fn delete_some(&self, names: Vec<Path>) -> Vec<Result<Path>> {
        let mut told: Vec<Option<Result<Path>>> = names.iter().map(|_| None).collect();
        let mut tries = self.retries.begin(Operation::Delete);
        loop {
            let left: Vec<usize> = (0..names.len()).filter(|at| told[*at].is_none()).collect();
            let asked: Vec<Result<Path>> = left.iter().map(|at| Ok(names[*at].clone())).collect();
            let results = self.inner.store().delete_stream(iter(asked).boxed());
            let results: Vec<Result<Path>> = results.collect().await;
            let error = if results.len() == left.len() {
                tell_each(&mut told, &left, results, tries.is_retry(), &names)
            } else {
                tell_some(&mut told, &left, results, &names)
            };
            let Some(error) = error else { break };
            // Deleting again does no harm; so whatever the store has no clear word for is tried.
            let transient = transient(&error);
            let is_generic = matches!(error, Error::Generic { .. });
            let again = match transient.or(is_generic.then(Default::default)) {
                Some(transient) => tries.after_transient(error, transient).await,
                None => Err(error),
            };
            if let Err(error) = again {
                if let Some(place) = told.iter_mut().find(|told| told.is_none()) {
                    *place = Some(Err(error));
                }
                break;
            }
        }
        told.into_iter().flatten().collect()
    }
}

/// Takes down results of which each is that for one object, in their order; the error, if there
/// is one, is that for those that are left.
fn tell_each(
    told: &mut [Option<Result<Path>>],
    left: &[usize],
    results: Vec<Result<Path>>,
    is_retry: bool,
    names: &[Path],
) -> Option<Error> {
    let mut generic = None;
    for (at, result) in left.iter().zip(results) {
        match result {
            Ok(name) => told[*at] = Some(Ok(name)),
            Err(Error::NotFound { .. }) if is_retry => told[*at] = Some(Ok(names[*at].clone())),
            Err(error @ Error::Generic { .. }) => generic = Some(error),
            Err(error) => told[*at] = Some(Err(error)),
        }
    }
    generic
}

/// Takes down results of which an error may be that for many objects.
fn tell_some(
    told: &mut [Option<Result<Path>>],
    left: &[usize],
    results: Vec<Result<Path>>,
    names: &[Path],
) -> Option<Error> {
    let mut whole = None;
    for result in results {
        match result {
            Ok(name) => {
                let at = left.iter().find(|at| names[**at] == name && told[**at].is_none());
                if let Some(at) = at {
                    told[*at] = Some(Ok(name));
                }
            }
            Err(error) => whole = whole.or(Some(error)),
        }
    }
    if whole.is_none() && left.iter().any(|at| told[*at].is_none()) {
        let source = "the store did not say of all objects whether it deleted them".into();
        whole = Some(Error::Generic { store: "retried", source });
    }
    whole
}
