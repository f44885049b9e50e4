//! `/config`.

use serde_json::{Map, Value};

use super::Reply;
use crate::local_conf::LocalConf;

/// local.conf as it was loaded.
pub fn show(conf: &LocalConf) -> Reply {
    Reply::ok(&Value::Object(conf.document.clone()))
}

/// The keys of `settings` that a POST replaces; none if the body is JSON but not an object.
pub fn changes(body: &[u8]) -> serde_json::Result<Option<Map<String, Value>>> {
    Ok(match serde_json::from_slice(body)? {
        Value::Object(changes) => Some(changes),
        _ => None,
    })
}
