//! Stand-ins for cloud stores on loopback ports of their own; each ends with its handle, and with
//! the tests' process however that ends, as its standard input is closed then.
//!
//! - S3: moto, a Python package. Its conditions hold under races.
//! - Azure: Azurite, Microsoft's emulator, a Node package.
//! - Google: there is no usable one (those to be had ignore conditions), so `gcs_stub.py` answers
//!   the calls that `object_store` makes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ashiato::Environment;
use ashiato::Stores;
use ashiato::internals::Store;
use ashiato::internals::StoreLocation;
use ashiato::internals::SystemClock;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use super::ROOT;

/// A server and how to reach it.
pub struct Server {
    child: Child,
    /// Variables for `ashiato`.
    pub environment: Vec<(&'static str, String)>,
    /// The bucket's URL.
    pub bucket: &'static str,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends with its input, and only by itself does it take its own children along.
        drop(self.child.stdin.take());
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// S3 with an empty bucket.
pub fn s3() -> Server {
    let mut python = Command::new(python());
    let (child, port) = start(python.arg(Path::new(ROOT).join("tests/support/moto_server.py")));
    let endpoint = format!("http://127.0.0.1:{port}");
    assert!(request(port, "PUT /lake", "").contains("200 OK"), "the bucket was not made");
    let environment = vec![
        ("AWS_ENDPOINT", endpoint),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID", "key".into()),
        ("AWS_SECRET_ACCESS_KEY", "secret".into()),
    ];
    Server { child, environment, bucket: "s3://lake" }
}

/// Google's XML API with a bucket.
pub fn gcs() -> Server {
    let mut python = Command::new(python());
    let (child, port) = start(python.arg(Path::new(ROOT).join("tests/support/gcs_stub.py")));
    // A key without OAuth makes object_store send an empty token.
    let key = r#"{"private_key":"-","private_key_id":"-","client_email":"-","disable_oauth":true}"#;
    let environment = vec![
        ("GOOGLE_BASE_URL", format!("http://127.0.0.1:{port}")),
        ("GOOGLE_ALLOW_HTTP", "true".into()),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", key.into()),
    ];
    Server { child, environment, bucket: "gs://lake" }
}

/// The account and key that every emulator of Azure has.
/// <https://learn.microsoft.com/en-us/azure/storage/common/storage-connect-azurite>
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Azure with an empty container.
pub fn azure() -> Server {
    let azurite = Path::new(ROOT).join("target/azurite/node_modules/.bin/azurite-blob");
    assert!(azurite.exists(), "{} is missing: run `make setup`", azurite.display());
    let port = free_port();
    let line = format!(
        "'{}' --silent --inMemoryPersistence --skipApiVersionCheck --blobHost 127.0.0.1 \
         --blobPort {port} >/dev/null 2>&1 & azurite=$!; echo {port}; cat; kill $azurite",
        azurite.display()
    );
    let (child, port) = start(Command::new("sh").args(["-c", &line]));
    let endpoint = format!("http://127.0.0.1:{port}/{AZURE_ACCOUNT}");
    let environment = vec![
        ("AZURE_STORAGE_ACCOUNT_NAME", AZURE_ACCOUNT.to_owned()),
        ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY.to_owned()),
        ("AZURE_STORAGE_ENDPOINT", endpoint),
        ("AZURE_ALLOW_HTTP", "true".into()),
    ];
    let server = Server { child, environment, bucket: "az://lake" };
    server.make_azure_container(port);
    server
}

fn python() -> PathBuf {
    let python = Path::new(ROOT).join("target/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make setup`", python.display());
    python
}

/// Starts a server that ends with its input, and reads its port from its first line.
fn start(command: &mut Command) -> (Child, u16) {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().parse().unwrap_or_else(|_| panic!("no port in {line:?}: {command:?}"));
    wait_for(port);
    (child, port)
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    for _ in 0..600 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("nothing listens on port {port}");
}

/// The answer to a plain request.
fn request(port: u16, what: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let text = format!(
        "{what} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n{headers}Connection: \
         close\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

impl Server {
    /// Sets the variables of a command.
    pub fn set<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)))
    }

    /// Stores as `ashiato` opens them.
    pub fn stores(&self) -> Stores {
        let variables = self.environment.iter();
        let variables = variables.map(|(name, value)| ((*name).into(), value.into()));
        let environment = Environment::new(variables);
        Stores::new(environment, std::sync::Arc::new(SystemClock::default()), 1).unwrap()
    }

    /// Puts an object below the bucket.
    pub async fn put(&self, name: &str, bytes: &[u8]) {
        let store =
            Store::open(&StoreLocation::parse(self.bucket).unwrap(), &self.stores()).unwrap();
        let path = store.path_of(name).unwrap();
        store.store.put(&path, bytes.to_vec().into()).await.unwrap();
    }

    /// Puts an object by a request of our own, whose target is sent as it stands, without credentials:
    /// S3's and Google's stand-ins take that.
    pub fn put_plainly(&self, name: &str, headers: &str, bytes: &[u8]) {
        let endpoint = self.environment[0].1.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(endpoint).unwrap();
        let length = bytes.len();
        let head = format!(
            "PUT /lake/{name} HTTP/1.1\r\nHost: {endpoint}\r\nContent-Length: {length}\r\n{headers}\
             Connection: close\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), bytes].concat()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{name}: {answer}");
    }

    /// All objects below a folder of the bucket, by their paths below it.
    pub async fn objects(&self, folder: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
        let place = format!("{}/{folder}", self.bucket);
        let store = Store::open(&StoreLocation::parse(&place).unwrap(), &self.stores()).unwrap();
        let listed = store.store.list(Some(&store.prefix)).try_collect::<Vec<_>>().await.unwrap();
        let mut objects = std::collections::BTreeMap::new();
        for object in listed {
            let bytes = store.store.get(&object.location).await.unwrap().bytes().await.unwrap();
            let below = object.location.as_ref().strip_prefix(store.prefix.as_ref()).unwrap();
            objects.insert(below.trim_start_matches('/').to_owned(), bytes.to_vec());
        }
        objects
    }

    /// The lines of all Zstandard objects below a folder of the bucket, as JSON.
    pub fn lines(&self, folder: &str) -> Vec<serde_json::Value> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mut lines = Vec::new();
        for bytes in runtime.block_on(self.objects(folder)).values() {
            let text = String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap();
            lines.extend(
                text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()),
            );
        }
        lines
    }

    /// Uploads to objects below a folder of the bucket that nobody has ended.
    pub async fn open_uploads(&self, folder: &str) -> usize {
        let place = format!("{}/{folder}", self.bucket);
        let store = Store::open(&StoreLocation::parse(&place).unwrap(), &self.stores()).unwrap();
        match &store.open_uploads {
            Some(uploads) => uploads.list_uploads(&store.prefix).await.unwrap().len(),
            None => 0,
        }
    }

    fn make_azure_container(&self, port: u16) {
        // Signed by hand, as no client makes containers: Shared Key of 2015 and later.
        let date = chrono::Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let version = "2023-11-03";
        let resource = format!("/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/lake\nrestype:container");
        let blank = "\n".repeat(12);
        let text = format!("PUT{blank}x-ms-date:{date}\nx-ms-version:{version}\n{resource}");
        let key = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, AZURE_KEY);
        let mut mac =
            <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(&key.unwrap()).unwrap();
        hmac::Mac::update(&mut mac, text.as_bytes());
        let signature = hmac::Mac::finalize(mac).into_bytes();
        let signature =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, signature);
        let headers = format!(
            "x-ms-date: {date}\r\nx-ms-version: {version}\r\nAuthorization: SharedKey \
             {AZURE_ACCOUNT}:{signature}\r\n"
        );
        let what = format!("PUT /{AZURE_ACCOUNT}/lake?restype=container");
        let answer = request(port, &what, &headers);
        assert!(answer.contains("201 Created"), "the container was not made: {answer}");
    }
}
