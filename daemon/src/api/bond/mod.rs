//! `/bond`. Bonding is off, and every call says so.

pub mod json;

use super::{Call, Method, Reply};

/// Answers a call below `/bond`.
pub fn answer(call: &Call, rest: &[&str]) -> Reply {
    match (call.method, rest) {
        (Method::Get, ["show", address]) | (Method::Post, ["rotate", address])
            if address.parse::<protocol::Address>().is_ok() =>
        {
            Reply::empty_object(400)
        }
        (Method::Post, ["setmtu", _, _, _]) => {
            // The tools put "Failed to set MTU: " in front.
            Reply::text(400, "Bonding layer isn't active yet")
        }
        _ => Reply::not_found(),
    }
}
