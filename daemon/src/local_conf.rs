//! `local.conf` (service specification B): read leniently, kept as it is, and translated for whom it concerns.

mod edit;
mod scalar;
mod settings;

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use node::io::{Config, PeerConfig, PhysicalNetwork};
use protocol::{Address, IpPrefix};
use serde_json::{Map, Value};

pub use scalar::{boolean, integer, text};
pub use settings::Settings;

use crate::home::Home;

/// The file's name.
pub const FILE: &str = "local.conf";
/// Trusted paths as old releases kept them (service specification A.5).
const TRUSTED_PATHS: &str = "trustedpaths";
/// At most this many entries of `physical` count.
const MAX_PHYSICAL: usize = 32;
/// A read `local.conf`.
#[derive(Clone, Debug, Default)]
pub struct LocalConf {
    /// The whole document, for the API.
    pub document: Map<String, Value>,
    /// `settings`, understood.
    pub settings: Settings,
    /// `physical` and `virtual`, understood.
    pub core: Config,
    /// What is odd about the file, each with the path of its key.
    pub warnings: Vec<String>,
}

impl LocalConf {
    /// Reads the file of a home, and the trusted paths of old releases beside it.
    pub fn load(home: &Home) -> Result<Self> {
        let content = home.read(FILE)?.unwrap_or_default();
        let mut conf =
            Self::parse(&content).with_context(|| format!("{}", home.path(FILE).display()))?;
        let legacy = home.read(TRUSTED_PATHS).unwrap_or_else(|error| {
            conf.warnings.push(format!("{error:#}"));
            None
        });
        if let Some(legacy) = legacy {
            conf.add_trusted_paths(&String::from_utf8_lossy(&legacy));
        }
        Ok(conf)
    }

    /// Adds lines `id=network/bits`, where the id is hexadecimal, to `physical`, which has the last word.
    fn add_trusted_paths(&mut self, text: &str) {
        self.warnings.push(format!(
            "the file {TRUSTED_PATHS} is obsolete: put trustedPathId into \"physical\" instead"
        ));
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = line.split_once('=').and_then(|(id, network)| {
                let id = u64::from_str_radix(id.trim(), 16)
                    .ok()
                    .filter(|id| *id != 0)?;
                Some((id, prefix(network)?))
            });
            let Some((id, network)) = entry else {
                self.warnings
                    .push(format!("{TRUSTED_PATHS}: {line:?} not understood, ignored"));
                continue;
            };
            let physical = &mut self.core.physical;
            if physical.iter().any(|entry| entry.network == network) {
                continue;
            }
            if physical.len() == MAX_PHYSICAL {
                self.warnings
                    .push(format!("{TRUSTED_PATHS}: only 32 physical networks count"));
                break;
            }
            physical.push(PhysicalNetwork {
                network,
                blacklist: false,
                trusted_path_id: Some(id),
                mtu: None,
            });
        }
        self.core.physical.sort_by_key(|entry| entry.network);
    }

    /// Reads the file's content. Nothing but white space counts as absent.
    pub fn parse(content: &[u8]) -> Result<Self> {
        if content.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let value: Value = serde_json::from_slice(content).context("not valid JSON")?;
        let Value::Object(document) = value else {
            bail!("not a JSON object");
        };
        let mut warnings = Warnings::default();
        let empty = Map::new();
        let object = |key: &str, warnings: &mut Warnings| match document.get(key) {
            None => &empty,
            Some(Value::Object(object)) => object,
            Some(_) => {
                warnings.add(key, "expected an object, ignored");
                &empty
            }
        };
        let settings = object("settings", &mut warnings);
        let core = Config {
            physical: physical(object("physical", &mut warnings), &mut warnings),
            peers: peers(object("virtual", &mut warnings), &mut warnings),
            low_bandwidth: settings.get("lowBandwidthMode").is_some_and(boolean),
            has_controller: false,
            is_plain: settings.get("plainProtocol").is_some_and(boolean),
            workers: 0,
        };
        let settings = Settings::parse(settings, &mut warnings);
        for key in document.keys() {
            if !["settings", "physical", "virtual"].contains(&key.as_str()) {
                warnings.add(key, "unknown key, kept without effect");
            }
        }
        Ok(Self {
            document,
            settings,
            core,
            warnings: warnings.0,
        })
    }

    /// The object `settings`, null if there is none.
    pub fn settings_object(&self) -> &Value {
        self.document.get("settings").unwrap_or(&Value::Null)
    }

    /// The document with `changes` put into `settings`, as the file shall read (4 spaces of indent).
    pub fn with_settings(&self, changes: &Map<String, Value>) -> Vec<u8> {
        let mut document = self.document.clone();
        let settings = document
            .entry("settings")
            .or_insert_with(|| Value::Object(Map::new()));
        if !settings.is_object() {
            *settings = Value::Object(Map::new());
        }
        if let Value::Object(settings) = settings {
            for (key, value) in changes {
                settings.insert(key.clone(), value.clone());
            }
        }
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        let written = serde::Serialize::serialize(&document, &mut serializer);
        debug_assert!(written.is_ok(), "writing to memory does not fail");
        out
    }
}

