//! UDP sockets of Linux: one per worker and link, on one address by SO_REUSEPORT (service specification B.4).

#![allow(
    unsafe_code,
    reason = "IPV6_DONTFRAG has no safe wrapper; the one call is here"
)]

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, Socket, Type};

use super::{RECEIVE_BUFFERS, ReceiveBuffers, Udp};
use crate::LinkError;

/// Kernel buffer per socket and direction, bytes: several milliseconds at 10 Gbit/s.
const SOCKET_BUFFER: usize = 7 << 20;

/// One socket.
pub(crate) struct LinuxUdp {
    socket: std::net::UdpSocket,
    state: UdpSocketState,
}

impl Udp for LinuxUdp {
    fn receive(&self, buffers: &mut ReceiveBuffers) -> io::Result<usize> {
        let (memory, arrivals) = buffers.parts();
        let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
            std::array::from_fn(|_| IoSliceMut::new(&mut []));
        for (slice, buffer) in slices.iter_mut().zip(memory) {
            *slice = IoSliceMut::new(buffer);
        }
        let mut metas = [RecvMeta::default(); RECEIVE_BUFFERS];
        let count = self
            .state
            .recv(UdpSockRef::from(&self.socket), &mut slices, &mut metas)?;
        for (arrival, meta) in arrivals.iter_mut().zip(&metas[..count]) {
            arrival.from = meta.addr;
            arrival.length = meta.len;
            arrival.stride = meta.stride;
        }
        Ok(count)
    }

    fn send(&self, to: SocketAddr, bytes: &[u8], segment: usize) -> io::Result<()> {
        self.state.try_send(
            UdpSockRef::from(&self.socket),
            &Transmit {
                destination: to,
                ecn: None,
                contents: bytes,
                segment_size: Some(segment),
                src_ip: None,
            },
        )
    }

    fn max_train(&self) -> usize {
        self.state.max_gso_segments()
    }
}

impl LinuxUdp {
    /// Sends one datagram with another time to live; the socket is set back before this returns.
    pub(crate) fn send_with_ttl(&self, to: SocketAddr, bytes: &[u8], ttl: u8) -> io::Result<()> {
        if to.is_ipv6() {
            return self.send(to, bytes, bytes.len());
        }
        let usual = self.socket.ttl()?;
        self.socket.set_ttl(u32::from(ttl))?;
        let sent = self.send(to, bytes, bytes.len());
        self.socket.set_ttl(usual)?;
        sent
    }

    fn bind(local: SocketAddr, device: Option<&str>, shared: bool) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
        if local.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Before bind: sockets of different devices do not get into each other's way.
        if let Some(device) = device {
            socket.bind_device(Some(device.as_bytes()))?;
        }
        if shared {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&local.into())?;
        Ok(socket)
    }

    fn prepare(socket: Socket, local: SocketAddr) -> io::Result<Self> {
        if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
            socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        }
        if sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
            socket.set_send_buffer_size(SOCKET_BUFFER)?;
        }
        let socket = std::net::UdpSocket::from(socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // The library forbids fragmentation by IP, but the protocol relies on it for replies of up to 10 KB
        // (protocol specification 3).
        if local.is_ipv6() {
            sockopt::set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::DONT)?;
            allow_ipv6_fragmentation(&socket)?;
        } else {
            sockopt::set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DONT)?;
        }
        Ok(Self { socket, state })
    }
}

impl AsRawFd for LinuxUdp {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Binds `count` sockets to one address and returns them with that address (of which the port may have been 0).
pub(crate) fn bind(
    local: SocketAddr,
    device: Option<&str>,
    count: usize,
) -> Result<(Vec<LinuxUdp>, SocketAddr), LinkError> {
    let failed = |doing: &'static str| {
        move |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => LinkError::AddressInUse(local),
            _ => LinkError::Socket {
                local,
                doing,
                error,
            },
        }
    };
    // SO_REUSEPORT would share the port with any other process of this user: a socket without it finds out whether the
    // port is free.
    let mut local = local;
    let probe = LinuxUdp::bind(local, device, false).map_err(failed("bind"))?;
    drop(probe);
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = LinuxUdp::bind(local, device, true).map_err(failed("bind"))?;
        local = socket
            .local_addr()
            .map_err(failed("find the address of"))?
            .as_socket()
            .unwrap_or(local);
        sockets.push(LinuxUdp::prepare(socket, local).map_err(failed("configure"))?);
    }
    Ok((sockets, local))
}

fn allow_ipv6_fragmentation(socket: &std::net::UdpSocket) -> io::Result<()> {
    let off: libc::c_int = 0;
    // SAFETY: the pointer and the length describe one live `c_int`, and the descriptor is open while `socket` is borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_DONTFRAG,
            (&raw const off).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
