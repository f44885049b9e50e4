//! hawserd: one program that is the daemon, and by other names the tools around it.

use std::process::ExitCode;

use daemon::arguments::{self, Invocation, Options};
use daemon::{log, privileges, startup};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let program = arguments.next().unwrap_or_else(|| "hawserd".to_owned());
    let arguments: Vec<String> = arguments.collect();
    match arguments::parse(&program, &arguments) {
        Invocation::IdentityTool(rest) => tool(cli::run_as_idtool(&program, &rest)),
        Invocation::OperatorTool(rest) => tool(cli::run_as_cli(&program, &rest)),
        Invocation::Usage(code) => {
            print!("{}", arguments::usage(&program));
            tool(code)
        }
        Invocation::Version => {
            println!("{}", daemon::version_text());
            ExitCode::SUCCESS
        }
        Invocation::Daemon(options) => run_daemon(&program, &arguments, &options),
    }
}

fn tool(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn run_daemon(program: &str, arguments: &[String], options: &Options) -> ExitCode {
    if !options.skip_root_check && !privileges::is_root() {
        eprintln!("{program}: must be run as root (uid 0)");
        return ExitCode::FAILURE;
    }
    let result = if options.background {
        startup::go_to_background(program, arguments)
    } else {
        log::start();
        startup::run(options)
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{program}: fatal error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
