//! Paths by name: who they are, not how they do.

use std::fmt;
use std::net::SocketAddr;

use protocol::MacAddress;

use crate::link_name;

/// A path's name within its bond, given by whoever adds it; never reused for another path of the same bond.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PathId(pub u32);

/// A path as it is told to a bond.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathInfo {
    /// Its name.
    pub id: PathId,
    /// Interface that the local socket is bound to; empty if to none.
    pub interface: String,
    /// Hardware address of that interface, for links named by it.
    pub interface_mac: Option<MacAddress>,
    /// Local address and port.
    pub local: SocketAddr,
    /// The peer's address and port.
    pub remote: SocketAddr,
    /// The operating system says that the interface has carrier and its address.
    pub link_up: bool,
    /// An authentic answer to something we sent came over it just now, so both directions work.
    pub confirmed: bool,
}

impl PathInfo {
    /// Whether `name`, an interface's name, a pattern or a hardware address, means this path's link.
    pub fn is_on(&self, name: &str) -> bool {
        link_name::means(name, &self.interface, self.interface_mac)
    }
}

/// `v1ab/11.100.1.21/9997`: interface, remote address, remote port.
impl fmt::Display for PathInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interface = match self.interface.as_str() {
            "" => "-",
            name => name,
        };
        write!(f, "{interface}/{}/{}", self.remote.ip(), self.remote.port())
    }
}