/// The file's text with an entry of `settings.peerSpecificBonds` put in; all else stays as it is. `None` if these are no
/// objects.
pub fn with_peer_bond(text: &[u8], peer: Address, entry: &Value) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let text = if text.trim().is_empty() { "{}" } else { text };
    let name = peer.to_string();
    let path = ["settings", "peerSpecificBonds", &name];
    // The same address may be written in other letters.
    let is_peer = |key: &str| key.parse() == Ok(peer);
    let edited = edit::set(text, &path, is_peer, entry)?;
    let found: Value = serde_json::from_str(&edited).ok()?;
    (found["settings"]["peerSpecificBonds"][&name] == *entry).then(|| edited.into_bytes())
}

#[derive(Default)]
struct Warnings(Vec<String>);

impl Warnings {
    fn add(&mut self, path: &str, what: &str) {
        self.0.push(format!("{path}: {what}"));
    }
}

/// Elements of an array; none for anything else.
fn array(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// `network/bits`; a single address is a network of one.
pub fn prefix(text: &str) -> Option<IpPrefix> {
    let text = text.trim();
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip.parse().ok()?, Some(bits.parse::<u8>().ok()?)),
        None => (text.parse::<IpAddr>().ok()?, None),
    };
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(longest);
    (bits <= longest).then_some(IpPrefix { ip, bits })
}

/// `address/port`.
pub fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.trim().split_once('/')?;
    let port: u16 = port.parse().ok()?;
    (port > 0).then_some(SocketAddr::new(ip.parse().ok()?, port))
}

fn physical(object: &Map<String, Value>, warnings: &mut Warnings) -> Vec<PhysicalNetwork> {
    let mut networks = Vec::new();
    for (key, value) in object {
        let path = format!("physical.{key}");
        let (Some(network), Some(entry)) = (prefix(key), value.as_object()) else {
            warnings.add(&path, "not understood, ignored");
            continue;
        };
        let mtu = entry.get("mtu").and_then(integer).unwrap_or(0);
        networks.push(PhysicalNetwork {
            network,
            blacklist: network.bits > 0 && entry.get("blacklist").is_some_and(boolean),
            trusted_path_id: entry
                .get("trustedPathId")
                .and_then(scalar::unsigned)
                .filter(|id| *id != 0),
            mtu: (mtu != 0).then(|| u16::try_from(mtu.clamp(1400, 10324)).unwrap_or(1400)),
        });
        if networks.len() == MAX_PHYSICAL {
            warnings.add(&path, "only the first 32 networks count");
            break;
        }
    }
    // First match in address order wins, so the order of the file must not matter.
    networks.sort_by_key(|entry| entry.network);
    networks
}

