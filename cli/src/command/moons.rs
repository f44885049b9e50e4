//! Moons.

use serde_json::json;

use super::{Answer, body};
use crate::Manner;
use crate::client::Request;
use crate::json;
use crate::outcome::Outcome;
use crate::session::Session;

/// `listmoons`
pub(super) fn list(session: &Session<'_>) -> Answer {
    Ok(Outcome::ok(json::pretty(&session.read("/moon")?)))
}

/// The number that a text begins with in hexadecimal, as C's number conversion reads it; 0 if there is none.
fn leading_number(text: &str) -> u64 {
    let digits = text.len()
        - text
            .trim_start_matches(|c: char| c.is_ascii_hexdigit())
            .len();
    u64::from_str_radix(&text[..digits], 16).unwrap_or(0)
}

/// A moon's id as the API of every version takes it: 10 digits, though most guides show 16.
fn world_path(id: &str) -> String {
    match id.strip_prefix("000000") {
        Some(short) if id.len() == 16 => format!("/moon/{short}"),
        _ => format!("/moon/{id}"),
    }
}

/// Checks an id for hawser: 10 digits, or for a moon also 16.
fn check(session: &Session<'_>, what: &str, text: &str, long: bool) -> Result<(), Outcome> {
    let right_length = text.len() == 10 || long && text.len() == 16;
    let right = right_length
        && text.bytes().all(|digit| digit.is_ascii_hexdigit())
        && leading_number(text) != 0;
    if right {
        return Ok(());
    }
    let digits = if long { "10 or 16" } else { "10" };
    let command = session.command();
    Err(session.mistake(&match text {
        "" => format!("{command} needs {what}, {digits} hexadecimal digits"),
        text => format!("{text:?} is not {what}, which has {digits} hexadecimal digits"),
    }))
}

/// `orbit`
pub(super) fn orbit(session: &Session<'_>) -> Answer {
    let (moon, seed) = (session.options.word(1), session.options.last_of_two());
    match session.manner {
        Manner::Original => {
            if leading_number(moon) == 0 || leading_number(seed) == 0 {
                return Ok(Outcome::silent());
            }
        }
        Manner::Hawser => {
            check(session, "the id of a moon", moon, true)?;
            check(
                session,
                "the address of one of the moon's roots",
                seed,
                false,
            )?;
        }
    }
    let reply = session.write(Request::Post(&json!({ "seed": seed })), &world_path(moon))?;
    Ok(match session.manner {
        // The original has no JSON for this one.
        Manner::Original => Outcome::ok("200 orbit OK\n"),
        Manner::Hawser => done(session, &reply.body),
    })
}

/// `deorbit`
pub(super) fn deorbit(session: &Session<'_>) -> Answer {
    let moon = session.options.word(1);
    if session.is_hawser() {
        check(session, "the id of a moon", moon, true)?;
    }
    let reply = session.write(Request::Delete, &world_path(moon))?;
    Ok(done(session, &reply.body))
}

fn done(session: &Session<'_>, text: &str) -> Outcome {
    if session.options.json {
        body(session, text)
    } else {
        Outcome::ok(format!("200 {} OK\n", session.command()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_ids_are_shortened() {
        assert_eq!(world_path("0000004b3e5f84e8"), "/moon/4b3e5f84e8");
        assert_eq!(world_path("4b3e5f84e8"), "/moon/4b3e5f84e8");
        assert_eq!(world_path("0000014b3e5f84e8"), "/moon/0000014b3e5f84e8");
        assert_eq!(world_path("123"), "/moon/123");
    }

    #[test]
    fn numbers_are_read_as_far_as_they_go() {
        assert_eq!(leading_number("4b3e5f84e8"), 0x4b_3e5f_84e8);
        assert_eq!(leading_number("12xyz"), 0x12);
        assert_eq!(leading_number("xyz"), 0);
        assert_eq!(leading_number(""), 0);
    }
}
