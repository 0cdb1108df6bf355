//! What a store's error means to the caller.

use std::error::Error as StdError;
use std::io;
use std::io::ErrorKind::PermissionDenied;

use object_store::Error as Failure;

use super::retry::GaveUp;
use super::transient::is_unsendable;
use crate::base::error::Error;
use crate::base::fs::is_of_no_use;

/// Turns a store's error into one of ours; `doing` says what was being done to which object, such
/// as `reading s3://logs/a.gz`.
///
/// | what the store says | becomes | a retry |
/// |---|---|---|
/// | access denied, bad credentials | [`Error::Config`] | does not help |
/// | no such bucket or container, unusable name | [`Error::Config`] | does not help |
/// | a path that goes through a file or in a circle | [`Error::Config`] | does not help |
/// | the object is not there (any more) | [`Error::Unavailable`] | lists the source anew |
/// | the object changed while it was read | [`Error::Unavailable`] | reads it anew |
/// | a wrong region or endpoint, an unsendable request | [`Error::Config`] | does not help |
/// | anything else, as 5xx after all tries | [`Error::Unavailable`] | may help |
pub fn store_error(doing: &str, error: &Failure) -> Error {
    if let Some(gave_up) = gave_up(error) {
        let said = in_one_line(&gave_up.last.to_string());
        let tried = gave_up.tried();
        return Error::Unavailable(format!("{doing}: {said}; {tried}; a retry may help"));
    }
    let said = in_one_line(&error.to_string());
    match error {
        Failure::PermissionDenied { .. } | Failure::Unauthenticated { .. } => {
            access_denied(doing, &said)
        }
        _ if system_error(error).is_some_and(|system| system.kind() == PermissionDenied) => {
            access_denied(doing, &said)
        }
        _ if system_error(error).is_some_and(is_of_no_use) => {
            Error::config(format!("{doing}: {said}; give it a path that can be one"))
        }
        _ if is_unsendable_request(error) => Error::config(format!(
            "{doing}: the request cannot be sent ({said}); check the endpoint's URL in the \
             environment (AWS_ENDPOINT, GOOGLE_BASE_URL, AZURE_STORAGE_ENDPOINT), that its scheme \
             may be used (`http://` needs AWS_ALLOW_HTTP, GOOGLE_ALLOW_HTTP or AZURE_ALLOW_HTTP = \
             true), and any proxy's URL"
        )),
        _ if is_missing_bucket(&said) => Error::config(format!(
            "{doing}: there is no such bucket or container; check the location ({said})"
        )),
        _ if is_elsewhere(&said) => Error::config(format!(
            "{doing}: the bucket is elsewhere; check the region and the endpoint ({said})"
        )),
        Failure::NotFound { .. } => Error::Unavailable(format!(
            "{doing}: expected an object, found none (any more); a retry lists the source anew"
        )),
        Failure::Precondition { .. } => Error::Unavailable(format!(
            "{doing}: expected the object as it was listed, found another: it changed meanwhile; \
             a retry lists the source anew"
        )),
        Failure::InvalidPath { .. }
        | Failure::NotSupported { .. }
        | Failure::NotImplemented { .. }
        | Failure::UnknownConfigurationKey { .. } => Error::config(format!("{doing}: {said}")),
        _ => Error::Unavailable(format!("{doing}: {said}; a retry may help")),
    }
}

fn access_denied(doing: &str, said: &str) -> Error {
    Error::config(format!(
        "{doing}: access is denied; check the credentials and the permissions ({said})"
    ))
}

/// Local files' errors keep the system's error inside.
fn system_error(error: &Failure) -> Option<&io::Error> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(system) = inner.downcast_ref::<io::Error>() {
            return Some(system);
        }
        cause = inner.source();
    }
    None
}

