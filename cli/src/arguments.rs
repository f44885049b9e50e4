//! Switches and words of the command line (service specification D.1).

use std::path::PathBuf;

use crate::Manner;

/// What the command line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Parsed {
    /// Print the usage on standard output, exit with this code.
    Usage { code: i32 },
    /// Print the version.
    Version,
    /// hawser only: a sentence about what is wrong.
    Mistake(String),
    /// Go on.
    Options(Options),
}

/// Switches, and the words that are none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Options {
    /// `-j`
    pub(crate) json: bool,
    /// `-p<port>`
    pub(crate) port: Option<u16>,
    /// `-D<home>`
    pub(crate) home: Option<PathBuf>,
    /// `-T<token>`
    pub(crate) token: Option<String>,
    /// `-H<ip>`
    pub(crate) host: Option<String>,
    /// hawser's `--classic`: the layout of the original.
    pub(crate) classic: bool,
    /// hawser's `-f`: go on with what comes.
    pub(crate) follow: bool,
    /// hawser's `--save`: also after a restart.
    pub(crate) save: bool,
    /// hawser's `--watch`: show it again every second.
    pub(crate) watch: bool,
    /// hawser's `--sticky`: until something fails.
    pub(crate) sticky: bool,
    /// Command and arguments.
    pub(crate) words: Vec<String>,
}

/// Reads the command line. Switches may stand anywhere, their values are attached.
pub(crate) fn parse(manner: Manner, arguments: &[String]) -> Parsed {
    let mut options = Options::default();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(switch) = argument.strip_prefix('-') else {
            options.words.push(argument.clone());
            continue;
        };
        let ended = match manner {
            Manner::Original => options.original_switch(switch),
            Manner::Hawser => {
                // A value may also be the next word: nobody knows by heart that it has to be attached.
                let separate = matches!(switch, "p" | "D" | "T" | "H");
                match (separate, separate.then(|| arguments.next()).flatten()) {
                    (true, Some(value)) => options.hawser_switch(&format!("{switch}{value}")),
                    _ => options.hawser_switch(switch),
                }
            }
        };
        if let Some(ended) = ended {
            return ended;
        }
    }
    Parsed::Options(options)
}

impl Options {
    /// Takes one switch as zerotier-cli does; says if it ends everything.
    fn original_switch(&mut self, switch: &str) -> Option<Parsed> {
        let mut characters = switch.chars();
        let letter = characters.next();
        let value = characters.as_str();
        match (letter, value) {
            (Some('j'), "") => self.json = true,
            (Some('q'), "") => {}
            (Some('v'), "") => return Some(Parsed::Version),
            (Some('p'), value) => match port(value) {
                Some(port) => self.port = Some(port),
                None => return Some(Parsed::Usage { code: 1 }),
            },
            (Some('j' | 'q' | 'v'), _) | (Some('D' | 'T' | 'H'), "") => {
                return Some(Parsed::Usage { code: 1 });
            }
            (Some(letter @ ('D' | 'T' | 'H')), value) => self.set(letter, value),
            _ => return Some(Parsed::Usage { code: 0 }),
        }
        None
    }

    /// Takes one switch as hawser does: also long ones, and with words about mistakes.
    fn hawser_switch(&mut self, switch: &str) -> Option<Parsed> {
        match switch {
            "h" | "?" | "-help" => return Some(Parsed::Usage { code: 0 }),
            "v" | "-version" => return Some(Parsed::Version),
            "j" | "-json" => self.json = true,
            "q" => {}
            "f" | "-follow" => self.follow = true,
            "-classic" => self.classic = true,
            "-save" => self.save = true,
            "-sticky" => self.sticky = true,
            "-watch" => self.watch = true,
            _ => {
                let mut characters = switch.chars();
                match (characters.next(), characters.as_str()) {
                    (Some('p'), value) => match port(value) {
                        Some(port) => self.port = Some(port),
                        None => {
                            let text = format!("{value:?} is not a port (1 to 65535) for -p");
                            return Some(Parsed::Mistake(text));
                        }
                    },
                    (Some(letter @ ('D' | 'T' | 'H')), value) if !value.is_empty() => {
                        self.set(letter, value);
                    }
                    (Some(letter @ ('D' | 'T' | 'H')), _) => {
                        return Some(Parsed::Mistake(format!("-{letter} needs a value")));
                    }
                    _ => return Some(Parsed::Mistake(format!("there is no switch -{switch}"))),
                }
            }
        }
        None
    }

    fn set(&mut self, letter: char, value: &str) {
        match letter {
            'D' => self.home = Some(PathBuf::from(value)),
            'T' => self.token = Some(value.trim().to_owned()),
            _ => self.host = Some(value.to_owned()),
        }
    }

    /// The word at `index`, empty if there is none.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// The last argument of a command that takes two: a surplus word takes its place.
    pub(crate) fn last_of_two(&self) -> &str {
        self.word(self.words.len().saturating_sub(1).max(2))
    }
}

/// Leading decimal digits, as C's number conversion reads them: 1 to 65535, or none.
fn port(text: &str) -> Option<u16> {
    let text = text.trim_start();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    text[..digits].parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original(words: &[&str]) -> Parsed {
        parse(
            Manner::Original,
            &words.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
    }

    fn hawser(words: &[&str]) -> Parsed {
        parse(
            Manner::Hawser,
            &words.iter().map(ToString::to_string).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn switches_stand_anywhere() {
        let Parsed::Options(options) = original(&[
            "get",
            "-j",
            "-D/h",
            "8056c2e21c000001",
            "-p99",
            "status",
            "-Tt\n",
            "-q",
        ]) else {
            panic!("not options");
        };
        assert_eq!(options.words, ["get", "8056c2e21c000001", "status"]);
        assert!(options.json);
        assert_eq!(options.port, Some(99));
        assert_eq!(options.home, Some(PathBuf::from("/h")));
        assert_eq!(options.token.as_deref(), Some("t"));
    }

    #[test]
    fn original_mistakes_end_in_the_usage() {
        for switch in ["-h", "-?", "-x", "--help", "-"] {
            assert_eq!(original(&[switch]), Parsed::Usage { code: 0 }, "{switch}");
        }
        for switch in [
            "-p", "-p0", "-pabc", "-p65536", "-D", "-T", "-H", "-jj", "-vv", "-q1",
        ] {
            assert_eq!(original(&[switch]), Parsed::Usage { code: 1 }, "{switch}");
        }
        assert_eq!(original(&["-v", "-x"]), Parsed::Version);
    }

    #[test]
    fn hawser_names_the_mistake() {
        for (words, part) in [
            (&["-x"][..], "no switch -x"),
            (&["-p", "0"], "not a port"),
            (&["info", "-T"], "-T needs a value"),
        ] {
            match hawser(words) {
                Parsed::Mistake(text) => assert!(text.contains(part), "{text}"),
                other => panic!("{words:?}: {other:?}"),
            }
        }
        let Parsed::Options(options) = hawser(&["-p", "99", "--json", "info"]) else {
            panic!("not options");
        };
        assert_eq!((options.port, options.json), (Some(99), true));
    }

    #[test]
    fn a_third_argument_replaces_the_second() {
        let options = Options {
            words: ["get", "a", "b", "c"].map(String::from).into(),
            ..Options::default()
        };
        assert_eq!(options.last_of_two(), "c");
        assert_eq!(Options::default().last_of_two(), "");
    }
}
