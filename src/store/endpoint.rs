//! Where a cloud's client is told to ask, and what makes that of no use: such a fault of the
//! configuration is told at once, with the variable that it is in, and not tried again.

use std::error::Error as StdError;

use object_store::Error as Failure;
use url::Url;

use crate::base::environment::Environment;
use crate::base::location::Cloud;

/// The variables that name an endpoint, and those that allow one without TLS.
const ENDPOINTS: [(Cloud, &[&str], &[&str]); 3] = [
    (Cloud::S3, &["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"], &["AWS_ALLOW_HTTP"]),
    (Cloud::Google, &["GOOGLE_BASE_URL"], &["GOOGLE_ALLOW_HTTP"]),
    (
        Cloud::Azure,
        &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"],
        &["AZURE_ALLOW_HTTP", "AZURE_STORAGE_USE_EMULATOR"],
    ),
];

/// Refuses an endpoint that no request could be sent to, by the variable that names it.
pub(super) fn check_endpoint(cloud: Cloud, environment: &Environment) -> Result<(), String> {
    let own = ENDPOINTS.into_iter().filter(|(of, ..)| *of == cloud);
    for (_, names, allowing) in own {
        let is_allowed = || {
            let values = allowing.iter().filter_map(|name| environment.get(name));
            values.into_iter().any(is_true)
        };
        for name in names {
            let Some(text) = environment.get(name).filter(|text| !text.is_empty()) else {
                continue;
            };
            match Url::parse(text).ok().filter(Url::has_host).as_ref().map(Url::scheme) {
                Some("https") => {}
                Some("http") if is_allowed() => {}
                Some("http") => {
                    return Err(format!(
                        "environment variable {name} is `{text}`, which is without TLS; set {} = \
                         true to allow that",
                        allowing[0]
                    ));
                }
                _ => {
                    return Err(format!(
                        "environment variable {name}: expected a URL such as https://host:9000, \
                         found `{text}`"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// As the clouds' clients read it.
pub(super) fn is_true(text: &str) -> bool {
    ["1", "true", "on", "yes", "y"].contains(&text.to_ascii_lowercase().as_str())
}

/// A container's URL, and its account.
pub(super) fn azure_container(bucket: &str, environment: &Environment) -> (String, String) {
    let (_, host) = bucket.split_once("://").unwrap_or(("", bucket));
    let (container, host_account) = match host.split_once('@') {
        Some((container, host)) => (container, host.split('.').next()),
        None => (host, None),
    };
    let account = environment.get("AZURE_STORAGE_ACCOUNT_NAME").or(host_account).unwrap_or("");
    let endpoint =
        ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"].iter().find_map(|name| environment.get(name));
    let own = format!("https://{account}.blob.core.windows.net");
    let endpoint = endpoint.unwrap_or(&own).trim_end_matches('/');
    (format!("{endpoint}/{container}"), account.to_owned())
}

/// Why a client cannot be made, with all causes.
pub(super) fn unusable_client(error: &Failure) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        if !said.contains(&text) {
            said.push_str(&format!(": {text}"));
        }
        cause = inner.source();
    }
    if said.contains("builder error") {
        said.push_str(
            "; check the variables of the client's proxy, certificates and time-outs \
             (…_PROXY_URL, …_PROXY_CA_CERTIFICATE, …_TIMEOUT)",
        );
    }
    said
}
