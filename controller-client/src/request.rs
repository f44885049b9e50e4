//! What a node sends to ask for its configuration (protocol specification 7.12, 12.2).

use protocol::NetworkId;
use protocol::network_config::{NetworkConfig, RequestMetadata};
use protocol::verb::NetworkConfigRequest;

/// Longest metadata dictionary that a controller reads, in bytes (protocol specification 7.12).
pub const MAX_METADATA: usize = 1023;

/// Platform and processor of this build in the protocol's words (protocol specification 12.2), for example
/// `linux/x86_64`.
pub fn platform() -> String {
    let system = match std::env::consts::OS {
        "freebsd" | "netbsd" | "openbsd" | "dragonfly" => "bsd",
        known @ ("linux" | "windows" | "android" | "macos" | "solaris" | "aix") => known,
        _ => "unknown",
    };
    let processor = match std::env::consts::ARCH {
        known @ ("x86_64" | "x86" | "arm" | "s390") => known,
        "aarch64" => "arm64",
        "loongarch64" => "loongarch",
        "mips" | "mips64" => "mips",
        "riscv32" | "riscv64" => "riscv",
        "powerpc" | "powerpc64" => "powerpc",
        "s390x" => "s390",
        _ => "unknown",
    };
    format!("{system}/{processor}")
}

/// The request of a node that holds `held`, or nothing yet, of `network`.
pub fn config_request(
    network: NetworkId,
    metadata: &RequestMetadata,
    held: Option<&NetworkConfig>,
) -> NetworkConfigRequest {
    let mut metadata = metadata.to_dictionary().encode();
    metadata.truncate(MAX_METADATA);
    NetworkConfigRequest {
        network,
        metadata,
        have_revision: held.map_or(0, |config| config.revision),
        have_timestamp: held.map_or(0, |config| config.timestamp),
    }
}
