//! What a collector does, as plain values; `config_file` reads them from TOML.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;
use ipnet::IpNet;

use super::cookies::CookieKeys;
use super::visits::{AttributionRules, Touching, VisitRules};

/// What a collector does. The default is good for a trial on one machine.
#[derive(Debug, Clone)]
pub struct CollectorConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its name in events and objects' names: letters, digits, `-` and `_`.
    pub name: String,
    /// The folder of its spool, its embedded visit store and its control socket.
    pub data: PathBuf,
    /// Where events land.
    pub landing: LandingConfig,
    /// What is refused.
    pub limits: CollectorLimits,
    /// Pages of which sites may send events, as `https://shop.example`; `*` is any. Those of the
    /// collector's own host may.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whose ids are not taken.
    pub consent: Consent,
    /// The cookies that hold the ids.
    pub cookies: CookieSettings,
    /// How visits and their attribution go.
    pub visits: VisitRules,
    /// Events that renew a visit; all if empty.
    pub renewing_events: Vec<String>,
    /// Where visits are kept.
    pub visit_store: VisitStoreConfig,
    /// How long stopping may take.
    pub stop_time_max: Duration,
    /// Of that, how long it says that it is not ready before it takes no more requests.
    pub stop_delay: Duration,
    /// What is logged, in `tracing`'s syntax; as flags and environment say if absent.
    pub log: Option<String>,
}

/// Where events land.
#[derive(Debug, Clone)]
pub struct LandingConfig {
    /// A folder or a URL.
    pub location: String,
    /// The objects' folder below it by arrival time, in `strftime`'s terms.
    pub path: String,
    /// The zone of that time.
    pub time_zone: Tz,
    /// The permissions of files in a folder; whoever may read them may list their folders.
    pub file_mode: u32,
    /// How old the oldest event of an object gets before it lands.
    pub object_age_max: Duration,
    /// Bytes of an object's lines before it lands, uncompressed.
    pub object_bytes_max: u64,
    /// Bytes that may wait on disk; beyond, events are refused.
    pub backlog_bytes_max: u64,
    /// Events whose ids are known at least, to take none twice.
    pub recent_ids_min: usize,
}

/// Bytes of a line around the client's event, but for what is left out where there is no room.
pub const ENVELOPE_BYTES_MAX: usize = 4096;

/// What is refused, and how long anybody is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorLimits {
    /// Bytes of a body, as sent and unpacked.
    pub body_bytes_max: usize,
    /// Events of a body.
    pub events_max: usize,
    /// Bytes of an event.
    pub event_bytes_max: usize,
    /// Bytes of a line that lands.
    pub line_bytes_max: usize,
    /// Objects and arrays within each other, the event being the first.
    pub depth_max: usize,
    /// Bytes of a request's head.
    pub header_bytes_max: usize,
    /// Connections at a time.
    pub connections_max: usize,
    /// How long a request may take to arrive, its head and its body each.
    pub request_time_max: Duration,
    /// Requests that wait at a time.
    pub waiting_requests_max: usize,
    /// Bytes of unfinished heads of all connections; beyond, those of more than some are closed.
    pub heads_bytes_max: usize,
    /// How long a connection may be open between two requests.
    pub idle_time_max: Duration,
    /// Bytes of lines that the events of a body may become.
    pub request_lines_bytes_max: usize,
    /// Requests a second of one client, an IPv4 address or an IPv6 network (/64); 0 is no limit.
    pub client_rate_max: u32,
    /// Bytes a second that requests of one client may become beyond what is in proportion to what
    /// it sends; 0 is no limit.
    pub client_surplus_max: usize,
    /// Connections of one client at a time; 0 is no limit.
    pub client_connections_max: usize,
    /// How long before its arrival an event may say that it happened; beyond, the arrival counts.
    pub client_clock_behind_max: Duration,
    /// The same for after its arrival.
    pub client_clock_ahead_max: Duration,
    /// Services that events may name; beyond, `other` counts. Any if empty.
    pub services: Vec<String>,
    /// Services that events of an hour may name, where any may be named.
    pub services_max: usize,
}

