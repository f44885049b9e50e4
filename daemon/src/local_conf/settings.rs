//! What the object `settings` of `local.conf` says.

use std::net::IpAddr;
use std::path::PathBuf;

use protocol::IpPrefix;
use serde_json::{Map, Value};

use super::{Warnings, array, boolean, integer, prefix, text};

/// Where TCP tunnels go unless configured otherwise.
const DEFAULT_TCP_RELAY: &str = "204.80.128.1/443";

/// Keys of `settings` that 1.14.1 reads, and our own.
const KNOWN_SETTINGS: &[&str] = &[
    "primaryPort",
    "secondaryPort",
    "tertiaryPort",
    "allowSecondaryPort",
    "portMappingEnabled",
    "allowTcpFallbackRelay",
    "tcpFallbackRelay",
    "forceTcpRelay",
    "interfacePrefixBlacklist",
    "bind",
    "allowManagementFrom",
    "enableWebServer",
    "lowBandwidthMode",
    "multicoreEnabled",
    "concurrency",
    "cpuPinningEnabled",
    "controllerDbPath",
    "softwareUpdate",
    "softwareUpdateChannel",
    "softwareUpdateDist",
    "ssoRedirectURL",
    "controllerDb",
    "redis",
    "vault",
    "defaultBondingPolicy",
    "policies",
    "peerSpecificBonds",
    // A name of old manuals, about which the bonding parser has more to say.
    "multipathMode",
    "workers",
    "plainProtocol",
];

/// Is this key of `settings` read by anybody? The standard policies' names are keys as well.
fn is_known_setting(key: &str) -> bool {
    KNOWN_SETTINGS.contains(&key) || bond::BasePolicy::from_name(key).is_some()
}

/// What `settings` says, with defaults filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "named as in local.conf")]
pub struct Settings {
    pub primary_port: Option<u16>,
    /// 0: any.
    pub secondary_port: u16,
    /// 0: any.
    pub tertiary_port: u16,
    pub allow_secondary_port: bool,
    pub port_mapping_enabled: bool,
    pub allow_tcp_fallback_relay: bool,
    pub tcp_fallback_relay: String,
    pub force_tcp_relay: bool,
    pub interface_prefix_blacklist: Vec<String>,
    pub bind: Vec<IpAddr>,
    pub allow_management_from: Vec<IpPrefix>,
    pub cpu_pinning_enabled: bool,
    pub controller_db_path: Option<PathBuf>,
    pub software_update: String,
    pub software_update_channel: String,
    /// Data-plane threads; our own setting. None: one per core.
    pub workers: Option<usize>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            primary_port: None,
            secondary_port: 0,
            tertiary_port: 0,
            allow_secondary_port: true,
            port_mapping_enabled: true,
            allow_tcp_fallback_relay: true,
            tcp_fallback_relay: DEFAULT_TCP_RELAY.to_owned(),
            force_tcp_relay: false,
            interface_prefix_blacklist: Vec::new(),
            bind: Vec::new(),
            allow_management_from: Vec::new(),
            cpu_pinning_enabled: false,
            controller_db_path: None,
            software_update: "disable".to_owned(),
            software_update_channel: "release".to_owned(),
            workers: None,
        }
    }
}

impl Settings {
    /// Reads the object `settings`.
    pub(super) fn parse(object: &Map<String, Value>, warnings: &mut Warnings) -> Self {
        let default = Self::default();
        for key in object.keys() {
            if !is_known_setting(key) {
                warnings.add(
                    &format!("settings.{key}"),
                    "unknown key, kept without effect",
                );
            }
        }
        let flag = |key: &str, default: bool| object.get(key).map_or(default, boolean);
        let string = |key: &str, default: String| object.get(key).and_then(text).unwrap_or(default);
        let mut port = |key: &str| match object.get(key).and_then(integer) {
            None => None,
            Some(number) => {
                let port = u16::try_from(number).ok();
                if port.is_none() {
                    warnings.add(&format!("settings.{key}"), "not a port number, ignored");
                }
                port
            }
        };
        let primary_port = port("primaryPort");
        let secondary_port = port("secondaryPort").unwrap_or(0);
        let tertiary_port = port("tertiaryPort").unwrap_or(0);
        let workers = object.get("workers").and_then(integer);
        Self {
            primary_port,
            secondary_port,
            tertiary_port,
            allow_secondary_port: flag("allowSecondaryPort", default.allow_secondary_port),
            port_mapping_enabled: flag("portMappingEnabled", default.port_mapping_enabled),
            allow_tcp_fallback_relay: flag(
                "allowTcpFallbackRelay",
                default.allow_tcp_fallback_relay,
            ),
            tcp_fallback_relay: string("tcpFallbackRelay", default.tcp_fallback_relay),
            force_tcp_relay: flag("forceTcpRelay", default.force_tcp_relay),
            interface_prefix_blacklist: array(object.get("interfacePrefixBlacklist"))
                .filter_map(Value::as_str)
                .filter(|prefix| !prefix.is_empty())
                .map(str::to_owned)
                .collect(),
            bind: parsed(object, "bind", warnings, bare_ip),
            allow_management_from: parsed(object, "allowManagementFrom", warnings, prefix),
            cpu_pinning_enabled: flag("cpuPinningEnabled", default.cpu_pinning_enabled),
            controller_db_path: object
                .get("controllerDbPath")
                .and_then(Value::as_str)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            software_update: string("softwareUpdate", default.software_update),
            software_update_channel: string(
                "softwareUpdateChannel",
                default.software_update_channel,
            ),
            workers: workers
                .and_then(|n| usize::try_from(n).ok())
                .filter(|n| *n > 0),
        }
    }
}

/// Elements of an array of text in some form; others are warned about.
fn parsed<T>(
    object: &Map<String, Value>,
    key: &str,
    warnings: &mut Warnings,
    parse: impl Fn(&str) -> Option<T>,
) -> Vec<T> {
    let mut values = Vec::new();
    for (index, element) in array(object.get(key)).enumerate() {
        match element.as_str().and_then(&parse) {
            Some(value) => values.push(value),
            None => warnings.add(
                &format!("settings.{key}[{index}]"),
                "not understood, ignored",
            ),
        }
    }
    values
}

/// An address, with or without a prefix length or port behind it.
fn bare_ip(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.trim().parse().ok()
}
