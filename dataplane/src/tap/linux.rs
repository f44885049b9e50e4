//! Multi-queue TAP devices of Linux (service specification E.1).

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::{Tap, TapInfo, TapSettings};
use crate::TapError;

/// Frames that the kernel may queue per device before it drops: bounds the delay.
const TRANSMIT_QUEUE_LENGTH: u32 = 1000;

/// Where the kernel offers devices.
const CONTROL_DEVICE: &str = "/dev/net/tun";

/// One queue.
pub(crate) struct LinuxTap(SyncDevice);

impl Tap for LinuxTap {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer)
    }

    fn write(&self, frame: &[u8]) -> io::Result<()> {
        self.0.send(frame).map(drop)
    }
}

impl AsRawFd for LinuxTap {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A device with all its queues. It disappears with the last of them.
pub(crate) struct TapDevice {
    /// One per worker.
    pub(crate) queues: Vec<Arc<LinuxTap>>,
    /// What it came to be.
    pub(crate) info: TapInfo,
}

impl TapDevice {
    /// Makes the device, sets its MAC address and MTU, and brings it up.
    pub(crate) fn create(settings: &TapSettings, queues: usize) -> Result<Self, TapError> {
        let name = &settings.name;
        if name.is_empty() || name.len() > 15 || name.contains(['/', '\0', ' ', '%']) {
            return Err(TapError::InvalidName(name.clone()));
        }
        if !Path::new(CONTROL_DEVICE).exists() {
            return Err(TapError::NotSupported);
        }
        // Attaching to an existing device would succeed if it is a persistent TAP of somebody else.
        if interface_exists(name) {
            return Err(TapError::NameTaken(name.clone()));
        }
        let failed = |doing: &'static str| {
            move |error: io::Error| match error.kind() {
                io::ErrorKind::PermissionDenied => TapError::PermissionDenied,
                io::ErrorKind::ResourceBusy => TapError::NameTaken(name.clone()),
                _ => TapError::Device {
                    name: name.clone(),
                    doing,
                    error,
                },
            }
        };
        let first = DeviceBuilder::new()
            .layer(Layer::L2)
            .name(name.as_str())
            .multi_queue(queues > 1)
            .packet_information(false)
            .mac_addr(settings.mac.0)
            .mtu(settings.mtu)
            .tx_queue_len(TRANSMIT_QUEUE_LENGTH)
            .enable(true)
            .build_sync()
            .map_err(failed("create"))?;
        let index = first.if_index().map_err(failed("find"))?;
        let mut all = vec![first];
        while all.len() < queues {
            let next = all[0].try_clone().map_err(failed("add a queue to"))?;
            all.push(next);
        }
        for queue in &all {
            queue
                .set_nonblocking(true)
                .map_err(failed("set non-blocking"))?;
        }
        Ok(Self {
            queues: all
                .into_iter()
                .map(|queue| Arc::new(LinuxTap(queue)))
                .collect(),
            info: TapInfo {
                name: name.clone(),
                index,
            },
        })
    }

    /// Changes the MTU of the live device.
    pub(crate) fn set_mtu(&self, mtu: u16) -> Result<(), TapError> {
        self.queues[0]
            .0
            .set_mtu(mtu)
            .map_err(|error| TapError::Device {
                name: self.info.name.clone(),
                doing: "set the MTU of",
                error,
            })
    }
}

/// Asks the kernel by name: `/sys/class/net` may show another network namespace.
fn interface_exists(name: &str) -> bool {
    rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)
        .and_then(|socket| name_to_index(&socket, name))
        .is_ok()
}
