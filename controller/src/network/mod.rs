//! Network records: defaults, changes by clients, and their meaning (service specification F.4, F.5).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use protocol::network_config::{DEFAULT_MULTICAST_LIMIT, Dns, Route};
use protocol::rule::Rule;
use protocol::{Address, IpPrefix, NetworkId};
use serde_json::{Map, Value, json};

use crate::lenient;
use crate::member::Member;
use crate::rule_json;
use crate::store::Record;

/// Most rules of a network that members take (F.9).
const MAX_RULES: usize = 1024;
/// Most rules of a capability.
const MAX_CAPABILITY_RULES: usize = 64;
/// Most routes of a network.
const MAX_ROUTES: usize = 128;
/// Longest network name and search domain, bytes.
const MAX_TEXT: usize = 127;
/// Most name servers.
const MAX_DNS_SERVERS: usize = 4;
/// Validity of credentials unless configured, ms.
const DEFAULT_WINDOW: u64 = 30 * 60 * 1000;
/// Keys that are never stored: old programs and the hosted service put them in.
const VOLATILE_KEYS: [&str; 5] = [
    "clock",
    "authorizedMemberCount",
    "activeMemberCount",
    "totalMemberCount",
    "lastModified",
];

/// A network with its members.
#[derive(Debug)]
pub(crate) struct Network {
    record: Record,
    settings: Settings,
    members: BTreeMap<Address, Member>,
    /// How many members have an address, for addresses that any member has.
    assigned: BTreeMap<IpAddr, u32>,
    bridges: BTreeSet<Address>,
    authorised: usize,
}

impl Network {
    /// A network without members.
    pub(crate) fn new(record: Record) -> Self {
        Self {
            settings: Settings::of(&record),
            record,
            members: BTreeMap::new(),
            assigned: BTreeMap::new(),
            bridges: BTreeSet::new(),
            authorised: 0,
        }
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) const fn members(&self) -> &BTreeMap<Address, Member> {
        &self.members
    }

    pub(crate) fn member_mut(&mut self, address: Address) -> Option<&mut Member> {
        self.members.get_mut(&address)
    }

    /// Authorised members.
    pub(crate) const fn authorised(&self) -> usize {
        self.authorised
    }

    /// Authorised members that may bridge.
    pub(crate) const fn bridges(&self) -> &BTreeSet<Address> {
        &self.bridges
    }

    /// Is `ip` assigned to any member?
    pub(crate) fn is_assigned(&self, ip: IpAddr) -> bool {
        self.assigned.contains_key(&ip)
    }

    pub(crate) fn set_record(&mut self, record: Record) {
        self.settings = Settings::of(&record);
        self.record = record;
    }

    /// Adds a member or changes its record; when it was last seen stays.
    pub(crate) fn set_member(&mut self, address: Address, record: Record) {
        let mut member = Member::new(record);
        if let Some(old) = self.remove_member(address) {
            member.presence = old.presence;
        }
        for ip in &member.settings().ips {
            *self.assigned.entry(*ip).or_default() += 1;
        }
        if member.settings().authorised {
            self.authorised += 1;
            if member.settings().active_bridge {
                self.bridges.insert(address);
            }
        }
        self.members.insert(address, member);
    }

    pub(crate) fn remove_member(&mut self, address: Address) -> Option<Member> {
        let member = self.members.remove(&address)?;
        for ip in &member.settings().ips {
            if let Some(count) = self.assigned.get_mut(ip) {
                *count -= 1;
                if *count == 0 {
                    self.assigned.remove(ip);
                }
            }
        }
        self.authorised -= usize::from(member.settings().authorised);
        self.bridges.remove(&address);
        Some(member)
    }
}

