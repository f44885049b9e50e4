//! hawserd as a library: what the binary runs.

pub mod api;
pub mod arguments;
pub mod bonding;
pub mod control;
pub mod home;
pub mod local_conf;
pub mod log;
pub mod os;
pub mod privileges;
pub mod startup;

/// The version that this program stands in for, as the reference prints it.
pub fn version_text() -> String {
    let (major, minor, revision) = protocol::SOFTWARE_VERSION;
    format!("{major}.{minor}.{revision}")
}
