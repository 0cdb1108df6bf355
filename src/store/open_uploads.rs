//! Lists uploads that were begun and neither completed nor aborted.
//!
//! `object_store` has no such call, so the XML that S3 and Google share is asked for by hand:
//!
//! ```text
//! GET https://s3.eu-west-1.amazonaws.com/lake?uploads=&prefix=tables%2Fevents%2F
//! <Upload><Key>tables/events/dt=2026-11-21/part-00000-….parquet</Key><UploadId>VXBs…</UploadId>
//!         <Initiated>2026-11-21T03:04:05.000Z</Initiated></Upload>
//! ```
//!
//! Azure has no uploads, only blocks that belong to a name and that it drops by itself a week after
//! the last one came.
//! <https://learn.microsoft.com/en-us/rest/api/storageservices/put-block#remarks>

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::azure::{AzureAuthorizer, MicrosoftAzure};
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::gcp::GoogleCloudStorage;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Error, MultipartId, Result};
use percent_encoding::{
    AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, utf8_percent_encode,
};
use serde::Deserialize;
use url::Url;

use super::noncanonical_names::path_of_name;

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The object that it would become.
    pub path: Path,
    /// What the store calls it.
    pub id: MultipartId,
    /// When it was begun.
    pub begun: DateTime<Utc>,
}

/// A store that can tell which uploads are open.
#[async_trait]
pub trait ListUploads: fmt::Debug + Send + Sync {
    /// The open uploads of objects below a prefix.
    async fn list_uploads(&self, prefix: &Path) -> Result<Vec<OpenUpload>>;
}

/// What signs requests to a bucket.
#[derive(Debug, Clone)]
pub(super) enum Bucket {
    S3(Arc<AmazonS3>),
    Google {
        client: Arc<GoogleCloudStorage>,
        /// `https://storage.googleapis.com/lake`
        url: String,
    },
    Azure {
        client: Arc<MicrosoftAzure>,
        /// `https://account.blob.core.windows.net/lake`
        url: String,
        account: String,
    },
}

/// Lists the uploads of a bucket by HTTP.
#[derive(Debug)]
pub(super) struct BucketUploads {
    pub(super) bucket: Bucket,
    pub(super) http: HttpClient,
}

/// What RFC 3986 leaves as it is in a query.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The same with the slashes of a name.
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

#[async_trait]
impl ListUploads for BucketUploads {
    async fn list_uploads(&self, prefix: &Path) -> Result<Vec<OpenUpload>> {
        let mut uploads = Vec::new();
        let mut markers: Option<(String, String)> = None;
        loop {
            let mut query = vec![("uploads", ""), ("encoding-type", "url")];
            let folder = format!("{prefix}/");
            if !prefix.as_ref().is_empty() {
                query.push(("prefix", &folder));
            }
            if let Some((key, id)) = &markers {
                query.extend([("key-marker", key.as_str()), ("upload-id-marker", id.as_str())]);
            }
            let page = self.list_page(&query).await?;
            let is_encoded = page.encoding_type.as_deref() == Some("url");
            let name = |key: &str| match is_encoded {
                true => percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned(),
                false => key.to_owned(),
            };
            for upload in page.uploads {
                let path = path_of_name(name(&upload.key).as_bytes());
                let begun = DateTime::parse_from_rfc3339(&upload.initiated).map_err(failed)?;
                uploads.push(OpenUpload { path, id: upload.upload_id, begun: begun.to_utc() });
            }
            match (page.is_truncated, page.next_key_marker, page.next_upload_id_marker) {
                (true, Some(key), Some(id)) => markers = Some((name(&key), id)),
                _ => return Ok(uploads),
            }
        }
    }
}

impl BucketUploads {
    async fn list_page(&self, query: &[(&str, &str)]) -> Result<Page> {
        let encode = |text| utf8_percent_encode(text, UNRESERVED);
        let query: Vec<String> =
            query.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
        let query = query.join("&");
        let request = match &self.bucket {
            Bucket::S3(client) => s3_request(client, &query).await?,
            Bucket::Google { client, url } => {
                google_request(client, &format!("{url}?{query}"), empty_request()).await?
            }
            Bucket::Azure { .. } => return Err(failed("Azure has no uploads")),
        };
        let response = self.http.execute(request).await.map_err(failed)?;
        let status = response.status();
        let body = response.into_body().bytes().await.map_err(failed)?;
        let text = String::from_utf8_lossy(&body);
        if !status.is_success() {
            return Err(failed(format!("the answer was {status}: {text}")));
        }
        quick_xml::de::from_str(&text).map_err(failed)
    }
}

/// How long a signature would do for; it only shows where the bucket is.
const SIGNED_FOR: Duration = Duration::from_secs(60);

fn empty_request() -> HttpRequest {
    HttpRequest::new(HttpRequestBody::empty())
}