/// What a network's record says.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) private: bool,
    pub(crate) broadcast: bool,
    pub(crate) multicast_limit: u32,
    pub(crate) mtu: u16,
    pub(crate) assign_ipv4: bool,
    pub(crate) assign_ipv6: bool,
    pub(crate) rfc4193: bool,
    pub(crate) six_plane: bool,
    pub(crate) routes: Vec<Route>,
    pub(crate) pools: Vec<(IpAddr, IpAddr)>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) capabilities: BTreeMap<u32, CapabilityDefinition>,
    /// Defaults of tags.
    pub(crate) tags: BTreeMap<u32, Option<u32>>,
    /// Join tokens and when they expire (0: never).
    pub(crate) tokens: BTreeMap<String, u64>,
    pub(crate) dns: Option<Dns>,
    pub(crate) trace_target: Option<Address>,
    pub(crate) trace_level: u64,
    /// Validity of credentials, ms.
    pub(crate) window: u64,
    pub(crate) revision: u64,
}

/// A capability as a network defines it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct CapabilityDefinition {
    /// New members get it.
    pub(crate) default: bool,
    pub(crate) rules: Vec<Rule>,
}

impl Settings {
    fn of(record: &Record) -> Self {
        let flag = |object: &str, key: &str| {
            lenient::boolean(record.get(object).and_then(|modes| modes.get(key)), false)
        };
        let mut rules = rule_json::parse_rules(record.get("rules"));
        rules.truncate(MAX_RULES);
        Self {
            name: limited(lenient::text(record.get("name")).unwrap_or_default()),
            private: lenient::boolean(record.get("private"), true),
            broadcast: lenient::boolean(record.get("enableBroadcast"), true),
            multicast_limit: lenient::unsigned32(
                record.get("multicastLimit"),
                DEFAULT_MULTICAST_LIMIT,
            ),
            mtu: mtu(record.get("mtu")),
            assign_ipv4: flag("v4AssignMode", "zt"),
            assign_ipv6: flag("v6AssignMode", "zt"),
            rfc4193: flag("v6AssignMode", "rfc4193"),
            six_plane: flag("v6AssignMode", "6plane"),
            routes: routes(record.get("routes")).take(MAX_ROUTES).collect(),
            pools: pools(record.get("ipAssignmentPools")).collect(),
            rules,
            capabilities: capabilities(record.get("capabilities")),
            tags: tags(record.get("tags")),
            tokens: tokens(record.get("authTokens")).unwrap_or_default(),
            dns: dns(record.get("dns")),
            trace_target: lenient::address(record.get("remoteTraceTarget"))
                .filter(|target| *target != Address::NONE),
            trace_level: lenient::unsigned(record.get("remoteTraceLevel"), 0),
            window: lenient::unsigned(record.get("certificateTimeoutWindowSize"), DEFAULT_WINDOW)
                .clamp(5 * 60 * 1000, 2 * 60 * 60 * 1000),
            revision: lenient::unsigned(record.get("revision"), 0),
        }
    }
}

/// The record of a new network, not saved yet: its revision is 0.
pub(crate) fn new_record(id: NetworkId, now_ms: u64) -> Record {
    let mut record = Map::new();
    record.insert("creationTime".into(), now_ms.into());
    complete(&mut record, id);
    record
}

/// Brings a record into shape: what every record has is filled in, what no record has is taken out.
pub(crate) fn complete(record: &mut Record, id: NetworkId) {
    let id = id.to_string();
    record.insert("id".into(), id.clone().into());
    record.insert("nwid".into(), id.into());
    record.insert("objtype".into(), "network".into());
    for key in VOLATILE_KEYS {
        record.remove(key);
    }
    let defaults = json!({
        "authTokens": [null],
        "authorizationEndpoint": "",
        "capabilities": [],
        "clientId": "",
        "creationTime": 0,
        "dns": [],
        "enableBroadcast": true,
        "ipAssignmentPools": [],
        "mtu": 2800,
        "multicastLimit": DEFAULT_MULTICAST_LIMIT,
        "name": "",
        "private": true,
        "remoteTraceLevel": 0,
        "remoteTraceTarget": null,
        "revision": 0,
        "routes": [],
        "rules": [{ "not": false, "or": false, "type": "ACTION_ACCEPT" }],
        "rulesSource": "",
        "ssoEnabled": false,
        "tags": [],
        "v4AssignMode": { "zt": false },
        "v6AssignMode": { "6plane": false, "rfc4193": false, "zt": false },
    });
    if let Value::Object(defaults) = defaults {
        for (key, value) in defaults {
            record.entry(key).or_insert(value);
        }
    }
}

