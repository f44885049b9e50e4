//! Member records: defaults, changes by clients, and their meaning (service specification F.6).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use protocol::{Address, Identity, NetworkId};
use serde_json::{Map, Value, json};

use crate::lenient;
use crate::network::trace_target;
use crate::store::Record;

/// Keys that are never stored.
const VOLATILE_KEYS: [&str; 7] = [
    "clock",
    "physicalAddr",
    "recentLog",
    "lastModified",
    "lastRequestMetaData",
    "authenticationURL",
    "authenticationClientID",
];

/// A member of a network.
#[derive(Debug)]
pub(crate) struct Member {
    record: Record,
    settings: Settings,
    /// Its last request since this program started.
    pub(crate) presence: Option<Presence>,
}

/// What a member's last request told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Presence {
    /// When, ms.
    pub(crate) at: u64,
    /// It was authorised and got a configuration.
    pub(crate) authorised: bool,
    /// It evaluates rules itself.
    pub(crate) rules_engine: bool,
}

impl Presence {
    /// How long after a request a member counts as online, ms.
    pub(crate) const ONLINE: u64 = 120_000;

    pub(crate) const fn is_online(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.at) < Self::ONLINE
    }
}

impl Member {
    pub(crate) fn new(record: Record) -> Self {
        Self {
            settings: Settings::of(&record),
            record,
            presence: None,
        }
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) const fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// What a member's record says.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Settings {
    pub(crate) authorised: bool,
    pub(crate) active_bridge: bool,
    pub(crate) no_auto_assign: bool,
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) tags: BTreeMap<u32, u32>,
    pub(crate) capabilities: BTreeSet<u32>,
    pub(crate) identity: KnownIdentity,
    pub(crate) trace_target: Option<Address>,
    pub(crate) trace_level: u64,
}

/// The identity that a member's requests must bear.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum KnownIdentity {
    /// The first request decides.
    None,
    Known(Identity),
    /// The record was damaged by hand; no request matches.
    Unreadable,
}

impl Settings {
    fn of(record: &Record) -> Self {
        let flag = |key| lenient::boolean(record.get(key), false);
        Self {
            authorised: flag("authorized"),
            active_bridge: flag("activeBridge"),
            no_auto_assign: flag("noAutoAssignIps"),
            ips: ips(record.get("ipAssignments")).collect(),
            tags: tags(record.get("tags")),
            capabilities: capabilities(record.get("capabilities")),
            identity: match record.get("identity").and_then(Value::as_str) {
                None | Some("") => KnownIdentity::None,
                Some(text) => text
                    .parse()
                    .map_or(KnownIdentity::Unreadable, KnownIdentity::Known),
            },
            trace_target: lenient::address(record.get("remoteTraceTarget"))
                .filter(|target| *target != Address::NONE),
            trace_level: lenient::unsigned(record.get("remoteTraceLevel"), 0),
        }
    }
}

/// The record of a new member, not saved yet: its revision is 0.
pub(crate) fn new_record(network: NetworkId, address: Address, now_ms: u64) -> Record {
    let mut record = Map::new();
    record.insert("creationTime".into(), now_ms.into());
    complete(&mut record, network, address);
    record
}

/// Brings a record into shape: what every record has is filled in, what no record has is taken out.
pub(crate) fn complete(record: &mut Record, network: NetworkId, address: Address) {
    let address = address.to_string();
    record.insert("id".into(), address.clone().into());
    record.insert("address".into(), address.into());
    record.insert("nwid".into(), network.to_string().into());
    record.insert("objtype".into(), "member".into());
    for key in VOLATILE_KEYS {
        record.remove(key);
    }
    let defaults = json!({
        "activeBridge": false,
        "authenticationExpiryTime": 0,
        "authorized": false,
        "capabilities": [],
        "creationTime": 0,
        "ipAssignments": [],
        "lastAuthorizedCredential": null,
        "lastAuthorizedCredentialType": null,
        "lastAuthorizedTime": 0,
        "lastDeauthorizedTime": 0,
        "noAutoAssignIps": false,
        "remoteTraceLevel": 0,
        "remoteTraceTarget": null,
        "revision": 0,
        "ssoExempt": false,
        "tags": [],
        "vMajor": -1,
        "vMinor": -1,
        "vProto": -1,
        "vRev": -1,
    });
    if let Value::Object(defaults) = defaults {
        for (key, value) in defaults {
            record.entry(key).or_insert(value);
        }
    }
}

/// Changes a record as a client asks: only known keys that are present count (F.6).
pub(crate) fn apply(record: &mut Record, body: &Record, now_ms: u64) {
    for (key, value) in body {
        let given = Some(value);
        let array = value.is_array();
        let new = match key.as_str() {
            "authorized" => {
                let authorised = lenient::boolean(given, false);
                if authorised != lenient::boolean(record.get("authorized"), false) {
                    if authorised {
                        authorise(record, "api", Value::Null, now_ms);
                    } else {
                        record.insert("lastDeauthorizedTime".into(), now_ms.into());
                    }
                }
                authorised.into()
            }
            "name" => lenient::text(given).unwrap_or_default().into(),
            "activeBridge" | "noAutoAssignIps" => lenient::boolean(given, false).into(),
            "ipAssignments" if array => ips(given).map(|ip| Value::from(ip.to_string())).collect(),
            "tags" if array => render_tags(&tags(given)),
            "capabilities" if array => capabilities(given).into_iter().collect(),
            "remoteTraceTarget" => trace_target(value),
            "remoteTraceLevel" | "authenticationExpiryTime" => lenient::unsigned(given, 0).into(),
            _ => continue,
        };
        record.insert(key.clone(), new);
    }
}

