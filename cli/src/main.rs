//! `hawser`: the operator's tool. `argv[0]` decides what it is (service specification A.1), so that links named
//! zerotier-cli, zerotier-idtool and zerotier-one do what scripts expect of them.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The daemon's program, beside ours.
const DAEMON: &str = "hawserd";

fn main() {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "hawser".into());
    let arguments: Vec<OsString> = arguments.collect();
    std::process::exit(run(&program, arguments));
}

fn run(program: &OsStr, arguments: Vec<OsString>) -> i32 {
    let name = program.to_string_lossy().into_owned();
    let named = |tool: &str| name.contains(tool) || name.contains(&tool.to_uppercase());
    let is_tool = named("zerotier-idtool") || named("zerotier-cli");
    // The service's home directory is named like the service: only the file name counts.
    let file = Path::new(program)
        .file_name()
        .unwrap_or(program)
        .to_string_lossy();
    if !is_tool && (file.contains("zerotier-one") || file.contains(DAEMON)) {
        return become_daemon(program, &arguments);
    }
    let arguments: Vec<String> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    if named("zerotier-idtool") {
        cli::run_as_idtool(&name, &arguments)
    } else if named("zerotier-cli") {
        cli::run_as_cli(&name, &arguments)
    } else {
        cli::run_as_hawser(&name, &arguments)
    }
}

/// Replaces this process by the daemon, which sees the same `argv[0]`. Returns only if that failed.
fn become_daemon(program: &OsStr, arguments: &[OsString]) -> i32 {
    let Some(daemon) = find_daemon() else {
        eprintln!(
            "{}: {DAEMON} is neither beside this program nor in PATH; install it there",
            program.to_string_lossy()
        );
        return 1;
    };
    let error = Command::new(&daemon).arg0(program).args(arguments).exec();
    eprintln!(
        "{}: cannot run {}: {error}",
        program.to_string_lossy(),
        daemon.display()
    );
    1
}

fn find_daemon() -> Option<PathBuf> {
    let ourselves = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .ok()?;
    let beside = ourselves.parent().map(|directory| directory.join(DAEMON));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|directory| directory.join(DAEMON));
    beside.into_iter().chain(in_path).find(|candidate| {
        // A link of that name to ourselves would run us for ever.
        std::fs::canonicalize(candidate).is_ok_and(|target| target.is_file() && target != ourselves)
    })
}
