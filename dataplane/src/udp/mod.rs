//! Sockets that datagrams leave from and arrive at, many per system call where the kernel can.

mod linux;

#[cfg(test)]
pub(crate) mod fake;

pub(crate) use linux::{LinuxUdp, bind};

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

/// Most datagrams that may leave in one train: the limit of older kernels.
pub(crate) const MAX_TRAIN: usize = 64;
/// Most bytes that may leave in one train: the longest UDP payload.
pub(crate) const MAX_TRAIN_BYTES: usize = 65_507;

/// How many buffers one receive call may fill.
pub(crate) const RECEIVE_BUFFERS: usize = 8;
const RECEIVE_BUFFER_LENGTH: usize = 65_536;

/// One socket. Never blocks: `WouldBlock` means try again after the next readiness event.
pub(crate) trait Udp {
    /// Fills buffers with datagrams and returns how many were filled.
    fn receive(&self, buffers: &mut ReceiveBuffers) -> io::Result<usize>;
    /// Sends `bytes` as one datagram, or as a train of datagrams of `segment` bytes each, of which the last may be shorter.
    fn send(&self, to: SocketAddr, bytes: &[u8], segment: usize) -> io::Result<()>;
    /// How many datagrams one `send` may carry: 1 if the kernel or the device cannot cut trains.
    fn max_train(&self) -> usize;
}

/// What came in: each buffer holds a train of datagrams from one sender.
pub(crate) struct ReceiveBuffers {
    memory: Box<[u8]>,
    arrivals: [Arrival; RECEIVE_BUFFERS],
}

/// One filled buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Sender.
    pub(crate) from: SocketAddr,
    /// Bytes in the buffer.
    pub(crate) length: usize,
    /// Bytes per datagram; the last may be shorter. Not 0 unless `length` is.
    pub(crate) stride: usize,
}

impl ReceiveBuffers {
    pub(crate) fn new() -> Self {
        let nobody = Arrival {
            from: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            length: 0,
            stride: 0,
        };
        Self {
            memory: vec![0; RECEIVE_BUFFERS * RECEIVE_BUFFER_LENGTH].into_boxed_slice(),
            arrivals: [nobody; RECEIVE_BUFFERS],
        }
    }

    /// The buffers, and where to note what is in them.
    pub(crate) fn parts(&mut self) -> (impl Iterator<Item = &mut [u8]>, &mut [Arrival]) {
        (
            self.memory.chunks_exact_mut(RECEIVE_BUFFER_LENGTH),
            &mut self.arrivals,
        )
    }

    /// What is in buffer `index`, and its datagrams.
    pub(crate) fn arrival(&mut self, index: usize) -> (Arrival, impl Iterator<Item = &mut [u8]>) {
        let arrival = self.arrivals[index];
        let start = index * RECEIVE_BUFFER_LENGTH;
        let length = arrival.length.min(RECEIVE_BUFFER_LENGTH);
        let datagrams = self.memory[start..start + length].chunks_mut(arrival.stride.max(1));
        (arrival, datagrams)
    }
}
