//! Whether the kernel has a route, without sending anything.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Is there a way from this address on this interface to `remote`? True as well if the kernel does not let us ask.
pub fn has_route(interface: &str, local: IpAddr, remote: SocketAddr) -> bool {
    let ask = || {
        let socket = Socket::new(
            Domain::for_address(remote),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.bind(&SocketAddr::new(local, 0).into())?;
        // For UDP this is a look at the routes and nothing more.
        socket.connect(&remote.into())
    };
    match ask() {
        Ok(()) => true,
        Err(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_leads_to_itself() {
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        assert!(has_route("lo", local, "127.0.0.1:9".parse().unwrap()));
    }
}
