//! What a member tells the controller about itself (protocol specification 12.2).

use crate::dictionary::Dictionary;
use crate::{PROTOCOL_VERSION, SOFTWARE_VERSION};

const CONFIG_VERSION: u64 = 7;
const VENDOR: u64 = 1;
const MAX_RULES: u64 = 0x400;
const MAX_CAPABILITIES: u64 = 0x80;
const MAX_CAPABILITY_RULES: u64 = 0x40;
const MAX_TAGS: u64 = 0x80;
const RULES_ENGINE_REVISION: u64 = 1;

/// What a member tells the controller about itself (specification 12.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestMetadata {
    /// For example `linux/x86_64`.
    pub platform: String,
    /// Optional join token (`a`).
    pub auth: Option<String>,
}

impl RequestMetadata {
    /// The dictionary as 1.14.1 sends it.
    pub fn to_dictionary(&self) -> Dictionary {
        let (major, minor, revision) = SOFTWARE_VERSION;
        let mut out = Dictionary::new();
        for (key, value) in [
            ("v", CONFIG_VERSION),
            ("vend", VENDOR),
            ("pv", u64::from(PROTOCOL_VERSION)),
            ("majv", u64::from(major)),
            ("minv", u64::from(minor)),
            ("revv", u64::from(revision)),
            ("mr", MAX_RULES),
            ("mc", MAX_CAPABILITIES),
            ("mcr", MAX_CAPABILITY_RULES),
            ("mt", MAX_TAGS),
            ("f", 0),
            ("revr", RULES_ENGINE_REVISION),
        ] {
            out.push_u64(key, value);
        }
        out.push("o", self.platform.as_str());
        if let Some(auth) = &self.auth {
            out.push("a", auth.as_str());
        }
        out
    }
}