async fn s3_request(client: &AmazonS3, query: &str) -> Result<HttpRequest> {
    let (mut url, region) = s3_address(client).await?;
    let path = url.path().strip_suffix("/x").unwrap_or_default().to_owned();
    url.set_path(if path.is_empty() { "/" } else { &path });
    url.set_query(Some(query));
    sign_for_s3(client, url.as_str(), &region, empty_request()).await
}

/// The address of an object `x`, and the region.
async fn s3_address(client: &AmazonS3) -> Result<(Url, String)> {
    // The client alone knows the bucket's address and region: both stand in what it signs.
    let (get, object) = ("GET".parse().map_err(failed)?, Path::from("x"));
    let signed: Url = client.signed_url(get, &object, SIGNED_FOR).await?;
    let scope = signed.query_pairs().find(|(key, _)| key == "X-Amz-Credential");
    let scope = scope.map(|(_, scope)| scope.into_owned()).unwrap_or_default();
    let region = scope.split('/').nth(2).unwrap_or("us-east-1").to_owned();
    Ok((signed, region))
}

async fn sign_for_s3(
    client: &AmazonS3,
    url: &str,
    region: &str,
    mut request: HttpRequest,
) -> Result<HttpRequest> {
    *request.uri_mut() = url.parse().map_err(failed)?;
    let credential = client.credentials().get_credential().await?;
    AwsAuthorizer::new(&credential, "s3", region).authorize(&mut request, None);
    Ok(request)
}

async fn google_request(
    client: &GoogleCloudStorage,
    url: &str,
    mut request: HttpRequest,
) -> Result<HttpRequest> {
    *request.uri_mut() = url.parse().map_err(failed)?;
    let credential = client.credentials().get_credential().await?;
    if !credential.bearer.is_empty() {
        let bearer = format!("Bearer {}", credential.bearer).parse().map_err(failed)?;
        request.headers_mut().insert("authorization", bearer);
    }
    Ok(request)
}

/// A request for an object of any name, whatever it asks and with whatever headers, signed.
pub(super) async fn object_request(
    bucket: &Bucket,
    name: &[u8],
    mut request: HttpRequest,
) -> Result<HttpRequest> {
    let name = percent_encode(name, IN_PATH);
    match bucket {
        Bucket::S3(client) => {
            let (mut url, region) = s3_address(client).await?;
            url.set_query(None);
            let base = url.as_str().strip_suffix('x').unwrap_or_default();
            sign_for_s3(client, &format!("{base}{name}"), &region, request).await
        }
        Bucket::Google { client, url } => {
            google_request(client, &format!("{url}/{name}"), request).await
        }
        Bucket::Azure { client, url, account } => {
            *request.uri_mut() = format!("{url}/{name}").parse().map_err(failed)?;
            let credential = client.credentials().get_credential().await?;
            AzureAuthorizer::new(&credential, account).authorize(&mut request);
            Ok(request)
        }
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "uploads", source: error.into() }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    encoding_type: Option<String>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: Option<String>,
    #[serde(default)]
    next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    uploads: Vec<ListedUpload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedUpload {
    key: String,
    upload_id: String,
    initiated: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_s3s_documentation_is_read() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
  <Bucket>bucket</Bucket>
  <KeyMarker></KeyMarker>
  <UploadIdMarker></UploadIdMarker>
  <NextKeyMarker>my-movie.m2ts</NextKeyMarker>
  <NextUploadIdMarker>YW55IG==</NextUploadIdMarker>
  <MaxUploads>3</MaxUploads>
  <IsTruncated>true</IsTruncated>
  <Upload>
    <Key>my-divisor</Key>
    <UploadId>XMgbGlrZSBlbHZpbmcncyBub3QgaGF2aW5nIG11Y2ggbHVjaw</UploadId>
    <Initiator><ID>arn</ID><DisplayName>user1</DisplayName></Initiator>
    <Owner><ID>75aa</ID><DisplayName>OwnerDisplayName</DisplayName></Owner>
    <StorageClass>STANDARD</StorageClass>
    <Initiated>2010-11-10T20:48:33.000Z</Initiated>
  </Upload>
  <Upload>
    <Key>my-movie.m2ts</Key>
    <UploadId>VXBsb2FkIElE</UploadId>
    <Initiated>2010-11-10T20:48:34.000Z</Initiated>
  </Upload>
</ListMultipartUploadsResult>"#;
        let page: Page = quick_xml::de::from_str(text).unwrap();
        assert!(page.is_truncated);
        assert_eq!(page.next_key_marker.as_deref(), Some("my-movie.m2ts"));
        assert_eq!(page.uploads[1].upload_id, "VXBsb2FkIElE");
        assert_eq!(page.uploads[0].initiated, "2010-11-10T20:48:33.000Z");
        let empty = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>\
                     </ListMultipartUploadsResult>";
        let page: Page = quick_xml::de::from_str(empty).unwrap();
        assert!(page.uploads.is_empty() && !page.is_truncated);
    }
}
