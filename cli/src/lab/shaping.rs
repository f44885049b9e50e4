//! Slow links: a token bucket filter at an interface's way out (tc-tbf(8)), set by the tool tc.

use std::io;
use std::process::{Command, Stdio};

/// Bytes that may go at once, and how long a packet may wait before it is dropped instead.
const BURST: &str = "64kb";
const LATENCY: &str = "40ms";

/// What a person without the tool is told.
const MISSING: &str = "links can only be slowed down with the tool tc: install the package iproute2 (on some systems \
                       iproute-tc), or leave them as fast as they are";

/// Fails with a sentence for a person if tc is not installed.
pub fn check_tool() -> io::Result<()> {
    let ran = Command::new("tc")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match ran {
        Ok(status) if status.success() => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, MISSING)),
    }
}

/// Drops what would leave by `interface` of the calling thread's namespace in frames of more than so many bytes; what the
/// kernel carries as one and would cut later is cut here.
pub fn limit_length(interface: &str, bytes: u32) -> io::Result<()> {
    replace_queue(
        interface,
        &[
            "rate",
            "1gbit",
            "burst",
            &format!("{bytes}b"),
            "latency",
            LATENCY,
        ],
    )
}

/// Limits what leaves by `interface` of the calling thread's namespace to so many Mbit/s (10^6 bits).
pub fn limit_rate(interface: &str, megabits_per_second: u32) -> io::Result<()> {
    let rate = format!("{megabits_per_second}mbit");
    replace_queue(
        interface,
        &["rate", &rate, "burst", BURST, "latency", LATENCY],
    )
}

fn replace_queue(interface: &str, parameters: &[&str]) -> io::Result<()> {
    let output = Command::new("tc")
        .args(["qdisc", "replace", "dev", interface, "root", "tbf"])
        .args(parameters)
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(error.kind(), MISSING),
            _ => error,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "tc cannot limit {interface} (the kernel needs its module sch_tbf): {}",
        reason.trim()
    )))
}