/// Whether the request could not even be made.
fn is_unsendable_request(error: &Failure) -> bool {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(inner) = cause {
        if is_unsendable(inner) {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// The codes of S3 and GCS (`NoSuchBucket`) and of Azure (`ContainerNotFound`).
fn is_missing_bucket(said: &str) -> bool {
    said.contains("NoSuchBucket") || said.contains("ContainerNotFound")
}

/// S3's words for a wrong region, and the client's for a response that says no place to go to.
fn is_elsewhere(said: &str) -> bool {
    let words = ["PermanentRedirect", "AuthorizationHeaderMalformed", "redirect without LOCATION"];
    words.iter().any(|word| said.contains(word))
}

/// How it was tried before it was given up.
fn gave_up(error: &Failure) -> Option<&GaveUp> {
    match error {
        Failure::Generic { source, .. } => source.downcast_ref(),
        _ => None,
    }
}

const SAID_CHARS_MAX: usize = 600;

/// Stores answer in many lines of XML.
fn in_one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SAID_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn exit_code_of(error: &Failure) -> u8 {
        store_error("reading s3://logs/a.gz", error).exit_code()
    }

    #[test]
    fn denied_access_and_a_missing_bucket_are_for_the_author_of_the_configuration() {
        let path = || "a.gz".to_owned();
        assert_eq!(
            exit_code_of(&Failure::PermissionDenied { path: path(), source: "no".into() }),
            78
        );
        assert_eq!(
            exit_code_of(&Failure::Unauthenticated { path: path(), source: "no".into() }),
            78
        );
        let body = "<Error>\n <Code>NoSuchBucket</Code>\n</Error>";
        let missing = Failure::NotFound { path: path(), source: body.into() };
        let error = store_error("listing s3://logs", &missing);
        assert_eq!(error.exit_code(), 78);
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(exit_code_of(&Failure::Generic { store: "x", source: denied.into() }), 78);
        let below_a_file = io::Error::from_raw_os_error(nix::libc::ENOTDIR);
        assert_eq!(exit_code_of(&Failure::Generic { store: "x", source: below_a_file.into() }), 78);
    }

    #[test]
    fn what_may_pass_is_for_a_retry_and_names_the_object() {
        let path = || "a.gz".to_owned();
        let passing = [
            Failure::NotFound { path: path(), source: "404".into() },
            Failure::Precondition { path: path(), source: "412".into() },
            Failure::Generic { store: "S3", source: "503".into() },
        ];
        for failure in passing {
            let error = store_error("reading s3://logs/a.gz", &failure);
            assert_eq!(error.exit_code(), 75, "{error}");
            assert!(error.to_string().starts_with("reading s3://logs/a.gz: "), "{error}");
            assert!(error.to_string().contains("retry"), "{error}");
        }
    }

    #[test]
    fn what_was_given_up_says_how_it_was_tried_and_that_a_retry_may_help() {
        let last = Failure::Generic { store: "S3", source: "503 slow down".into() };
        let time = Duration::from_millis(61_200);
        let gave_up = |retry_after, last| {
            let gave_up = GaveUp { tries: 9, time, retry_after, last };
            Failure::Generic { store: "retried", source: Box::new(gave_up) }
        };
        let error = store_error("writing s3://tables/a", &gave_up(None, last));
        assert_eq!(error.exit_code(), 75);
        let expected = "writing s3://tables/a: Generic S3 error: 503 slow down; \
                        tried 9 times in 61 s; a retry may help";
        assert_eq!(error.to_string(), expected);
        let long = Failure::Generic { store: "S3", source: "é".repeat(5000).into() };
        let error = store_error("x", &gave_up(Some(Duration::from_secs(120)), long)).to_string();
        let end = "tried 9 times in 61 s, and the store asks to be left alone for 120 s; \
                   a retry may help";
        assert!(error.ends_with(end), "{error}");
    }

    #[test]
    fn a_bucket_in_another_region_is_for_the_author_of_the_configuration() {
        let body = "<Error><Code>PermanentRedirect</Code></Error>";
        assert_eq!(exit_code_of(&Failure::Generic { store: "S3", source: body.into() }), 78);
    }

    #[test]
    fn a_long_answer_is_cut() {
        let long = Failure::Generic { store: "S3", source: "é".repeat(5000).into() };
        assert!(store_error("x", &long).to_string().chars().count() < 700);
    }
}
