//! The egress batch: a fixed buffer in which packets are made side by side, and the trains that they form.
//!
//! A frame is read from its device into the slot behind the last packet, with headroom in front, and becomes a packet
//! where it lies. Packets of equal size to one destination that lie side by side leave in one system call.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use node::io::{LinkId, PathKey};

use crate::DropReason;
use crate::counters::CounterCells;
use crate::udp::{MAX_TRAIN, MAX_TRAIN_BYTES, Udp};
use crate::worker::LinkPort;

/// Room for the longest packet in pieces, or the longest frame with headroom.
pub(crate) const SLOT: usize = 10_240;
const CAPACITY: usize = 16 * SLOT;
/// How many trains are tried for one more packet: as many as a bond has paths.
const OPEN_RUNS: usize = 8;

/// Refused datagrams of one turn that are told of.
const MAX_FAILURES: usize = 16;

/// Datagrams for one destination that lie side by side.
#[derive(Debug)]
struct Run {
    link: LinkId,
    to: SocketAddr,
    bytes: Range<usize>,
    /// Size of each datagram but the last, which may be shorter.
    segment: usize,
    datagrams: usize,
    /// A shorter datagram has ended the train.
    closed: bool,
}

/// Whether everything left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flush {
    /// The batch is empty.
    Done,
    /// This link's socket is full; what was not sent waits.
    Blocked(LinkId),
}

/// Packets on their way out.
pub(crate) struct Egress {
    buffer: Box<[u8]>,
    end: usize,
    runs: Vec<Run>,
    /// Runs in front of this one have left.
    sent: usize,
    /// Paths that the kernel has refused since they were taken, and why.
    failures: Vec<(PathKey, i32)>,
}

impl Egress {
    pub(crate) fn new() -> Self {
        Self {
            buffer: vec![0; CAPACITY].into_boxed_slice(),
            end: 0,
            runs: Vec::with_capacity(256),
            sent: 0,
            failures: Vec::with_capacity(MAX_FAILURES),
        }
    }

    /// Takes what is known of refused paths.
    pub(crate) fn take_failures(&mut self) -> std::vec::Drain<'_, (PathKey, i32)> {
        self.failures.drain(..)
    }

    /// Room for one more packet, of [`SLOT`] bytes; none if the batch must be flushed first.
    pub(crate) fn slot(&mut self) -> Option<&mut [u8]> {
        if self.runs.len() == self.runs.capacity() {
            return None;
        }
        self.buffer.get_mut(self.end..self.end + SLOT)
    }

    /// Sends the first `length` bytes of the slot as `datagrams` of `segment` bytes (the last may be shorter) to each of
    /// the destinations.
    pub(crate) fn commit(
        &mut self,
        destinations: impl Iterator<Item = (LinkId, SocketAddr)>,
        length: usize,
        segment: usize,
        datagrams: usize,
    ) {
        let bytes = self.end..self.end + length;
        self.end += length;
        let uneven = length < segment * datagrams;
        for (link, to) in destinations {
            // Order matters within a destination only, and a run that ends where this packet begins holds the one
            // before it.
            let oldest = self.runs.len().saturating_sub(OPEN_RUNS).max(self.sent);
            let open = self.runs[oldest..].iter_mut().rev().find(|run| {
                !run.closed
                    && run.bytes.end == bytes.start
                    && run.link == link
                    && run.to == to
                    && (run.segment == segment || datagrams == 1 && segment < run.segment)
                    && run.datagrams + datagrams <= MAX_TRAIN
                    && run.bytes.len() + length <= MAX_TRAIN_BYTES
            });
            match open {
                Some(run) => {
                    run.closed = uneven || segment < run.segment;
                    run.bytes.end = bytes.end;
                    run.datagrams += datagrams;
                }
                None => self.runs.push(Run {
                    link,
                    to,
                    bytes: bytes.clone(),
                    segment,
                    datagrams,
                    closed: uneven,
                }),
            }
        }
    }

    /// True if nothing waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Sends what it can, in order.
    pub(crate) fn flush<U: Udp>(
        &mut self,
        links: &[LinkPort<U>],
        counters: &CounterCells,
    ) -> Flush {
        while let Some(run) = self.runs.get_mut(self.sent) {
            let blocked = match links.iter().find(|port| port.link == run.link) {
                Some(port) => !send_run(
                    &*port.socket,
                    &self.buffer,
                    run,
                    counters,
                    &mut self.failures,
                ),
                None => {
                    counters.lost_many(DropReason::NoLink, run.datagrams as u64);
                    false
                }
            };
            if blocked {
                return Flush::Blocked(run.link);
            }
            self.sent += 1;
        }
        self.clear();
        Flush::Done
    }

    /// Gives up what waits for `link`.
    pub(crate) fn discard(&mut self, link: LinkId, counters: &CounterCells) {
        for run in &mut self.runs[self.sent..] {
            if run.link == link {
                counters.lost_many(DropReason::SendBlocked, run.datagrams as u64);
                run.bytes.end = run.bytes.start;
                run.datagrams = 0;
                run.closed = true;
            }
        }
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.sent = 0;
        self.end = 0;
    }
}

/// Does this error say that nothing can leave by the path?
pub(crate) fn path_error(error: &io::Error) -> Option<i32> {
    error.raw_os_error().filter(|errno| {
        [
            libc::EHOSTUNREACH,
            libc::ENETUNREACH,
            libc::ENETDOWN,
            libc::EADDRNOTAVAIL,
            libc::ENODEV,
        ]
        .contains(errno)
    })
}