/// Changes a record as a client asks: only known keys that are present count (F.5).
pub(crate) fn apply(record: &mut Record, body: &Record) {
    for (key, value) in body {
        let given = Some(value);
        let array = value.is_array();
        let new = match key.as_str() {
            "name" => lenient::text(given).unwrap_or_default().into(),
            "private" | "enableBroadcast" => lenient::boolean(given, true).into(),
            "multicastLimit" => lenient::unsigned(given, DEFAULT_MULTICAST_LIMIT.into()).into(),
            "mtu" => mtu(given).into(),
            "v4AssignMode" => v4_assign_mode(value),
            "v6AssignMode" => v6_assign_mode(value),
            "routes" if array => routes(given).map(render_route).collect(),
            "ipAssignmentPools" if array => pools(given)
                .map(|(start, end)| {
                    json!({ "ipRangeEnd": end.to_string(), "ipRangeStart": start.to_string() })
                })
                .collect(),
            "rules" if array => rule_json::render_rules(&rule_json::parse_rules(given)),
            "capabilities" if array => render_capabilities(value),
            "tags" if array => tags(given)
                .into_iter()
                .map(|(id, default)| json!({ "default": default, "id": id }))
                .collect(),
            "authTokens" => match tokens(given) {
                Some(tokens) if tokens.is_empty() => Value::Null,
                Some(tokens) => json!(tokens),
                None => json!([null]),
            },
            "dns" => match value {
                Value::Object(dns) => render_dns(dns),
                _ => continue,
            },
            "remoteTraceTarget" => trace_target(value),
            "remoteTraceLevel" => lenient::unsigned(given, 0).into(),
            _ => continue,
        };
        record.insert(key.clone(), new);
    }
}

/// A string of 10 characters, else null.
pub(crate) fn trace_target(value: &Value) -> Value {
    match value.as_str() {
        Some(text) if text.len() == 10 => text.into(),
        _ => Value::Null,
    }
}

fn mtu(value: Option<&Value>) -> u16 {
    lenient::unsigned(value, 2800).clamp(1280, 10_000) as u16
}

fn v4_assign_mode(value: &Value) -> Value {
    let zt = match value {
        Value::String(mode) => mode == "zt",
        Value::Object(modes) => lenient::boolean(modes.get("zt"), false),
        _ => false,
    };
    json!({ "zt": zt })
}

