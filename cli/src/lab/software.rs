//! The two kinds of software that can be measured.

use std::io;
use std::path::PathBuf;

/// Name of this project's software in options and reports.
pub(super) const OURS: &str = "hawser";
/// Name of what it is compared with.
pub(super) const REFERENCE: &str = "zerotier-one";

/// The program to compare with: what the environment variable ZEROTIER_ONE names.
pub(super) fn reference_program() -> io::Result<Option<PathBuf>> {
    let Some(program) = std::env::var_os("ZEROTIER_ONE").map(PathBuf::from) else {
        return Ok(None);
    };
    if program.is_file() {
        return program.canonicalize().map(Some);
    }
    Err(io::Error::other(format!(
        "ZEROTIER_ONE={} is not a file",
        program.display()
    )))
}

/// Told to whoever asks for the reference without saying where it is.
pub(super) fn no_reference() -> io::Error {
    io::Error::other("set the environment variable ZEROTIER_ONE to the path of a zerotier-one")
}
