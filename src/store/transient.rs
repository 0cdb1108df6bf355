//! Classifies failures as transient or permanent.
//!
//! The cloud clients' own errors keep a response's status and headers to themselves. So a service
//! below the clients turns every response that may be another the next time into a
//! [`TransientResponse`], an error that comes out above them as the cause of theirs:
//!
//! ```text
//! 503, Retry-After: 2 ─► TransientResponse { status: 503, retry_after: 2 s }
//!                     ─► the client's Error::Generic
//!                     ─► transient() = Some(Transient { retry_after: 2 s })
//! ```

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};
use object_store::{ClientOptions, Error, HeaderMap, Result};

use super::listed_names::{escape_listed_names, is_listing};

/// A response that may be another the next time, as 503.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer was {status}: {body}")]
pub(super) struct TransientResponse {
    /// The HTTP status. Some stores respond 200 and put an error into the body.
    pub status: u16,
    /// How long the store asks to be left alone.
    pub retry_after: Option<Duration>,
    /// What it said, cut to a length that can be read.
    pub body: String,
}

/// A failure that a retry may get over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Transient {
    /// How long the store asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Whether a retry may get over an error: a [`TransientResponse`], or a connection that was
/// refused, was lost or took too long.
pub(super) fn transient(error: &Error) -> Option<Transient> {
    let Error::Generic { source, .. } = error else { return None };
    let mut cause: Option<&(dyn StdError + 'static)> = Some(source.as_ref());
    let mut found = None;
    while let Some(inner) = cause {
        if let Some(response) = inner.downcast_ref::<TransientResponse>() {
            return Some(Transient { retry_after: response.retry_after });
        }
        if is_unsendable(inner) {
            return None;
        }
        let is_lost = inner.is::<HttpError>()
            || inner.downcast_ref::<std::io::Error>().is_some_and(is_lost_connection);
        if is_lost {
            found = Some(Transient::default());
        }
        cause = inner.source();
    }
    found
}

/// Whether a request could not even be made, as for a URL that is none or that the client must not
/// ask without TLS: that is for the author of the configuration.
pub(super) fn is_unsendable(error: &(dyn StdError + 'static)) -> bool {
    // The client below is another crate's, and all that it lets out is its words.
    error.to_string().starts_with("builder error")
}

fn is_lost_connection(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BrokenPipe
            | ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::TimedOut
            | ErrorKind::UnexpectedEof
    )
}

/// Makes clients whose transient responses come out as [`TransientResponse`]s.
#[derive(Debug, Default)]
pub(super) struct ClassifyingConnector;

impl HttpConnector for ClassifyingConnector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(ClassifyingService(client)))
    }
}

#[derive(Debug)]
struct ClassifyingService(HttpClient);

#[async_trait]
impl HttpService for ClassifyingService {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let may_err_with_200 = may_err_with_200(&request);
        let is_listing = is_listing(&request);
        let response = self.0.execute(request).await?;
        let status = response.status().as_u16();
        if status == 200 && is_listing {
            let (head, body) = response.into_parts();
            let body = escape_listed_names(body.bytes().await?);
            return Ok(HttpResponse::from_parts(head, HttpResponseBody::from(body)));
        }
        if status < 400 && !(status == 200 && may_err_with_200) {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        let body = body.bytes().await?;
        if is_transient(status, &String::from_utf8_lossy(&body)) {
            let retry_after = retry_after(&head.headers);
            let response = TransientResponse { status, retry_after, body: readable(&body) };
            // Of a kind that the client does not retry by itself.
            return Err(HttpError::new(HttpErrorKind::Unknown, response));
        }
        Ok(HttpResponse::from_parts(head, HttpResponseBody::from(body)))
    }
}

/// S3 begins to answer copies and ends of uploads before they are done.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>
fn may_err_with_200(request: &HttpRequest) -> bool {
    let ends_upload = request.method().as_str() == "POST"
        && request.uri().query().is_some_and(|query| query.contains("uploadId="));
    ends_upload || request.headers().contains_key("x-amz-copy-source")
}

/// 409 is a conflict with another write under way on S3, but an object that is there on Azure.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
fn is_transient(status: u16, body: &str) -> bool {
    let says = |codes: &[&str]| codes.iter().any(|code| body.contains(&format!("<Code>{code}<")));
    match status {
        // Also of Cloudflare, which stands before R2: 520 to 530.
        408 | 429 | 500 | 502..=504 | 509 | 520..=530 => true,
        200 => says(&["InternalError", "SlowDown", "ServiceUnavailable"]),
        400 => says(&["RequestTimeout"]),
        409 => says(&["ConditionalRequestConflict", "OperationAborted"]),
        _ => false,
    }
}

/// Seconds, or a date, which is held against the response's own.
/// <https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let after = text("retry-after")?.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| DateTime::parse_from_rfc2822(text).ok();
    (date(after)? - date(text("date")?)?).to_std().ok()
}

const BODY_CHARS_MAX: usize = 300;

