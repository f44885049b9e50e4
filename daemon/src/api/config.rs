//! `/config`.

use serde_json::{Map, Value};

use super::Reply;
use crate::local_conf::LocalConf;

/// local.conf as it was loaded.
pub fn show(conf: &LocalConf) -> Reply {
    Reply::ok(&Value::Object(conf.document.clone()))
}

/// The keys of `settings` that a POST replaces; none if the body is not an object.
pub fn changes(body: &[u8]) -> Option<Map<String, Value>> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(changes)) => Some(changes),
        _ => None,
    }
}