/// Marks a record as authorised by a credential.
pub(crate) fn authorise(record: &mut Record, kind: &str, credential: Value, now_ms: u64) {
    record.insert("authorized".into(), true.into());
    record.insert("lastAuthorizedTime".into(), now_ms.into());
    record.insert("lastAuthorizedCredentialType".into(), kind.into());
    record.insert("lastAuthorizedCredential".into(), credential);
}

/// Tags as records hold them.
pub(crate) fn render_tags(tags: &BTreeMap<u32, u32>) -> Value {
    tags.iter().map(|(id, value)| json!([id, value])).collect()
}

fn ips(value: Option<&Value>) -> impl Iterator<Item = IpAddr> {
    lenient::elements(value).filter_map(|ip| lenient::ip(Some(ip)))
}

fn tags(value: Option<&Value>) -> BTreeMap<u32, u32> {
    lenient::elements(value)
        .filter_map(|tag| {
            let id = lenient::element32(tag.get(0))?;
            Some((id, lenient::element32(tag.get(1))?))
        })
        .collect()
}

pub(crate) fn capabilities(value: Option<&Value>) -> BTreeSet<u32> {
    lenient::elements(value)
        .filter_map(|id| lenient::element32(Some(id)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: NetworkId = NetworkId(0x4b3e_5f84_e842_c20d);
    const MEMBER: Address = Address::from_u64(0x5c_d0ba_70f5);

    fn after(body: Value) -> Record {
        let mut record = new_record(NETWORK, MEMBER, 1_795_197_051_061);
        let Value::Object(body) = body else {
            panic!("not an object")
        };
        apply(&mut record, &body, 1000);
        record
    }

    #[test]
    fn a_new_record_looks_like_that_of_the_reference() {
        let mut record = new_record(NETWORK, MEMBER, 1_795_197_051_061);
        record.insert("revision".into(), 1.into());
        record.insert("identity".into(), "5cd0ba70f5:0:5f4d".into());
        assert_eq!(
            Value::Object(record).to_string(),
            concat!(
                r#"{"activeBridge":false,"address":"5cd0ba70f5","authenticationExpiryTime":0,"authorized":false,"capabilities":[],"#,
                r#""creationTime":1795197051061,"id":"5cd0ba70f5","identity":"5cd0ba70f5:0:5f4d","ipAssignments":[],"#,
                r#""lastAuthorizedCredential":null,"lastAuthorizedCredentialType":null,"lastAuthorizedTime":0,"lastDeauthorizedTime":0,"#,
                r#""noAutoAssignIps":false,"nwid":"4b3e5f84e842c20d","objtype":"member","remoteTraceLevel":0,"remoteTraceTarget":null,"#,
                r#""revision":1,"ssoExempt":false,"tags":[],"vMajor":-1,"vMinor":-1,"vProto":-1,"vRev":-1}"#,
            )
        );
    }

    #[test]
    fn bodies_are_read_leniently() {
        for (key, given, stored) in [
            ("authorized", json!("true"), json!(true)),
            ("authorized", json!(1), json!(true)),
            ("name", json!(7), json!("7")),
            ("activeBridge", json!(true), json!(true)),
            ("noAutoAssignIps", json!("1"), json!(true)),
            (
                "ipAssignments",
                json!(["10.0.0.1/24", "x", 5, null, "fd00::1"]),
                json!(["10.0.0.1", "fd00::1"]),
            ),
            ("ipAssignments", json!("10.0.0.1"), json!([])),
            (
                "tags",
                json!([[9, 1], [3, 4], [9, 2], 5, [1], ["x", 1]]),
                json!([[3, 4], [9, 2]]),
            ),
            ("capabilities", json!([9, 3, 9, "4", {}]), json!([3, 4, 9])),
            (
                "remoteTraceTarget",
                json!("caf20f3e73"),
                json!("caf20f3e73"),
            ),
            ("remoteTraceLevel", json!(3), json!(3)),
            ("authenticationExpiryTime", json!(17), json!(17)),
            ("ssoExempt", json!(true), json!(false)),
            ("vMajor", json!(1), json!(-1)),
            ("address", json!("caf20f3e73"), json!("5cd0ba70f5")),
            ("lastAuthorizedTime", json!(5), json!(0)),
        ] {
            let record = after(json!({ key: given.clone() }));
            assert_eq!(record.get(key), Some(&stored), "{key}: {given}");
        }
        for key in ["identity", "authenticationURL", "other"] {
            assert_eq!(after(json!({ key: "x" })).get(key), None);
        }
    }

    #[test]
    fn authorisation_leaves_its_traces() {
        let mut record = after(json!({ "authorized": true }));
        assert_eq!(record["lastAuthorizedTime"], 1000);
        assert_eq!(record["lastAuthorizedCredentialType"], "api");
        assert_eq!(record["lastAuthorizedCredential"], Value::Null);
        assert_eq!(record["lastDeauthorizedTime"], 0);
        let Value::Object(body) = json!({ "authorized": true }) else {
            return;
        };
        let before = record.clone();
        apply(&mut record, &body, 2000);
        assert_eq!(record, before);
        let Value::Object(body) = json!({ "authorized": false }) else {
            return;
        };
        apply(&mut record, &body, 3000);
        assert_eq!(record["lastDeauthorizedTime"], 3000);
        assert_eq!(record["lastAuthorizedTime"], 1000);
    }
}