/// An object is stored with just those modes that it names.
fn v6_assign_mode(value: &Value) -> Value {
    const MODES: [&str; 3] = ["6plane", "rfc4193", "zt"];
    match value {
        Value::Object(modes) => MODES
            .iter()
            .filter_map(|mode| modes.get_key_value(*mode))
            .map(|(mode, on)| (mode.clone(), lenient::boolean(Some(on), false).into()))
            .collect::<Map<_, _>>()
            .into(),
        _ => {
            let list = value.as_str().unwrap_or_default();
            MODES
                .iter()
                .map(|mode| {
                    let on = list.split(',').any(|word| word.trim() == *mode);
                    (String::from(*mode), on.into())
                })
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

/// A target without length is a host: 1.14.1 made it a default route.
fn routes(value: Option<&Value>) -> impl Iterator<Item = Route> {
    lenient::elements(value).filter_map(|route| {
        let target = lenient::prefix(route.get("target")?.as_str()?, |longest| longest)?;
        let via = lenient::ip(route.get("via")).filter(|via| via.is_ipv4() == target.ip.is_ipv4());
        Some(Route {
            target,
            via,
            flags: 0,
            metric: 0,
        })
    })
}

fn render_route(route: Route) -> Value {
    let via = route.via.map(|via| via.to_string());
    json!({ "target": route.target.to_string(), "via": via })
}

fn pools(value: Option<&Value>) -> impl Iterator<Item = (IpAddr, IpAddr)> {
    lenient::elements(value).filter_map(|pool| {
        let start = lenient::ip(pool.get("ipRangeStart"))?;
        let end = lenient::ip(pool.get("ipRangeEnd"))?;
        (start.is_ipv4() == end.is_ipv4()).then_some((start, end))
    })
}

fn capabilities(value: Option<&Value>) -> BTreeMap<u32, CapabilityDefinition> {
    lenient::elements(value)
        .filter_map(Value::as_object)
        .map(|capability| {
            let mut rules = rule_json::parse_rules(capability.get("rules"));
            rules.truncate(MAX_CAPABILITY_RULES);
            let default = lenient::boolean(capability.get("default"), false);
            let id = lenient::unsigned(capability.get("id"), 0) as u32;
            (id, CapabilityDefinition { default, rules })
        })
        .collect()
}

fn render_capabilities(value: &Value) -> Value {
    let capabilities: BTreeMap<u32, Value> = lenient::elements(Some(value))
        .filter_map(Value::as_object)
        .map(|capability| {
            let id = lenient::unsigned(capability.get("id"), 0) as u32;
            let rules = rule_json::parse_rules(capability.get("rules"));
            let rendered = json!({
                "default": lenient::boolean(capability.get("default"), false),
                "id": id,
                "rules": rule_json::render_rules(&rules),
            });
            (id, rendered)
        })
        .collect();
    capabilities.into_values().collect()
}

fn tags(value: Option<&Value>) -> BTreeMap<u32, Option<u32>> {
    lenient::elements(value)
        .filter_map(Value::as_object)
        .map(|tag| {
            let id = lenient::unsigned(tag.get("id"), 0) as u32;
            let default = tag
                .get("default")
                .filter(|default| !default.is_null())
                .map(|default| lenient::unsigned(Some(default), 0) as u32);
            (id, default)
        })
        .collect()
}

/// None unless it is an object.
fn tokens(value: Option<&Value>) -> Option<BTreeMap<String, u64>> {
    let tokens = value?.as_object()?;
    let expiry = |expiry: &Value| {
        expiry
            .as_f64()
            .filter(|expiry| *expiry >= 0.0)
            .map(|_| lenient::unsigned(Some(expiry), 0))
    };
    let tokens = tokens
        .iter()
        .filter_map(|(token, value)| Some((token.clone(), expiry(value)?)))
        .take(lenient::MAX_ARRAY)
        .collect();
    Some(tokens)
}

/// As it was given; what makes no sense there is left out when members get it.
fn render_dns(dns: &Map<String, Value>) -> Value {
    let mut stored = json!({ "domain": dns.get("domain") });
    if let Some(servers @ Value::Array(_)) = dns.get("servers") {
        stored["servers"] = lenient::elements(Some(servers)).cloned().collect();
    }
    stored
}

fn dns(value: Option<&Value>) -> Option<Dns> {
    let dns = value?.as_object()?;
    let domain = limited(lenient::text(dns.get("domain")).unwrap_or_default());
    let servers: Vec<SocketAddr> = lenient::elements(dns.get("servers"))
        .filter_map(|server| Some(SocketAddr::new(lenient::ip(Some(server))?, 0)))
        .take(MAX_DNS_SERVERS)
        .collect();
    (!domain.is_empty() || !servers.is_empty()).then_some(Dns { domain, servers })
}

/// Cut to what members can hold, between characters.
fn limited(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// The longest prefix among the routes that contain `ip`.
pub(crate) fn longest_route(routes: &[Route], ip: IpAddr) -> Option<IpPrefix> {
    routes
        .iter()
        .map(|route| route.target)
        .filter(|target| target.contains(ip))
        .max_by_key(|target| target.bits)
}

#[cfg(test)]
mod tests;
