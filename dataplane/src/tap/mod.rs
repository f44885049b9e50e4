//! Ethernet devices of the host.
//!
//! One read gives one frame and one write takes one. Super-frames (a virtio header and segmentation offload) would enter
//! here: `Tap::read` would then fill the buffer with a super-frame that `outbound.rs` cuts, straight into the batch.

mod linux;

#[cfg(test)]
pub(crate) mod fake;

pub(crate) use linux::{LinuxTap, TapDevice};

use std::io;

use protocol::MacAddress;

/// One queue of a device. Never blocks: `WouldBlock` means try again after the next readiness event.
pub(crate) trait Tap {
    /// Reads one frame into `buffer`; what does not fit is cut off.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes one frame, Ethernet header first.
    fn write(&self, frame: &[u8]) -> io::Result<()>;
}

/// What a network's device shall look like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TapSettings {
    /// Interface name, at most 15 bytes.
    pub name: String,
    /// Device MTU, 1280..=10000.
    pub mtu: u16,
    /// Our MAC address on the network.
    pub mac: MacAddress,
}

/// What a network's device came to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TapInfo {
    /// Interface name.
    pub name: String,
    /// Interface index.
    pub index: u32,
}
