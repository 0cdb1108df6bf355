//! Retried listings: resumed after the last name.

use futures::stream::{BoxStream, StreamExt, try_unfold};
use object_store::path::Path;
use object_store::{ObjectMeta, Result};

use super::super::noncanonical_names::{is_escaped_path, name_of_path};
use super::{Operation, RetryStore, Tries};

/// Names that came by some tries after which the next break is met with fresh ones.
const RENEWING_NAMES: u32 = 1000;

/// A listing that is under way.
struct ResumedListing {
    store: RetryStore,
    prefix: Option<Path>,
    /// What the next names come after, at first the caller's offset.
    after: Option<Path>,
    /// Whether all names came in their order, as they do but of S3's directory buckets.
    is_ordered: bool,
    stream: BoxStream<'static, Result<ObjectMeta>>,
    /// The tries since a break, and the names that came by them.
    tries: Option<(Tries, u32)>,
}

impl RetryStore {
    /// Lists the names of a prefix after another name.
    pub(super) fn list_behind(
        &self,
        prefix: Option<&Path>,
        after: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let mut listing = ResumedListing {
            store: self.clone(),
            prefix: prefix.cloned(),
            after: after.cloned(),
            is_ordered: true,
            stream: futures::stream::empty().boxed(),
            tries: None,
        };
        listing.open();
        try_unfold(listing, ResumedListing::next).boxed()
    }
}

impl ResumedListing {
    fn open(&mut self) {
        // The broken one first gives back its permit among the requests in flight.
        self.stream = futures::stream::empty().boxed();
        let (store, prefix) = (self.store.inner.store(), self.prefix.as_ref());
        self.stream = match &self.after {
            None => store.list(prefix),
            Some(after) => store.list_with_offset(prefix, after),
        };
    }

    /// The next object, and what is after it.
    async fn next(mut self) -> Result<Option<(ObjectMeta, Self)>> {
        loop {
            match self.stream.next().await {
                None => return Ok(None),
                Some(Ok(object)) => {
                    self.note(&object.location);
                    return Ok(Some((object, self)));
                }
                Some(Err(error)) if !self.is_ordered => return Err(error),
                Some(Err(error)) => {
                    let old = self.tries.take().filter(|(_, since)| *since < RENEWING_NAMES);
                    let new = || (self.store.retries.begin(Operation::List), 0);
                    let (mut tries, since) = old.unwrap_or_else(new);
                    tries.after(error).await?;
                    self.tries = Some((tries, since));
                    self.open();
                }
            }
        }
    }

    fn note(&mut self, name: &Path) {
        let is_after = |after: &Path| match is_escaped_path(name) || is_escaped_path(after) {
            true => name_of_path(name) > name_of_path(after),
            false => name > after,
        };
        self.is_ordered &= self.after.as_ref().is_none_or(is_after);
        self.after = Some(name.clone());
        if let Some((tries, since)) = &mut self.tries {
            *since += 1;
            tries.got_on();
        }
    }
}
