//! Retried reads: resumed where they broke off, with a range request.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, try_unfold};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, GetResult, GetResultPayload, Result};

use super::{Operation, RetryStore, Tries};

/// Bytes that came by some tries after which the next break is met with fresh ones: however long
/// the object, it is read, and however flawed the line, there is an end.
const RENEWING_BYTES: u64 = 1 << 20;

/// A read that is under way.
struct Read {
    store: RetryStore,
    location: Path,
    /// What to ask for the rest by; none if it could not be told from another object's.
    options: Option<GetOptions>,
    stream: BoxStream<'static, Result<Bytes>>,
    /// What was not read yet.
    rest: Range<u64>,
    /// The tries since a break, and the bytes that came by them.
    tries: Option<(Tries, u64)>,
}

impl RetryStore {
    /// Lets the body of a read go on where it breaks off.
    pub(super) fn resume_read(&self, options: GetOptions, got: GetResult) -> GetResult {
        let GetResultPayload::Stream(stream) = got.payload else { return got };
        let by_e_tag = |e_tag: &String| GetOptions {
            if_match: Some(e_tag.clone()),
            version: options.version.clone(),
            extensions: options.extensions.clone(),
            ..GetOptions::default()
        };
        let read = Read {
            store: self.clone(),
            location: got.meta.location.clone(),
            options: got.meta.e_tag.as_ref().map(by_e_tag),
            stream,
            rest: got.range.clone(),
            tries: None,
        };
        let stream = try_unfold(read, Read::next).boxed();
        GetResult { payload: GetResultPayload::Stream(stream), ..got }
    }
}

impl Read {
    /// The next chunk, and what is after it.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            let error = match self.stream.next().await {
                Some(Ok(chunk)) => {
                    self.count(chunk.len() as u64)?;
                    return Ok(Some((chunk, self)));
                }
                None if self.rest.is_empty() => return Ok(None),
                None => self.broken(io::ErrorKind::UnexpectedEof, "the body ended too early"),
                Some(Err(error)) => error,
            };
            self.reopen(error).await?;
        }
    }

    fn count(&mut self, bytes: u64) -> Result<()> {
        if bytes > self.rest.end - self.rest.start {
            return Err(self.broken(io::ErrorKind::InvalidData, "more bytes than were asked for"));
        }
        self.rest.start += bytes;
        if let Some((tries, since)) = &mut self.tries {
            *since += bytes;
            tries.got_on();
        }
        Ok(())
    }

    /// Asks for the rest after a break.
    async fn reopen(&mut self, error: Error) -> Result<()> {
        // Gives the connection back, and the place among the requests in flight.
        self.stream = futures::stream::empty().boxed();
        let Some(options) = &self.options else { return Err(error) };
        let old = self.tries.take().filter(|(_, since)| *since < RENEWING_BYTES);
        let new = || (self.store.retries.begin(Operation::Get), 0);
        let (mut tries, since) = old.unwrap_or_else(new);
        let mut error = error;
        loop {
            tries.after(error).await?;
            let range = Some(GetRange::Bounded(self.rest.clone()));
            let options = GetOptions { range, ..options.clone() };
            match self.store.inner.store().get_opts(&self.location, options).await {
                Ok(got) => {
                    if got.meta.e_tag != self.options.as_ref().and_then(|o| o.if_match.clone()) {
                        return Err(self.changed());
                    }
                    self.stream = got.into_stream();
                    self.tries = Some((tries, since));
                    return Ok(());
                }
                Err(again) => error = again,
            }
        }
    }

    fn broken(&self, kind: io::ErrorKind, said: &str) -> Error {
        let Range { start, end } = self.rest;
        let said = format!("{said}: bytes {start} to {end} of {} are missing", self.location);
        Error::Generic { store: "retried", source: io::Error::new(kind, said).into() }
    }

    fn changed(&self) -> Error {
        let source = "another e-tag than when the read began".into();
        Error::Precondition { path: self.location.to_string(), source }
    }
}