impl CollectorLimits {
    /// Bytes of a line at least, so that each event that is taken has room.
    pub fn line_bytes_least(&self) -> usize {
        self.event_bytes_max + ENVELOPE_BYTES_MAX
    }
}

/// Whose ids are not taken: no cookie, no ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// Those who send `DNT: 1`, or anything else but a no.
    pub honor_dnt: bool,
    /// Those who send `Sec-GPC: 1`, or anything else but a no.
    pub honor_gpc: bool,
    /// Those who send this header with anything but a no; `?anonymous=1` says the same.
    pub anonymous_header: String,
    /// Whether their addresses are kept.
    pub keep_ip: bool,
}

/// The cookies that hold the ids.
#[derive(Debug, Clone)]
pub struct CookieSettings {
    /// Of the visit.
    pub short_name: String,
    /// Of the visitor.
    pub long_name: String,
    /// The site and those below it; the collector's own host if absent.
    pub domain: Option<String>,
    /// The pages that it goes to.
    pub path: String,
    /// When other sites' pages send it.
    pub same_site: SameSite,
    /// Only over TLS.
    pub secure: bool,
    /// Out of scripts' reach.
    pub http_only: bool,
    /// What they are signed with; without a key, whoever knows an id can say that it is theirs.
    pub keys: CookieKeys,
    /// Whether those from before there was a key are good.
    pub accept_unsigned: bool,
}

/// When other sites' pages send a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// When they link here.
    Lax,
    /// Never.
    Strict,
    /// Always; needs `Secure`.
    None,
}

/// Where visits are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VisitStoreConfig {
    /// On this machine.
    Embedded {
        /// The folder; `visits` below the collector's own if absent.
        folder: Option<PathBuf>,
        /// Bytes beyond which the oldest visitors are forgotten.
        size_bytes_max: u64,
        /// Bytes of records that are kept in memory.
        cache_bytes_max: u64,
    },
    /// In Redis or Valkey.
    Redis {
        /// `redis://host:port/database`.
        url: String,
        /// Before each visitor's id.
        prefix: String,
        /// How long a response may take.
        timeout: Duration,
    },
    /// In two places, while they move.
    Migrating {
        /// Where they come from.
        old: Box<VisitStoreConfig>,
        /// Where they go.
        new: Box<VisitStoreConfig>,
    },
}

impl Default for CollectorConfig {
    fn default() -> Self {
        let hours = |hours: i64| hours * 3_600_000;
        CollectorConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            name: "collector".to_owned(),
            data: PathBuf::from("out/collector"),
            landing: LandingConfig::default(),
            limits: CollectorLimits::default(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            consent: Consent::default(),
            cookies: CookieSettings::default(),
            visits: VisitRules {
                short_ttl_ms: hours(1) / 2,
                long_ttl_ms: hours(24 * 400),
                attribution: AttributionRules {
                    touching: Touching::Last,
                    via_ttl_ms: hours(24),
                    cart_ttl_ms: hours(24 * 30),
                    cart_items_max: 100,
                },
                record_bytes_max: 24 << 10,
            },
            renewing_events: Vec::new(),
            visit_store: VisitStoreConfig::embedded(),
            stop_time_max: Duration::from_secs(30),
            stop_delay: Duration::from_secs(5),
            log: None,
        }
    }
}

