//! Which personality the program was started as, and the daemon's switches (service specification A.1, A.2).

use std::path::PathBuf;

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Invocation {
    /// Be the identity tool, with these arguments.
    IdentityTool(Vec<String>),
    /// Be the operator's tool, with these arguments.
    OperatorTool(Vec<String>),
    /// Run the daemon.
    Daemon(Options),
    /// Print the usage and exit with this code.
    Usage(i32),
    /// Print the version and exit.
    Version,
}

/// The daemon's switches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// `-U`: do not insist on root, do not drop privileges.
    pub skip_root_check: bool,
    /// `-d`: go to the background.
    pub background: bool,
    /// `-p`: primary port; 0 means any.
    pub port: Option<u16>,
    /// Home directory.
    pub home: Option<PathBuf>,
}

/// Reads the command line. `program` is `argv[0]`.
pub fn parse(program: &str, arguments: &[String]) -> Invocation {
    if names(program, "zerotier-idtool") {
        return Invocation::IdentityTool(arguments.to_vec());
    }
    if names(program, "zerotier-cli") {
        return Invocation::OperatorTool(arguments.to_vec());
    }
    if arguments.first().is_some_and(|first| first == "-i") {
        return Invocation::IdentityTool(arguments[1..].to_vec());
    }
    let mut options = Options::default();
    for argument in arguments {
        let Some(switch) = argument.strip_prefix('-') else {
            if options.home.is_some() {
                return Invocation::Usage(0);
            }
            options.home = Some(PathBuf::from(argument));
            continue;
        };
        match switch {
            "q" => return Invocation::OperatorTool(arguments.to_vec()),
            "U" => options.skip_root_check = true,
            "d" => options.background = true,
            _ if switch.starts_with('v') => return Invocation::Version,
            _ if switch.starts_with('p') => match port(&switch[1..]) {
                Some(port) => options.port = Some(port),
                None => return Invocation::Usage(1),
            },
            _ => return Invocation::Usage(0),
        }
    }
    Invocation::Daemon(options)
}

/// `argv[0]` is matched as a whole, path included, in lower or upper case.
fn names(program: &str, name: &str) -> bool {
    program.contains(name) || program.contains(&name.to_uppercase())
}

/// Leading decimal digits, as C's number conversion reads them; text without any is 0. None beyond 65535.
fn port(text: &str) -> Option<u16> {
    let text = text.trim_start();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Some(0);
    }
    text[..digits].parse().ok()
}

/// The usage text.
pub fn usage(program: &str) -> String {
    format!(
        "ZeroTier One version {version}\n\
         Hawser: a network node that speaks the ZeroTier protocol.\n\
         Not affiliated with ZeroTier, Inc.\n\
         Usage: {program} [-switches] [home directory]\n\
         \n\
         \x20 -h                - Display this help\n\
         \x20 -v                - Show version\n\
         \x20 -U                - Skip the check for root, and keep all privileges\n\
         \x20 -p<port>          - Port for UDP and the local API (default: 9993, 0: any)\n\
         \x20 -d                - Run in the background\n\
         \x20 -i                - Be the identity tool (zerotier-idtool)\n\
         \x20 -q                - Be the operator's tool (zerotier-cli)\n",
        version = crate::version_text(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(arguments: &[&str]) -> Invocation {
        parse("/usr/sbin/zerotier-one", &strings(arguments))
    }

    fn strings(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn argv0_decides_first() {
        let none = strings(&[]);
        assert_eq!(
            parse("/usr/sbin/zerotier-idtool", &none),
            Invocation::IdentityTool(vec![])
        );
        assert_eq!(
            parse("ZEROTIER-CLI", &none),
            Invocation::OperatorTool(vec![])
        );
        assert_eq!(
            parse("/zerotier-cli/zerotier-idtool", &none),
            Invocation::IdentityTool(vec![])
        );
        assert_eq!(
            parse("hawserd", &none),
            Invocation::Daemon(Options::default())
        );
    }

    #[test]
    fn i_must_be_the_first_argument_and_exact() {
        assert_eq!(
            daemon(&["-i", "generate"]),
            Invocation::IdentityTool(strings(&["generate"]))
        );
        assert_eq!(daemon(&["-igenerate"]), Invocation::Usage(0));
        assert_eq!(
            daemon(&["-q", "info"]),
            Invocation::OperatorTool(strings(&["-q", "info"]))
        );
        assert_eq!(daemon(&["-qinfo"]), Invocation::Usage(0));
    }

    #[test]
    fn ports() {
        let with = |port| {
            Invocation::Daemon(Options {
                port: Some(port),
                ..Options::default()
            })
        };
        assert_eq!(daemon(&["-p9994"]), with(9994));
        assert_eq!(daemon(&["-p0"]), with(0));
        assert_eq!(daemon(&["-p"]), with(0));
        assert_eq!(daemon(&["-pabc"]), with(0));
        assert_eq!(daemon(&["-p65536"]), Invocation::Usage(1));
    }

    #[test]
    fn arguments_are_handled_left_to_right() {
        assert_eq!(daemon(&["-v", "-p70000"]), Invocation::Version);
        assert_eq!(daemon(&["-p70000", "-v"]), Invocation::Usage(1));
        assert_eq!(daemon(&["-h"]), Invocation::Usage(0));
        assert_eq!(daemon(&["-z"]), Invocation::Usage(0));
        assert_eq!(
            daemon(&["-U", "/tmp/home", "-d"]),
            Invocation::Daemon(Options {
                skip_root_check: true,
                background: true,
                port: None,
                home: Some("/tmp/home".into()),
            })
        );
        assert_eq!(daemon(&["/a", "/b"]), Invocation::Usage(0));
    }
}
