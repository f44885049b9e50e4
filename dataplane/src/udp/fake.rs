//! A socket in memory.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use super::{RECEIVE_BUFFERS, ReceiveBuffers, Udp};

/// A datagram with the other end's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FakeDatagram {
    pub(crate) address: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug)]
struct State {
    incoming: VecDeque<FakeDatagram>,
    sent: Vec<FakeDatagram>,
    sends_allowed: usize,
    trains_refused: bool,
    error: Option<i32>,
}

/// Keeps what is sent, and gives out what a test puts in.
#[derive(Debug)]
pub(crate) struct FakeUdp(Mutex<State>);

impl Default for FakeUdp {
    fn default() -> Self {
        Self(Mutex::new(State {
            incoming: VecDeque::new(),
            sent: Vec::new(),
            sends_allowed: usize::MAX,
            trains_refused: false,
            error: None,
        }))
    }
}

impl FakeUdp {
    /// What was sent so far, datagram by datagram.
    pub(crate) fn sent(&self) -> Vec<FakeDatagram> {
        self.0.lock().unwrap().sent.clone()
    }

    /// Takes what was sent.
    pub(crate) fn take_sent(&self) -> Vec<FakeDatagram> {
        std::mem::take(&mut self.0.lock().unwrap().sent)
    }

    /// Lets a datagram arrive.
    pub(crate) fn arrive(&self, address: SocketAddr, bytes: &[u8]) {
        self.0.lock().unwrap().incoming.push_back(FakeDatagram {
            address,
            bytes: bytes.to_vec(),
        });
    }

    /// After so many calls the socket is full.
    pub(crate) fn allow_sends(&self, calls: usize) {
        self.0.lock().unwrap().sends_allowed = calls;
    }

    /// Refuses everything with this error number.
    pub(crate) fn fail_sends(&self, errno: i32) {
        self.0.lock().unwrap().error = Some(errno);
    }

    /// Behaves like a device without segmentation offload that says so at the first train.
    pub(crate) fn refuse_trains(&self) {
        self.0.lock().unwrap().trains_refused = true;
    }
}

impl Udp for FakeUdp {
    fn receive(&self, buffers: &mut ReceiveBuffers) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        let (memory, arrivals) = buffers.parts();
        let mut filled = 0;
        for (buffer, arrival) in memory.take(RECEIVE_BUFFERS).zip(arrivals) {
            let Some(first) = state.incoming.pop_front() else {
                break;
            };
            buffer[..first.bytes.len()].copy_from_slice(&first.bytes);
            arrival.from = first.address;
            arrival.stride = first.bytes.len();
            arrival.length = first.bytes.len();
            // As the kernel does: equal sizes from one sender are merged, and a shorter one may end the train.
            while arrival.length.is_multiple_of(arrival.stride.max(1))
                && let Some(next) = state.incoming.front()
                && next.address == arrival.from
                && next.bytes.len() <= arrival.stride
                && !next.bytes.is_empty()
                && arrival.length + next.bytes.len() <= buffer.len()
            {
                buffer[arrival.length..arrival.length + next.bytes.len()]
                    .copy_from_slice(&next.bytes);
                arrival.length += next.bytes.len();
                state.incoming.pop_front();
            }
            filled += 1;
        }
        if filled == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(filled)
    }

    fn send(&self, to: SocketAddr, bytes: &[u8], segment: usize) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        if let Some(errno) = state.error {
            return Err(io::Error::from_raw_os_error(errno));
        }
        if state.sends_allowed == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if state.trains_refused && bytes.len() > segment {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if state.sends_allowed != usize::MAX {
            state.sends_allowed -= 1;
        }
        for datagram in bytes.chunks(segment.max(1)) {
            state.sent.push(FakeDatagram {
                address: to,
                bytes: datagram.to_vec(),
            });
        }
        Ok(())
    }

    fn max_train(&self) -> usize {
        super::MAX_TRAIN
    }
}