fn readable(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(BODY_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use object_store::aws::{AmazonS3, AmazonS3Builder};
    use object_store::client::HttpRequestBody;
    use object_store::path::Path;
    use object_store::{ObjectStoreExt, RetryConfig};

    use super::*;

    /// Gives the same response to whatever is asked.
    #[derive(Debug, Clone, Copy)]
    struct Fixed {
        status: u16,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
    }

    #[async_trait]
    impl HttpService for Fixed {
        async fn call(&self, _: HttpRequest) -> Result<HttpResponse, HttpError> {
            let mut response = HttpResponse::new(self.body.to_owned().into());
            *response.status_mut() = self.status.try_into().unwrap();
            for (name, value) in self.headers {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            Ok(response)
        }
    }

    fn fixed(status: u16, body: &'static str) -> Fixed {
        Fixed { status, headers: &[], body }
    }

    async fn ask(fixed: Fixed, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        ClassifyingService(HttpClient::new(fixed)).call(request).await
    }

    async fn passes(status: u16, body: &'static str) -> bool {
        ask(fixed(status, body), HttpRequest::new(HttpRequestBody::empty())).await.is_err()
    }

    #[tokio::test]
    async fn answers_that_pass_become_errors_and_the_others_stay_as_they_are() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert!(passes(status, "").await, "{status}");
        }
        for status in [200, 206, 304, 400, 401, 403, 404, 409, 412, 416, 501] {
            assert!(!passes(status, "").await, "{status}");
        }
        assert!(passes(409, "<Error><Code>ConditionalRequestConflict</Code></Error>").await);
        assert!(!passes(409, "<Error><Code>BlobAlreadyExists</Code></Error>").await);
        assert!(passes(400, "<Error><Code>RequestTimeout</Code></Error>").await);
        let request = HttpRequest::new(HttpRequestBody::empty());
        let kept = ask(fixed(404, "<Code>NoSuchKey</Code>"), request).await.unwrap();
        assert_eq!(kept.into_body().bytes().await.unwrap(), "<Code>NoSuchKey</Code>");
    }

    #[tokio::test]
    async fn an_error_within_200_is_one_where_s3_does_that_and_data_elsewhere() {
        let body = "<Error><Code>InternalError</Code></Error>";
        let mut complete = HttpRequest::new(HttpRequestBody::empty());
        *complete.method_mut() = "POST".parse().unwrap();
        *complete.uri_mut() = "http://s3/bucket/key?uploadId=1".parse().unwrap();
        assert!(ask(fixed(200, body), complete.clone()).await.is_err());
        let done = "<CompleteMultipartUploadResult/>";
        assert!(ask(fixed(200, done), complete).await.is_ok());
        let mut copy = HttpRequest::new(HttpRequestBody::empty());
        copy.headers_mut().insert("x-amz-copy-source", "bucket/key".parse().unwrap());
        assert!(ask(fixed(200, body), copy).await.is_err());
        assert!(!passes(200, body).await, "an object may hold such text");
    }

    #[derive(Debug)]
    struct FixedConnector(Fixed);

    impl HttpConnector for FixedConnector {
        fn connect(&self, _: &ClientOptions) -> Result<HttpClient> {
            Ok(HttpClient::new(ClassifyingService(HttpClient::new(self.0))))
        }
    }

    fn s3_that_answers(fixed: Fixed) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_skip_signature(true)
            .with_http_connector(FixedConnector(fixed))
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .unwrap()
    }

    async fn passing_of(fixed: Fixed) -> Option<Transient> {
        transient(&s3_that_answers(fixed).head(&Path::from("key")).await.unwrap_err())
    }

    #[tokio::test]
    async fn what_the_store_asks_for_comes_out_above_the_client() {
        let seconds = Fixed { headers: &[("retry-after", "7")], ..fixed(429, "") };
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(passing_of(seconds).await, Some(Transient { retry_after }));
        let headers = &[
            ("date", "Sat, 21 Nov 2026 08:00:00 GMT"),
            ("retry-after", "Sat, 21 Nov 2026 08:00:07 GMT"),
        ];
        let date = Fixed { headers, ..fixed(503, "") };
        assert_eq!(passing_of(date).await, Some(Transient { retry_after }));
        let past = Fixed { headers: &[("retry-after", "soon")], ..fixed(503, "") };
        assert_eq!(passing_of(past).await, Some(Transient::default()));
        assert_eq!(passing_of(fixed(404, "")).await, None);
        assert_eq!(passing_of(fixed(403, "")).await, None);
    }

    #[test]
    fn a_lost_connection_passes_and_a_missing_object_does_not() {
        let lost = |kind: ErrorKind| Error::Generic {
            store: "S3",
            source: std::io::Error::from(kind).into(),
        };
        assert_eq!(transient(&lost(ErrorKind::ConnectionReset)), Some(Transient::default()));
        assert_eq!(transient(&lost(ErrorKind::TimedOut)), Some(Transient::default()));
        assert_eq!(transient(&lost(ErrorKind::PermissionDenied)), None);
        let source = "gone".into();
        assert_eq!(transient(&Error::NotFound { path: String::new(), source }), None);
    }
}
