//! `zerotier-idtool` and `hawser idtool`: identities, moons and planets, without a service (service specification D.7).

mod identities;
mod worlds;

use crate::outcome::Outcome;
use crate::{Manner, version};

/// What a command works with.
#[derive(Debug)]
struct Tool<'a> {
    manner: Manner,
    program: &'a str,
    /// The command, then its arguments.
    words: &'a [String],
}

/// Runs one command.
pub(crate) fn run(manner: Manner, program: &str, arguments: &[String]) -> Outcome {
    let tool = Tool {
        manner,
        program,
        words: arguments,
    };
    let outcome = match tool.word(0) {
        "generate" => identities::generate(&tool),
        "validate" => identities::validate(&tool),
        "getpublic" => identities::public(&tool),
        "sign" => identities::sign(&tool),
        "verify" => identities::verify(&tool),
        "initmoon" => worlds::initialise(&tool),
        "genmoon" => worlds::generate(&tool),
        "help" | "-h" | "--help" if manner == Manner::Hawser => Ok(Outcome::ok(tool.usage())),
        "" => Ok(Outcome::to_stdout(1, tool.usage())),
        other => Err(match manner {
            Manner::Original => Outcome::to_stdout(1, tool.usage()),
            Manner::Hawser => Outcome::mistake(program, &format!("there is no command {other:?}")),
        }),
    };
    outcome.unwrap_or_else(|failure| failure)
}

impl Tool<'_> {
    /// The word at `index`, empty if there is none.
    fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// The word at `index`; `what` it is if it is missing. The original answers with its usage and this exit code.
    fn required(&self, index: usize, what: &str, code: i32) -> Result<&str, Outcome> {
        match (self.word(index), self.manner) {
            ("", Manner::Original) => Err(Outcome::to_stdout(code, self.usage())),
            ("", Manner::Hawser) => Err(Outcome::mistake(
                self.program,
                &format!("{} needs {what}", self.word(0)),
            )),
            (word, _) => Ok(word),
        }
    }

    /// A failure: exit code 1.
    fn failure(&self, text: &str) -> Outcome {
        Outcome::to_stderr(1, format!("{text}\n"))
    }

    fn usage(&self) -> String {
        let (first, program) = match self.manner {
            Manner::Original => (
                format!("ZeroTier One version {}\n", version()),
                self.program,
            ),
            Manner::Hawser => (String::new(), crate::usage::short_name(self.program)),
        };
        format!(
            "{first}Usage: {program} <command> [<args>]\n\
             \n\
             Commands:\n\
             \x20 generate [<identity.secret>] [<identity.public>] [<vanity>]\n\
             \x20                                   - make an identity; its address begins with the digits of <vanity>\n\
             \x20 validate <identity>               - is it well-formed, and does its address belong to its key?\n\
             \x20 getpublic <identity.secret>       - print the public part\n\
             \x20 sign <identity.secret> <file>     - sign a file\n\
             \x20 verify <identity> <file> <signature> - check a signature\n\
             \x20 initmoon <identity.public>        - print the description of a moon with this node as its first root\n\
             \x20 genmoon <moon.json>               - sign that: writes <id>.moon (or a planet: \"worldType\": \"planet\")\n\
             \n\
             An identity is the name of a file, or the text itself.\n"
        )
    }
}

/// Text as an argument gives it: the text itself if it looks like an identity, else a file's content.
fn identity_text(argument: &str) -> Option<String> {
    if argument.len() > 32 && argument.as_bytes().get(10) == Some(&b':') {
        return Some(argument.to_owned());
    }
    std::fs::read_to_string(argument)
        .ok()
        .map(|text| text.trim().to_owned())
}
