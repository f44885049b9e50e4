//! The table of commands (service specification D.3 to D.6).

mod bonds;
mod dump;
mod moons;
mod networks;
mod peers;
mod status;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::outcome::Outcome;
use crate::session::Session;
use crate::{Manner, usage};

/// Success or failure, both printed.
type Answer = Result<Outcome, Outcome>;

/// A command's name and what it does.
type Command = (&'static str, fn(&Session<'_>) -> Answer);

const COMMANDS: &[Command] = &[
    ("info", status::info),
    ("status", status::info),
    ("peers", peers::for_people),
    ("listpeers", peers::for_programs),
    ("listnetworks", networks::list),
    ("join", networks::join),
    ("leave", networks::leave),
    ("get", networks::get),
    ("set", networks::set),
    ("listmoons", moons::list),
    ("orbit", moons::orbit),
    ("deorbit", moons::deorbit),
    ("listbonds", bonds::list),
    ("bond", bonds::bond),
    ("show", bonds::show_bond),
    ("dump", dump::dump),
];

fn find(word: &str) -> Option<fn(&Session<'_>) -> Answer> {
    if word.starts_with('/') {
        return Some(status::raw);
    }
    COMMANDS
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, command)| *command)
}

/// Is there such a command?
pub(crate) fn exists(word: &str) -> bool {
    find(word).is_some()
}

/// Runs the command that the options name. Without one, or with an unknown one, the original prints its usage on
/// standard error and calls that a success.
pub(crate) fn run(session: &Session<'_>) -> Outcome {
    match find(session.command()) {
        Some(command) => command(session).unwrap_or_else(|failure| failure),
        None => Outcome::to_stderr(0, usage::of(Manner::Original, session.program)),
    }
}

/// Milliseconds since the epoch.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|time| i64::try_from(time.as_millis()).ok())
        .unwrap_or(0)
}

/// A body as the original prints it: as it is. hawser ends the line.
fn body(session: &Session<'_>, body: &str) -> Outcome {
    let mut text = body.to_owned();
    if session.is_hawser() && !text.ends_with('\n') {
        text.push('\n');
    }
    Outcome::ok(text)
}
