//! The node itself, and paths of the API as they are.

use serde_json::Value;

use super::{Answer, body};
use crate::client::Request;
use crate::json;
use crate::outcome::Outcome;
use crate::session::Session;

/// `info`, `status`
pub(super) fn info(session: &Session<'_>) -> Answer {
    let status = session.read("/status")?;
    Ok(Outcome::ok(if session.options.json {
        json::pretty(&status)
    } else {
        line(&status)
    }))
}

fn line(status: &Value) -> String {
    let word = if json::flag(status, "tcpFallbackActive") {
        "TUNNELED"
    } else if json::flag(status, "online") {
        "ONLINE"
    } else {
        "OFFLINE"
    };
    let address = json::text(status, "address");
    let version = json::text(status, "version");
    format!("200 info {address} {version} {word}\n")
}

/// `/path`: the body as it is.
pub(super) fn raw(session: &Session<'_>) -> Answer {
    let reply = session.write(Request::Get, session.command())?;
    Ok(body(session, &reply.body))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn last_word_tells_how_we_are_connected() {
        let status = |online, tunneled| {
            line(
                &json!({"address": "5cd0ba70f5", "version": "1.14.1", "online": online, "tcpFallbackActive": tunneled}),
            )
        };
        assert_eq!(status(true, false), "200 info 5cd0ba70f5 1.14.1 ONLINE\n");
        assert_eq!(status(false, false), "200 info 5cd0ba70f5 1.14.1 OFFLINE\n");
        assert_eq!(status(true, true), "200 info 5cd0ba70f5 1.14.1 TUNNELED\n");
    }
}
