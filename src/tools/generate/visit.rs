//! Visits: who acts, from where, with what; the parts of a record that a visit's records share.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::catalogue::{
    AGENTS, Address, Agent, CHANNELS, Channel, Network, ODD_ADDRESSES, ROBOT_NETWORKS, SERVICES,
    ShopService, VISITOR_NETWORKS,
};
use super::json_text::{Escapes, push, push_random_hex, push_text_member};
use super::random::{SeededRandom, mixed};

/// Visitors that there are; few of them come often.
const VISITORS: u32 = 1 << 20;

/// The two forms that records have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogVersion {
    /// Flat, with short names; still written by old apps.
    V1,
    /// Nested.
    V2,
}

impl LogVersion {
    pub(super) fn escapes(self) -> Escapes {
        match self {
            LogVersion::V1 => Escapes::AllButAscii,
            LogVersion::V2 => Escapes::Few,
        }
    }
}

/// A visit under way.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) version: LogVersion,
    pub(super) service: &'static ShopService,
    pub(super) robot: bool,
    /// Members about the visitor and the visit, with a comma in front.
    pub(super) identity: Vec<u8>,
    /// Members about the way in and the device, with a comma in front.
    pub(super) surroundings: Vec<u8>,
    /// The page before the next one.
    pub(super) referrer: Option<String>,
    /// What the first page's URL says of the campaign, with its question mark.
    pub(super) campaign_query: String,
    /// Records still to come.
    pub(super) records_left: u32,
}

impl Visit {
    /// Begins a visit.
    pub(super) fn begin(random: &mut SeededRandom) -> Visit {
        let version = if random.once_in(8) { LogVersion::V1 } else { LogVersion::V2 };
        let agent = random.pick_weighted(AGENTS, |agent| agent.weight);
        let channel = random.pick_weighted(CHANNELS, |channel| channel.weight);
        let campaign = channel.campaign.map(|name| format!("{name}-{:02}", random.below(8)));
        let mut surroundings = Vec::with_capacity(400);
        push_way(&mut surroundings, version, channel, campaign.as_deref());
        push_device(&mut surroundings, version, agent, random);
        let robots_rest = if agent.robot { 64 } else { 24 };
        Visit {
            version,
            service: random.pick_weighted(SERVICES, |service| service.weight),
            robot: agent.robot,
            identity: identity(version, agent.robot, random),
            surroundings,
            referrer: channel.referrer.filter(|_| !agent.robot).map(str::to_owned),
            campaign_query: campaign_query(channel, campaign.as_deref()),
            records_left: 1 + random.low_below(robots_rest),
        }
    }
}

/// The visitor's number draws all that stays the same from visit to visit.
fn identity(version: LogVersion, robot: bool, random: &mut SeededRandom) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    let visitor = random.low_below(VISITORS);
    let mut own = SeededRandom::new(mixed(u64::from(visitor)), 0);
    let (mut long, mut short) = (String::from("L"), String::from("S"));
    push_random_hex(&mut long, &mut own, 14);
    push_random_hex(&mut short, random, 12);
    let member = own.below(10) < 3;
    let known = member || own.once_in(3);
    let user = format!("u{visitor:07}");
    match version {
        _ if robot => {}
        LogVersion::V1 => {
            if known {
                push(&mut out, &format!(",\"uid\":\"{user}\",\"member\":{member}"));
            }
            push(&mut out, &format!(",\"sid\":\"{short}\",\"lsid\":\"{long}\""));
        }
        LogVersion::V2 => {
            if known {
                push(&mut out, &format!(",\"user\":{{\"id\":\"{user}\",\"member\":{member}}}"));
            } else {
                push(&mut out, ",\"user\":{\"id\":null}");
            }
            let session = format!(",\"session\":{{\"short\":\"{short}\",\"long\":\"{long}\"}}");
            push(&mut out, &session);
        }
    }
    out
}

fn push_way(out: &mut Vec<u8>, version: LogVersion, channel: &Channel, campaign: Option<&str>) {
    let escapes = version.escapes();
    let (channel_key, campaign_key) = match version {
        LogVersion::V1 => ("from", "cmp"),
        LogVersion::V2 => ("channel", "campaign"),
    };
    push(out, if version == LogVersion::V2 { ",\"via\":{" } else { "," });
    push_text_member(out, channel_key, channel.name, escapes);
    if let Some(campaign) = campaign {
        out.push(b',');
        push_text_member(out, campaign_key, campaign, escapes);
    }
    if version == LogVersion::V2 {
        out.push(b'}');
    }
}

fn push_device(out: &mut Vec<u8>, version: LogVersion, agent: &Agent, random: &mut SeededRandom) {
    let escapes = version.escapes();
    let (agent_key, screen_key) = match version {
        LogVersion::V1 => ("agent", "scr"),
        LogVersion::V2 => ("ua", "screen"),
    };
    push(out, if version == LogVersion::V2 { ",\"device\":{" } else { "," });
    push_text_member(out, "ip", &address(agent.robot, random), escapes);
    if let Some(text) = agent.text {
        let release = (b'0' + random.low_below(4) as u8) as char;
        out.push(b',');
        push_text_member(
            out,
            agent_key,
            &text.replace('#', release.encode_utf8(&mut [0; 4])),
            escapes,
        );
    }
    if let Some(screen) = agent.screen {
        out.push(b',');
        push_text_member(out, screen_key, screen, escapes);
    }
    let language = random.pick(&["ja-JP", "ja", "ja-JP", "ja-JP", "en-US", "zh-TW", "ko-KR"]);
    if version == LogVersion::V2 {
        out.push(b',');
        push_text_member(out, "language", language, escapes);
        out.push(b'}');
    }
}

/// An address out of a network, or once in a while something else.
fn address(robot: bool, random: &mut SeededRandom) -> String {
    if random.once_in(50) {
        return random.pick(ODD_ADDRESSES).to_owned();
    }
    let networks = if robot { ROBOT_NETWORKS } else { VISITOR_NETWORKS };
    let Network { first, bits, .. } = random.pick_weighted(networks, |network| network.weight);
    match first {
        Address::V4(first) => {
            let host = random.bits() as u32 & u32::MAX.checked_shr(*bits).unwrap_or(0);
            let address = Ipv4Addr::from_bits(first | host);
            if random.once_in(64) { format!("::ffff:{address}") } else { address.to_string() }
        }
        Address::V6(first) => {
            let high = random.bits() & u64::MAX.checked_shr(*bits).unwrap_or(0);
            let host = u128::from(high) << 64 | u128::from(random.bits());
            Ipv6Addr::from_bits(first | host).to_string()
        }
    }
}

fn campaign_query(channel: &Channel, campaign: Option<&str>) -> String {
    let Some(campaign) = campaign else { return String::new() };
    let mut query = format!("?utm_source={0}&utm_medium={0}&utm_campaign=", channel.name);
    super::json_text::push_query_encoded(&mut query, campaign);
    query
}