/// Sends the rest of a run; false if the socket is full, then `run` holds what is left.
fn send_run<U: Udp>(
    socket: &U,
    buffer: &[u8],
    run: &mut Run,
    counters: &CounterCells,
    failures: &mut Vec<(PathKey, i32)>,
) -> bool {
    let mut singly = false;
    while !run.bytes.is_empty() {
        let train = if singly { 1 } else { socket.max_train().max(1) };
        let length = run.bytes.len().min(train.saturating_mul(run.segment));
        let datagrams = length.div_ceil(run.segment.max(1));
        let start = run.bytes.start;
        match socket.send(run.to, &buffer[start..start + length], run.segment) {
            Ok(()) => {
                counters.sends.add(1);
                counters.datagrams_sent.add(datagrams as u64);
                counters.bytes_sent.add(length as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // The kernel or the device cannot cut this train: nothing of it has left.
            Err(_) if datagrams > 1 => {
                singly = true;
                continue;
            }
            Err(error) => {
                counters.lost(DropReason::SendFailed);
                let path = PathKey {
                    link: run.link,
                    remote: run.to,
                };
                if let Some(errno) = path_error(&error)
                    && failures.len() < MAX_FAILURES
                {
                    failures.push((path, errno));
                }
            }
        }
        run.bytes.start += length;
        run.datagrams = run.datagrams.saturating_sub(datagrams);
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::udp::fake::FakeUdp;

    fn port(link: u32, socket: &Arc<FakeUdp>) -> LinkPort<FakeUdp> {
        LinkPort::new(LinkId(link), Arc::clone(socket), None)
    }

    fn push(egress: &mut Egress, link: u32, to: &str, length: usize, fill: u8) {
        egress.slot().unwrap()[..length].fill(fill);
        let to = to.parse().unwrap();
        egress.commit([(LinkId(link), to)].into_iter(), length, length, 1);
    }

    #[test]
    fn equal_datagrams_travel_together_and_a_shorter_one_ends_the_train() {
        let (socket, counters) = (Arc::new(FakeUdp::default()), CounterCells::default());
        let mut egress = Egress::new();
        for (length, fill) in [(1000, 1), (1000, 2), (300, 3), (1000, 4), (300, 5)] {
            push(&mut egress, 1, "192.0.2.1:1", length, fill);
        }
        push(&mut egress, 1, "192.0.2.2:1", 300, 6);
        assert_eq!(egress.flush(&[port(1, &socket)], &counters), Flush::Done);
        assert!(egress.is_empty());
        let sent = socket.sent();
        let shape: Vec<_> = sent.iter().map(|d| (d.bytes[0], d.bytes.len())).collect();
        assert_eq!(
            shape,
            [
                (1, 1000),
                (2, 1000),
                (3, 300),
                (4, 1000),
                (5, 300),
                (6, 300)
            ]
        );
        assert_eq!(counters.sends.get(), 3);
        assert_eq!(counters.datagrams_sent.get(), 6);
    }

    #[test]
    fn a_full_socket_keeps_the_rest_in_order() {
        let (socket, counters) = (Arc::new(FakeUdp::default()), CounterCells::default());
        let mut egress = Egress::new();
        push(&mut egress, 1, "192.0.2.1:1", 100, 1);
        push(&mut egress, 1, "192.0.2.1:1", 200, 2);
        push(&mut egress, 1, "192.0.2.1:1", 200, 3);
        let ports = [port(1, &socket)];
        socket.allow_sends(1);
        assert_eq!(egress.flush(&ports, &counters), Flush::Blocked(LinkId(1)));
        push(&mut egress, 1, "192.0.2.1:1", 200, 4);
        assert_eq!(egress.flush(&ports, &counters), Flush::Blocked(LinkId(1)));
        socket.allow_sends(usize::MAX);
        assert_eq!(egress.flush(&ports, &counters), Flush::Done);
        let order: Vec<_> = socket.sent().iter().map(|d| d.bytes[0]).collect();
        assert_eq!(order, [1, 2, 3, 4]);
    }

    #[test]
    fn a_train_that_the_kernel_refuses_leaves_singly() {
        let (socket, counters) = (Arc::new(FakeUdp::default()), CounterCells::default());
        socket.refuse_trains();
        let mut egress = Egress::new();
        for fill in 0..5 {
            push(&mut egress, 1, "192.0.2.1:1", 500, fill);
        }
        assert_eq!(egress.flush(&[port(1, &socket)], &counters), Flush::Done);
        let order: Vec<_> = socket.sent().iter().map(|d| d.bytes[0]).collect();
        assert_eq!(order, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn one_packet_to_several_paths_is_stored_once_and_still_forms_trains() {
        let (socket, counters) = (Arc::new(FakeUdp::default()), CounterCells::default());
        let mut egress = Egress::new();
        let paths = [
            (LinkId(1), "192.0.2.1:1".parse().unwrap()),
            (LinkId(2), "192.0.2.2:1".parse().unwrap()),
        ];
        for fill in 0..4 {
            egress.slot().unwrap()[..900].fill(fill);
            egress.commit(paths.into_iter(), 900, 900, 1);
        }
        let ports = [port(1, &socket), port(2, &socket)];
        assert_eq!(egress.flush(&ports, &counters), Flush::Done);
        assert_eq!(counters.sends.get(), 2);
        for (_, to) in paths {
            let order: Vec<_> = socket
                .sent()
                .iter()
                .filter(|d| d.address == to)
                .map(|d| d.bytes[0])
                .collect();
            assert_eq!(order, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn a_link_that_is_gone_is_counted() {
        let counters = CounterCells::default();
        let mut egress = Egress::new();
        push(&mut egress, 7, "192.0.2.1:1", 100, 1);
        assert_eq!(egress.flush::<FakeUdp>(&[], &counters), Flush::Done);
        assert_eq!(counters.read(&[]).dropped(DropReason::NoLink), 1);
    }
}
