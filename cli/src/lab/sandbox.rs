//! A place of its own for the lab: new PID, mount and network namespaces, in a new user namespace if we lack the rights.
//!
//! Everything that the lab makes lives inside. The kernel removes it all when the process that began it ends, however it
//! ends: the daemons with the PID namespace, links and devices with the network namespaces, files with a tmpfs in the
//! mount namespace. Cleaning up can therefore not be forgotten, nor be interrupted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;

/// Tells the re-executed program that it is inside already.
const INSIDE: &str = "HAWSER_LAB_INSIDE";

/// What stands in the way of namespaces.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Neither root nor allowed to make a user namespace.
    #[error(
        "this needs namespaces of its own, and the machine forbids them: {source}. Run it as root (CAP_SYS_ADMIN), or \
         allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces > 0, and on Ubuntu \
         kernel.apparmor_restrict_unprivileged_userns=0)"
    )]
    Forbidden {
        /// What the kernel said.
        source: nix::Error,
    },
    /// Something else failed on the way in.
    #[error("cannot {action}: {source}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> SandboxError {
    move |source| SandboxError::Failed { action, source }
}

/// Where we are.
pub enum Entered {
    /// Inside. Files go below this folder, which is empty and vanishes in the end.
    Inside(PathBuf),
    /// Outside: the program was run again inside, and ended like this.
    Ended(ExitStatus),
}

/// Runs the current program again, with the same arguments, inside a sandbox; there, prepares it and returns.
///
/// Call it first thing in `main`, while the process has one thread.
pub fn enter() -> Result<Entered, SandboxError> {
    if std::env::var_os(INSIDE).is_some() {
        return prepare().map(Entered::Inside);
    }
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD] {
        signals.add(signal);
    }
    signals
        .thread_block()
        .map_err(|error| failed("block signals")(error.into()))?;
    let namespaces = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    let (user, group) = (nix::unistd::getuid(), nix::unistd::getgid());
    if unshare(namespaces).is_err() {
        unshare(CloneFlags::CLONE_NEWUSER | namespaces)
            .map_err(|source| SandboxError::Forbidden { source })?;
        // Writing "deny" first is the kernel's condition for an unprivileged gid_map (user_namespaces(7)).
        fs::write("/proc/self/setgroups", "deny").map_err(failed("write /proc/self/setgroups"))?;
        fs::write("/proc/self/uid_map", format!("0 {user} 1"))
            .map_err(failed("write /proc/self/uid_map"))?;
        fs::write("/proc/self/gid_map", format!("0 {group} 1"))
            .map_err(failed("write /proc/self/gid_map"))?;
    }
    let program = std::env::current_exe().map_err(failed("find the current program"))?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        use std::os::unix::process::CommandExt;
        command.arg0(name);
    }
    let mut child = command
        .args(arguments)
        .env(INSIDE, "1")
        .spawn()
        .map_err(failed("run inside the new namespaces"))?;
    wait_passing_signals_on(&mut child, &signals)
        .map(Entered::Ended)
        .map_err(failed("wait for the process inside"))
}

/// Waits for the end of `child`. SIGTERM is passed on. Ctrl-C reaches the child by itself (same terminal); it only must
/// not end us first, since we report how the child ended. No thread does this: having left for a new PID namespace, this
/// process may not create any (pid_namespaces(7)).
fn wait_passing_signals_on(child: &mut Child, signals: &SigSet) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if signals.wait()? == Signal::SIGTERM
            && let Ok(pid) = i32::try_from(child.id())
        {
            kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        }
    }
}

/// First steps inside: die with the parent, a /proc that shows this PID namespace, a private folder.
fn prepare() -> Result<PathBuf, SandboxError> {
    // A process inherits its parent's signal mask, and so would every daemon started from here.
    SigSet::all()
        .thread_unblock()
        .map_err(|error| failed("unblock signals")(error.into()))?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|source| failed("tie the lab to its parent")(source.into()))?;
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|source| failed("make mounts private")(source.into()))?;
    // Refused in some containers; only tools that look processes up by number miss it.
    let _optional = mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).is_ok();
    let folder = private_folder();
    mount(
        Some("tmpfs"),
        &folder,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=0755"),
    )
    .map_err(|source| failed("mount a tmpfs for the lab's files")(source.into()))?;
    Ok(folder)
}

/// A standard folder that is safe to cover inside our mount namespace: not one that holds this program or the place it
/// was started from.
fn private_folder() -> PathBuf {
    let in_use: Vec<PathBuf> = [std::env::current_exe().ok(), std::env::current_dir().ok()]
        .into_iter()
        .flatten()
        .collect();
    ["/mnt", "/srv", "/media", "/opt"]
        .map(PathBuf::from)
        .into_iter()
        .find(|folder| folder.is_dir() && !in_use.iter().any(|path| path.starts_with(folder)))
        .unwrap_or_else(|| Path::new("/tmp").to_path_buf())
}
