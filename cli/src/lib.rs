//! The operator's tools as a library: `hawser`, and the same under the names that it stands in for, `zerotier-cli` and
//! `zerotier-idtool` (service specification D).
//!
//! Each tool has two manners (`Manner`). Under the old names, texts and exit codes are those that scripts know. As
//! `hawser`, a mistake gets a sentence that says what to do, and an exit code that is not 0.

mod arguments;
mod client;
mod command;
mod discovery;
mod idtool;
mod json;
pub mod lab;
mod outcome;
mod session;
mod usage;

use arguments::{Parsed, parse};
use outcome::Outcome;
use session::Session;

/// Version that the tools announce: that of the software they stand in for.
fn version() -> String {
    let (major, minor, revision) = protocol::SOFTWARE_VERSION;
    format!("{major}.{minor}.{revision}")
}

/// How to speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    /// As zerotier-cli and zerotier-idtool do.
    Original,
    /// In sentences, with exit codes that tell failure from success.
    Hawser,
}

/// Runs as `zerotier-cli`: `program` is `argv[0]`, `arguments` are what follows. Prints, and returns the exit code.
pub fn run_as_cli(program: &str, arguments: &[String]) -> i32 {
    run(Manner::Original, program, arguments).print()
}

/// Runs as `zerotier-idtool`: `program` is `argv[0]`, `arguments` are what follows. Prints, and returns the exit code.
pub fn run_as_idtool(program: &str, arguments: &[String]) -> i32 {
    idtool::run(Manner::Original, program, arguments).print()
}

/// Runs as `hawser`: `program` is `argv[0]`, `arguments` are what follows. Prints, and returns the exit code.
pub fn run_as_hawser(program: &str, arguments: &[String]) -> i32 {
    match arguments.split_first() {
        Some((word, rest)) if word == "lab" => lab::run(rest),
        Some((word, rest)) if word == "idtool" => {
            idtool::run(Manner::Hawser, &format!("{program} idtool"), rest).print()
        }
        _ => run(Manner::Hawser, program, arguments).print(),
    }
}

/// The operator's tool in either manner. The original looks for the service before it looks at the command.
fn run(manner: Manner, program: &str, arguments: &[String]) -> Outcome {
    let options = match parse(manner, arguments) {
        Parsed::Usage { code } => return Outcome::to_stdout(code, usage::of(manner, program)),
        Parsed::Version => return Outcome::to_stdout(0, version() + "\n"),
        Parsed::Mistake(text) => return Outcome::mistake(program, &text),
        Parsed::Options(options) => options,
    };
    if manner == Manner::Hawser {
        match options.words.first().map(String::as_str) {
            None | Some("help") => return Outcome::to_stdout(0, usage::of(manner, program)),
            Some("version") => return Outcome::to_stdout(0, version() + "\n"),
            Some(word) if !command::exists(word) => {
                return Outcome::mistake(program, &format!("there is no command {word:?}"));
            }
            Some(_) => {}
        }
    }
    match discovery::discover(&options, &discovery::Environment::of_process()) {
        Ok(service) => command::run(&Session::new(manner, program, &options, service)),
        Err(error) => Outcome::to_stderr(2, error.text(manner, program)),
    }
}
