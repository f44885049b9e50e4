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
    if session.options.json {
        return Ok(Outcome::ok(json::pretty(&status)));
    }
    let mut outcome = Outcome::ok(line(&status));
    if session.is_hawser() {
        // Scripts read the line; people shall see what is wrong.
        outcome.stderr = problems(&status);
    }
    Ok(outcome)
}

/// What is wrong with the settings of bonds, as hawserd tells.
fn problems(status: &Value) -> String {
    let problems = json::list(status, "bondingProblems").iter();
    let lines = problems.map(|problem| {
        let word = |key| json::text(problem, key);
        format!(
            "{}: {}: {}\n",
            word("severity"),
            word("path"),
            word("reason")
        )
    });
    lines.collect()
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
    fn problems_are_named_with_their_place() {
        let problem =
            json!({"path": "settings.policies.x", "reason": "no base", "severity": "error"});
        let status = json!({"bondingProblems": [problem]});
        assert_eq!(problems(&status), "error: settings.policies.x: no base\n");
        assert_eq!(problems(&json!({})), "");
    }

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
