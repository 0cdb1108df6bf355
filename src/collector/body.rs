//! A request's body: read within one size limit, decompressed within another.

use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Bytes};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::shares::{FairShares, Share};

/// Bytes that unpacking may remember at most: 2 to the power of this (8 MiB, RFC 8878's advice).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// Names of what has an object on each line; none of them is registered.
const NDJSON_KINDS: [&str; 3] = ["application/x-ndjson", "application/ndjson", "application/jsonl"];

/// Why a body is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub status: StatusCode,
    pub error: String,
}

fn refused(status: StatusCode, error: impl Into<String>) -> Refused {
    Refused { status, error: error.into() }
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentEncoding {
    None,
    Gzip,
    Zstd,
}

/// What a request's head says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyKind {
    pub encoding: ContentEncoding,
    /// Whether each line stands for itself.
    pub is_ndjson: bool,
}

/// Reads what a head says of the body.
pub(super) fn body_kind(headers: &HeaderMap) -> Result<BodyKind, Refused> {
    let unsupported = |error: String| refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
    // What is no text is none of these names either.
    let text = |name| headers.get(name).map_or("", |value| value.to_str().unwrap_or("?"));
    let is_one_of =
        |text: &str, names: &[&str]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
    let kind = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let is_ndjson = is_one_of(kind, &NDJSON_KINDS);
    if !is_ndjson && !is_one_of(kind, &["application/json", "text/plain", ""]) {
        return Err(unsupported(format!(
            "expected application/json, text/plain or application/x-ndjson, found {kind}"
        )));
    }
    let encoding = match text(CONTENT_ENCODING).trim() {
        text if is_one_of(text, &["", "identity"]) => ContentEncoding::None,
        text if is_one_of(text, &["gzip", "x-gzip"]) => ContentEncoding::Gzip,
        text if is_one_of(text, &["zstd"]) => ContentEncoding::Zstd,
        other => return Err(unsupported(format!("expected gzip or zstd, found {other}"))),
    };
    Ok(BodyKind { encoding, is_ndjson })
}

/// How bodies are taken; clones share the memory.
#[derive(Debug, Clone)]
pub(super) struct BodyTaker {
    bytes_max: usize,
    time_max: Duration,
    /// The memory for the bytes of all bodies that are here.
    memory: Arc<FairShares>,
}

/// A body, and the memory that it takes.
#[derive(Debug)]
pub(super) struct TakenBody {
    pub bytes: Bytes,
    pub memory: Share,
    /// Bytes as it was sent.
    pub sent: usize,
}

impl BodyTaker {
    /// Takes bodies of at most `bytes_max` bytes, as sent and unpacked, within `time_max`; those
    /// that are here at a time have `memory_bytes` in all, which their clients share.
    pub fn new(bytes_max: usize, time_max: Duration, memory_bytes: usize) -> Self {
        BodyTaker { bytes_max, time_max, memory: FairShares::new(memory_bytes) }
    }

    /// Takes bodies of other bounds in the same memory.
    pub fn with_bounds(&self, bytes_max: usize, time_max: Duration) -> Self {
        BodyTaker { bytes_max, time_max, memory: Arc::clone(&self.memory) }
    }

    /// Takes a client's body. It takes memory only for what has arrived: who sends nothing keeps
    /// nobody out.
    pub async fn take<B>(
        &self,
        client: IpAddr,
        body: B,
        encoding: ContentEncoding,
    ) -> Result<TakenBody, Refused>
    where
        B: HttpBody<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let time_max = self.time_max;
        let taken = match tokio::time::timeout(time_max, self.collect(client, body)).await {
            Ok(taken) => taken?,
            Err(_) => {
                let error = format!("the body did not arrive within {time_max:?}");
                return Err(refused(StatusCode::REQUEST_TIMEOUT, error));
            }
        };
        if encoding == ContentEncoding::None {
            return Ok(taken);
        }
        // Nothing is waited for from here on, so the most that it may be is held but briefly.
        let mut memory = self.memory.begin(client);
        grow(&mut memory, self.bytes_max)?;
        let bytes = unpack(&taken.bytes, encoding, self.bytes_max)?;
        memory.shrink_to(bytes.len());
        Ok(TakenBody { bytes: Bytes::from(bytes), memory, sent: taken.sent })
    }

    async fn collect<B>(&self, client: IpAddr, body: B) -> Result<TakenBody, Refused>
    where
        B: HttpBody<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        // Its head may say so: then nobody sends, and waits for, what would be refused.
        if body.size_hint().lower() > self.bytes_max as u64 {
            return Err(too_large(self.bytes_max));
        }
        let body = Limited::new(body, self.bytes_max);
        let mut body = std::pin::pin!(body);
        // Nearly all come in one piece, which is taken as it is.
        let memory = self.memory.begin(client);
        let mut taken = TakenBody { bytes: Bytes::new(), memory, sent: 0 };
        let mut joined = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
                true => too_large(self.bytes_max),
                false => refused(StatusCode::BAD_REQUEST, format!("reading the body: {error}")),
            })?;
            if let Ok(bytes) = frame.into_data() {
                grow(&mut taken.memory, bytes.len())?;
                taken.sent += bytes.len();
                if taken.bytes.is_empty() && joined.is_empty() {
                    taken.bytes = bytes;
                    continue;
                }
                joined.extend_from_slice(&std::mem::take(&mut taken.bytes));
                joined.extend_from_slice(&bytes);
            }
        }
        if !joined.is_empty() {
            taken.bytes = Bytes::from(joined);
        }
        Ok(taken)
    }
}

fn grow(memory: &mut Share, bytes: usize) -> Result<(), Refused> {
    let too_many = "too many large bodies at a time";
    match memory.grow(bytes) {
        true => Ok(()),
        false => Err(refused(StatusCode::SERVICE_UNAVAILABLE, too_many)),
    }
}

fn too_large(bytes_max: usize) -> Refused {
    let error = format!("expected a body of at most {bytes_max} bytes, unpacked too");
    refused(StatusCode::PAYLOAD_TOO_LARGE, error)
}

fn unpack(bytes: &[u8], encoding: ContentEncoding, bytes_max: usize) -> Result<Vec<u8>, Refused> {
    let wrong = |name: &str, error: std::io::Error| {
        refused(StatusCode::BAD_REQUEST, format!("expected a {name} body: {error}"))
    };
    match encoding {
        ContentEncoding::None => Ok(bytes.to_vec()),
        ContentEncoding::Gzip => {
            let gzip = flate2::read::MultiGzDecoder::new(bytes);
            read_bounded(gzip, bytes_max, |error| wrong("gzip", error))
        }
        ContentEncoding::Zstd => {
            let mut zstd = zstd::Decoder::new(bytes).map_err(|error| wrong("zstd", error))?;
            zstd.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| wrong("zstd", error))?;
            read_bounded(zstd, bytes_max, |error| wrong("zstd", error))
        }
    }
}

fn read_bounded(
    reader: impl Read,
    bytes_max: usize,
    wrong: impl FnOnce(std::io::Error) -> Refused,
) -> Result<Vec<u8>, Refused> {
    let mut unpacked = Vec::new();
    // One byte more tells what is too long from what is just as long as it may be.
    reader.take(bytes_max as u64 + 1).read_to_end(&mut unpacked).map_err(wrong)?;
    if unpacked.len() > bytes_max { Err(too_large(bytes_max)) } else { Ok(unpacked) }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
