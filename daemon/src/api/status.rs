//! `/status` and `/health`.

use std::net::SocketAddr;
use std::path::Path;

use node::status::NodeStatus;
use serde_json::{Map, Value, json};

use crate::local_conf::LocalConf;

/// What the daemon adds to the node's own status.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "named as in the API")]
pub struct Effective<'a> {
    pub conf: &'a LocalConf,
    pub home: &'a Path,
    pub listening_on: Vec<SocketAddr>,
    pub primary_port: u16,
    pub secondary_port: u16,
    pub tertiary_port: u16,
}

/// `address/port`, as the API writes socket addresses.
pub fn endpoint_text(address: SocketAddr) -> String {
    format!("{}/{}", address.ip(), address.port())
}

fn endpoints(addresses: &[SocketAddr]) -> Value {
    addresses
        .iter()
        .map(|address| endpoint_text(*address))
        .collect()
}

/// Keys that `/status` and `/health` share.
pub fn health(online: bool, clock: u64) -> Value {
    let (major, minor, revision) = protocol::SOFTWARE_VERSION;
    json!({
        "clock": clock,
        "online": online,
        "version": crate::version_text(),
        "versionBuild": 0,
        "versionMajor": major,
        "versionMinor": minor,
        "versionRev": revision,
    })
}

/// `/status`.
pub fn status(node: &NodeStatus, effective: &Effective<'_>, clock: u64) -> Value {
    let mut value = health(node.online, clock);
    value["address"] = node.identity.address().to_string().into();
    value["publicIdentity"] = node.identity.to_string().into();
    value["tcpFallbackActive"] = false.into();
    value["planetWorldId"] = node.planet_id.into();
    value["planetWorldTimestamp"] = node.planet_timestamp.into();
    value["config"] = config(node, effective);
    value
}

fn config(node: &NodeStatus, effective: &Effective<'_>) -> Value {
    let mut config = effective.conf.document.clone();
    let own = match config.remove("settings") {
        Some(Value::Object(settings)) => settings,
        _ => Map::new(),
    };
    let settings = &effective.conf.settings;
    let filled = json!({
        "allowTcpFallbackRelay": settings.allow_tcp_fallback_relay,
        "forceTcpRelay": settings.force_tcp_relay,
        "homeDir": effective.home.to_string_lossy(),
        "listeningOn": endpoints(&effective.listening_on),
        "portMappingEnabled": settings.port_mapping_enabled,
        "primaryPort": settings.primary_port.unwrap_or(effective.primary_port),
        "secondaryPort": effective.secondary_port,
        "softwareUpdate": settings.software_update,
        "softwareUpdateChannel": settings.software_update_channel,
        "surfaceAddresses": endpoints(&node.surface_addresses),
        "tertiaryPort": effective.tertiary_port,
    });
    let mut merged = own;
    if let Value::Object(filled) = filled {
        merged.extend(filled);
    }
    config.insert("settings".to_owned(), Value::Object(merged));
    Value::Object(config)
}

#[cfg(test)]
mod tests {
    use node::status::Counters;
    use protocol::Identity;

    use super::*;

    const IDENTITY: &str = "4b3e5f84e8:0:0f7bc053125a9a548404842abcc51f7ae4e473193b1fe5f545c737882d5ede62bdb9d76fd94bf15812ed6fa35afa76d85c885ce72ce1d76758335f6fa347a92c";

    fn node() -> NodeStatus {
        NodeStatus {
            identity: IDENTITY.parse::<Identity>().unwrap(),
            online: true,
            planet_id: 149_604_618,
            planet_timestamp: 1_644_592_324_813,
            surface_addresses: vec!["10.79.0.1:64468".parse().unwrap()],
            counters: Counters::default(),
        }
    }

    fn effective(conf: &LocalConf) -> Effective<'_> {
        Effective {
            conf,
            home: Path::new("/var/lib/zerotier-one"),
            listening_on: vec![
                "10.79.0.1:9993".parse().unwrap(),
                "[fd00::1]:9993".parse().unwrap(),
            ],
            primary_port: 9993,
            secondary_port: 64468,
            tertiary_port: 0,
        }
    }

    #[test]
    fn as_captured() {
        let conf = LocalConf::default();
        let text = status(&node(), &effective(&conf), 1_795_197_000_490).to_string();
        let expected = format!(
            "{{\"address\":\"4b3e5f84e8\",\"clock\":1795197000490,\"config\":{{\"settings\":{{\
             \"allowTcpFallbackRelay\":true,\"forceTcpRelay\":false,\"homeDir\":\"/var/lib/zerotier-one\",\
             \"listeningOn\":[\"10.79.0.1/9993\",\"fd00::1/9993\"],\"portMappingEnabled\":true,\
             \"primaryPort\":9993,\"secondaryPort\":64468,\"softwareUpdate\":\"disable\",\
             \"softwareUpdateChannel\":\"release\",\"surfaceAddresses\":[\"10.79.0.1/64468\"],\
             \"tertiaryPort\":0}}}},\"online\":true,\"planetWorldId\":149604618,\
             \"planetWorldTimestamp\":1644592324813,\"publicIdentity\":\"{IDENTITY}\",\
             \"tcpFallbackActive\":false,\"version\":\"1.14.1\",\"versionBuild\":0,\"versionMajor\":1,\
             \"versionMinor\":14,\"versionRev\":1}}"
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn the_files_own_keys_are_shown_too() {
        let text = br#"{"physical":{"10.0.0.0/8":{}},"settings":{"allowManagementFrom":["10.79.0.0/24"],"odd":1}}"#;
        let conf = LocalConf::parse(text).unwrap();
        let value = status(&node(), &effective(&conf), 1);
        assert_eq!(value["config"]["physical"]["10.0.0.0/8"], json!({}));
        assert_eq!(value["config"]["settings"]["odd"], 1);
        assert_eq!(value["config"]["settings"]["primaryPort"], 9993);
    }

    #[test]
    fn health_is_a_subset() {
        assert_eq!(
            health(true, 1_795_197_000_500).to_string(),
            r#"{"clock":1795197000500,"online":true,"version":"1.14.1","versionBuild":0,"versionMajor":1,"versionMinor":14,"versionRev":1}"#
        );
    }
}