impl CollectorConfig {
    /// This configuration with all of another one that can be changed without a restart, and the
    /// keys that differ and cannot.
    pub fn reloaded(&self, new: Self) -> (Self, Vec<&'static str>) {
        let mut kept = new.clone();
        kept.listen = self.listen;
        kept.name.clone_from(&self.name);
        kept.data.clone_from(&self.data);
        kept.landing = self.landing.clone();
        kept.landing.backlog_bytes_max = new.landing.backlog_bytes_max;
        kept.limits.connections_max = self.limits.connections_max;
        kept.limits.header_bytes_max = self.limits.header_bytes_max;
        kept.limits.heads_bytes_max = self.limits.heads_bytes_max;
        kept.limits.waiting_requests_max = self.limits.waiting_requests_max;
        kept.visits = self.visits;
        kept.visit_store = self.visit_store.clone();
        let limits = |config: &Self| {
            let CollectorLimits { connections_max, header_bytes_max, .. } = config.limits;
            let CollectorLimits { heads_bytes_max, waiting_requests_max, .. } = config.limits;
            [connections_max, header_bytes_max, heads_bytes_max, waiting_requests_max]
        };
        let of_landing = |config: &Self| {
            let landing = LandingConfig { backlog_bytes_max: 0, ..config.landing.clone() };
            format!("{landing:?}")
        };
        let changes = [
            ("listen", self.listen != new.listen),
            ("name", self.name != new.name),
            ("data", self.data != new.data),
            ("[landing]", of_landing(self) != of_landing(&new)),
            ("[limits] of connections, heads and waiting requests", limits(self) != limits(&new)),
            ("[visits]", self.visits != new.visits),
            ("[visit_store]", self.visit_store != new.visit_store),
        ];
        let differing = changes.into_iter().filter(|(_, differs)| *differs);
        (kept, differing.map(|(key, _)| key).collect())
    }
}

impl Default for LandingConfig {
    fn default() -> Self {
        LandingConfig {
            location: "out/raw".to_owned(),
            path: "dt=%Y-%m-%d/hr=%H".to_owned(),
            time_zone: Tz::UTC,
            file_mode: 0o600,
            object_age_max: Duration::from_secs(60),
            object_bytes_max: 64 << 20,
            backlog_bytes_max: 10 << 30,
            recent_ids_min: 1_000_000,
        }
    }
}

impl Default for CollectorLimits {
    fn default() -> Self {
        CollectorLimits {
            body_bytes_max: 1 << 20,
            events_max: 1000,
            event_bytes_max: 60 << 10,
            line_bytes_max: 64 << 10,
            depth_max: 32,
            header_bytes_max: 16 << 10,
            connections_max: 20_000,
            request_time_max: Duration::from_secs(10),
            waiting_requests_max: 20_000,
            heads_bytes_max: 16 << 20,
            idle_time_max: Duration::from_secs(60),
            request_lines_bytes_max: 4 << 20,
            client_rate_max: 0,
            client_surplus_max: 256 << 10,
            client_connections_max: 0,
            client_clock_behind_max: Duration::from_secs(7 * 24 * 3600),
            client_clock_ahead_max: Duration::from_secs(3600),
            services: Vec::new(),
            services_max: 50,
        }
    }
}

impl Default for Consent {
    fn default() -> Self {
        Consent {
            honor_dnt: true,
            honor_gpc: true,
            anonymous_header: "ashiato-anonymous".to_owned(),
            keep_ip: false,
        }
    }
}

impl Default for CookieSettings {
    fn default() -> Self {
        CookieSettings {
            short_name: "ashiato_short".to_owned(),
            long_name: "ashiato_long".to_owned(),
            domain: None,
            path: "/".to_owned(),
            same_site: SameSite::Lax,
            secure: true,
            http_only: true,
            keys: CookieKeys::default(),
            accept_unsigned: false,
        }
    }
}

impl VisitStoreConfig {
    /// On this machine, with the bounds that are good for most.
    pub fn embedded() -> Self {
        VisitStoreConfig::Embedded {
            folder: None,
            size_bytes_max: 4 << 30,
            cache_bytes_max: 128 << 20,
        }
    }

    /// Where it is, as it may be printed: without a password. `data` is the collector's folder.
    pub fn place(&self, data: &Path) -> String {
        match self {
            VisitStoreConfig::Embedded { folder, .. } => {
                folder.clone().unwrap_or_else(|| data.join("visits")).display().to_string()
            }
            VisitStoreConfig::Redis { url, prefix, .. } => {
                let address = url.rsplit_once('@').map_or(url.as_str(), |(_, address)| address);
                format!("redis {} {prefix}", address.trim_start_matches("redis://"))
            }
            VisitStoreConfig::Migrating { old, new } => {
                format!("{} and {}", old.place(data), new.place(data))
            }
        }
    }
}
