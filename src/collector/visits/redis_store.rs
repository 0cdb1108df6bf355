//! Visitors' records in Redis or Valkey, with compare-and-swap as a script.
//!
//! ```text
//! ashiato:visit:0199f7a3-…   {"short":"0199…","seq":4,…}     PX: the record's time
//! ```
//!
//! One key a visitor, which Redis itself removes when its time is up. A change is a script that
//! compares what is there with what was read, so that collectors on several machines agree. All
//! records of a batch go and come in one round trip. How durable a response is, Redis's own
//! configuration says (`appendonly`, `appendfsync`); what a crash of Redis takes along, the
//! visitors' cookies bring back, but for their carts.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Pipeline, Script};

use super::store::{PROBE, RecordPage, StoredRecord, Swap, Swapped, VisitStore, VisitorId};
use crate::base::error::{Error, Result};

/// Before each visitor's id, if nothing else is said.
pub const REDIS_PREFIX_DEFAULT: &str = "ashiato:visit:";

/// Sets a key if it holds what is expected; an empty expectation is no key. One that is no string
/// holds nothing, as `MGET` says too: it is no record, and one takes its place.
const SWAP: &str = r"
local found = redis.pcall('GET', KEYS[1])
if type(found) == 'table' and found.err then
  if redis.call('TYPE', KEYS[1]).ok == 'string' then return found end
  found = ''
end
if (found or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
";

/// Visitors' records in Redis; clones share the connection.
#[derive(Clone)]
pub struct RedisVisitStore {
    /// The address without its password.
    display: String,
    prefix: String,
    connection: ConnectionManager,
    swap: Script,
    timeout: Duration,
}

impl fmt::Debug for RedisVisitStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisVisitStore({})", self.display)
    }
}

impl RedisVisitStore {
    /// Connects when it is first used, and again whenever the connection is lost.
    ///
    /// `url` is `redis://[user:password@]host[:port][/database]`, or `rediss://` with TLS; no
    /// response takes longer than `timeout`. To be called on a runtime.
    ///
    /// # Errors
    /// [`Error::Config`] if the URL is none of Redis.
    pub fn open(url: &str, prefix: &str, timeout: Duration) -> Result<Self> {
        let wrong = |error: &dyn fmt::Display| {
            Error::config(format!(
                "opening the visit store: expected an address such as `redis://127.0.0.1:6379/0`: \
                 {error}"
            ))
        };
        let parsed = url::Url::parse(url).map_err(|error| wrong(&error))?;
        let client = Client::open(url).map_err(|error| wrong(&error))?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(500));
        let connection = ConnectionManager::new_lazy_with_config(client, config)
            .map_err(|error| wrong(&error))?;
        Ok(RedisVisitStore {
            display: display_of(&parsed),
            prefix: prefix.to_owned(),
            connection,
            swap: Script::new(SWAP),
            timeout,
        })
    }

    fn key(&self, visitor: VisitorId) -> String {
        format!("{}{visitor}", self.prefix)
    }

    async fn ask<T: redis::FromRedisValue>(&self, doing: &str, pipeline: &Pipeline) -> Result<T> {
        let mut connection = self.connection.clone();
        let asked = pipeline.query_async(&mut connection);
        let wrong = |error: &dyn fmt::Display| {
            Error::Unavailable(format!("{doing} in the visit store {}: {error}", self.display))
        };
        // Connecting has its own time besides.
        match tokio::time::timeout(self.timeout * 2, asked).await {
            Ok(response) => response.map_err(|error| wrong(&error)),
            Err(_) => Err(wrong(&format!("no answer within {:?}", self.timeout * 2))),
        }
    }
}

/// The address as it may be printed.
fn display_of(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().unwrap_or(6379);
    format!("{}://{host}:{port}{}", url.scheme(), url.path().trim_end_matches('/'))
}

#[async_trait]
impl VisitStore for RedisVisitStore {
    async fn load(&self, visitors: &[VisitorId]) -> Result<Vec<Option<StoredRecord>>> {
        if visitors.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        let keys: Vec<String> = visitors.iter().map(|visitor| self.key(*visitor)).collect();
        pipeline.cmd("MGET").arg(keys);
        let (records,) = self.ask("reading records", &pipeline).await?;
        Ok(records)
    }

    async fn swap(&self, swaps: &[Swap]) -> Result<Vec<Swapped>> {
        if swaps.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = redis::pipe();
        // Known after the first time; Redis forgets it when it restarts.
        pipeline.load_script(&self.swap).ignore();
        for swap in swaps {
            let expected = swap.expected.as_deref().unwrap_or_default();
            let ttl_ms = u64::try_from(swap.ttl.as_millis()).unwrap_or(u64::MAX).max(1);
            let mut invocation = self.swap.key(self.key(swap.visitor));
            invocation.arg(expected).arg(&swap.new[..]).arg(ttl_ms);
            pipeline.invoke_script(&invocation);
        }
        let outcomes: Vec<u8> = self.ask("writing records", &pipeline).await?;
        let of = |stored: u8| if stored == 1 { Swapped::Stored } else { Swapped::Conflict };
        Ok(outcomes.into_iter().map(of).collect())
    }

    async fn scan(&self, from: Option<&str>, limit: usize) -> Result<RecordPage> {
        let mut pipeline = redis::pipe();
        let pattern = format!("{}*", self.prefix);
        let scan = pipeline.cmd("SCAN").arg(from.unwrap_or("0"));
        scan.arg("MATCH").arg(pattern).arg("COUNT").arg(limit.max(1));
        let ((cursor, keys),): ((String, Vec<String>),) =
            self.ask("listing records", &pipeline).await?;
        let id_of = |key: &String| VisitorId::try_parse(key.strip_prefix(&self.prefix)?).ok();
        let mut visitors: Vec<VisitorId> = keys.iter().filter_map(id_of).collect();
        // A listing may name a key more than once.
        visitors.sort_unstable();
        visitors.dedup();
        visitors.retain(|visitor| *visitor != PROBE);
        let records = self.load(&visitors).await?;
        let pairs = visitors.into_iter().zip(records);
        let records = pairs.filter_map(|(visitor, record)| Some((visitor, record?))).collect();
        Ok(RecordPage { records, next: Some(cursor).filter(|cursor| cursor != "0") })
    }
}