fn peers(object: &Map<String, Value>, warnings: &mut Warnings) -> Vec<PeerConfig> {
    let mut peers = Vec::new();
    for (key, value) in object {
        let path = format!("virtual.{key}");
        let (Ok(address), Some(entry)) = (key.parse::<Address>(), value.as_object()) else {
            warnings.add(&path, "not understood, ignored");
            continue;
        };
        let texts = |key: &str| array(entry.get(key)).filter_map(Value::as_str);
        peers.push(PeerConfig {
            address,
            r#try: texts("try").filter_map(socket_address).collect(),
            blacklist: texts("blacklist").filter_map(prefix).collect(),
        });
    }
    peers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> LocalConf {
        LocalConf::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_absent_or_empty_file_means_defaults() {
        for text in ["", " \n", "{}"] {
            let conf = parse(text);
            assert_eq!(conf.settings, Settings::default());
            assert!(conf.document.is_empty() && conf.warnings.is_empty());
        }
    }

    #[test]
    fn corrupt_files_are_refused() {
        for text in ["{bad", "[]", "7", "{\"settings\":"] {
            assert!(LocalConf::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(LocalConf::parse(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn scalars_in_odd_forms_are_understood() {
        let conf = parse(
            r#"{"settings":{"primaryPort":"9994","secondaryPort":true,"allowSecondaryPort":0,
                "portMappingEnabled":"False","forceTcpRelay":"1","softwareUpdate":true,"workers":"3"}}"#,
        );
        let settings = conf.settings;
        assert_eq!(settings.primary_port, Some(9994));
        assert_eq!(settings.secondary_port, 1);
        assert!(!settings.allow_secondary_port && !settings.port_mapping_enabled);
        assert!(settings.force_tcp_relay);
        assert_eq!(settings.software_update, "1");
        assert_eq!(settings.workers, Some(3));
    }

    #[test]
    fn unknown_keys_are_kept_and_warned_about_with_their_path() {
        let conf = parse(
            r#"{"settings":{"fastMode":1,"balance-xor":{},"bind":["10.0.0.1","x"]},"extra":{}}"#,
        );
        assert_eq!(
            conf.warnings,
            [
                "settings.fastMode: unknown key, kept without effect",
                "settings.bind[1]: not understood, ignored",
                "extra: unknown key, kept without effect",
            ]
        );
        assert_eq!(conf.document["settings"]["fastMode"], 1);
    }

    #[test]
    fn physical_networks() {
        let conf = parse(
            r#"{"physical":{"10.0.0.0/8":{"blacklist":"t","mtu":100},"0.0.0.0/0":{"blacklist":true},
                "192.168.0.0/16":{"trustedPathId":"18446744073709551615"},"nonsense":{}}}"#,
        );
        let [all, ten, lan] = &conf.core.physical[..] else {
            panic!("{:?}", conf.core.physical);
        };
        assert!(!all.blacklist, "everything cannot be excluded");
        assert!(ten.blacklist);
        assert_eq!(ten.mtu, Some(1400));
        assert_eq!(lan.trusted_path_id, Some(u64::MAX));
        assert_eq!(
            conf.warnings,
            ["physical.nonsense: not understood, ignored"]
        );
    }

    #[test]
    fn trusted_paths_of_old_releases_are_merged() {
        let mut conf = parse(r#"{"physical":{"10.1.0.0/16":{"trustedPathId":7}}}"#);
        conf.add_trusted_paths("# old\n\n1f=10.2.0.0/16\n2=10.1.0.0/16\n0=10.3.0.0/16\nx=y\n");
        let found: Vec<_> = conf
            .core
            .physical
            .iter()
            .map(|entry| (entry.network.to_string(), entry.trusted_path_id))
            .collect();
        assert_eq!(
            found,
            [
                ("10.1.0.0/16".to_owned(), Some(7)),
                ("10.2.0.0/16".to_owned(), Some(0x1f))
            ]
        );
        assert_eq!(conf.warnings.len(), 3, "{:?}", conf.warnings);
    }

    #[test]
    fn virtual_peers() {
        let conf = parse(
            r#"{"virtual":{"4b3e5f84e8":{"try":["10.79.0.1/9993","::1/9993","bad"],
                "blacklist":["10.0.0.0/8"],"role":"UPSTREAM"}}}"#,
        );
        let peer = &conf.core.peers[0];
        assert_eq!(peer.address.to_string(), "4b3e5f84e8");
        assert_eq!(peer.r#try.len(), 2);
        assert_eq!(peer.blacklist.len(), 1);
    }

    #[test]
    fn changes_are_written_with_four_spaces() {
        let changes = r#"{"allowSecondaryPort":false,"portMappingEnabled":false}"#;
        let changes: Map<String, Value> = serde_json::from_str(changes).unwrap();
        let file = parse("").with_settings(&changes);
        assert_eq!(
            String::from_utf8(file).unwrap(),
            "{\n    \"settings\": {\n        \"allowSecondaryPort\": false,\n        \
             \"portMappingEnabled\": false\n    }\n}"
        );
        let file = parse(r#"{"physical":{},"settings":[]}"#).with_settings(&changes);
        let again = LocalConf::parse(&file).unwrap();
        assert!(!again.settings.allow_secondary_port);
        assert!(again.document.contains_key("physical"));
    }
}
