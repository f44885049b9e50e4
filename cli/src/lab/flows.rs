//! Many flows at once from one host to another, each counted by itself: TCP connections that always have something to send,
//! and UDP flows at a steady pace whose datagrams tell them apart even under encryption, by their length.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::host::Host;

/// Backlogged TCP connections. Dropping them ends them.
pub struct TcpFlows {
    received: Arc<[AtomicU64]>,
    streams: Vec<TcpStream>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl TcpFlows {
    /// Opens `count` connections from `client` to `server`, who owns `address`. The kernel picks the ports: new ones each time.
    /// `congestion`: what controls the senders, by the kernel's name for it; `None`: what the system uses.
    pub fn start(
        client: &Host,
        server: &Host,
        address: Ipv4Addr,
        count: usize,
        congestion: Option<&'static str>,
    ) -> io::Result<Self> {
        let listener = server.run(move || TcpListener::bind((address, 0)))??;
        let target = listener.local_addr()?;
        let mut flows = Self {
            received: (0..count).map(|_| AtomicU64::new(0)).collect(),
            streams: Vec::with_capacity(2 * count),
            threads: Vec::with_capacity(2 * count),
            stop: Arc::default(),
        };
        for number in 0..count {
            let outgoing = client
                .run(move || TcpStream::connect_timeout(&target, Duration::from_secs(10)))??;
            if let Some(congestion) = congestion {
                rustix::net::sockopt::set_tcp_congestion(&outgoing, congestion)?;
            }
            let (incoming, _) = listener.accept()?;
            flows.streams.push(outgoing.try_clone()?);
            flows.streams.push(incoming.try_clone()?);
            let stop = Arc::clone(&flows.stop);
            flows
                .threads
                .push(std::thread::spawn(move || write(outgoing, &stop)));
            let received = Arc::clone(&flows.received);
            flows.threads.push(std::thread::spawn(move || {
                read(incoming, &received[number])
            }));
        }
        Ok(flows)
    }

    /// Bytes of payload that have arrived so far, of each connection.
    pub fn received(&self) -> Vec<u64> {
        self.received
            .iter()
            .map(|bytes| bytes.load(Ordering::Relaxed))
            .collect()
    }

    /// Mbit/s of each connection's payload during the next `window`.
    pub fn rates(&self, window: Duration) -> Vec<f64> {
        let (before, start) = (self.received(), Instant::now());
        std::thread::sleep(window);
        let (after, seconds) = (self.received(), start.elapsed().as_secs_f64());
        let megabits = |bytes: u64| bytes as f64 * 8.0 / 1e6 / seconds;
        after
            .iter()
            .zip(before)
            .map(|(after, before)| megabits(after - before))
            .collect()
    }
}

impl Drop for TcpFlows {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for stream in &self.streams {
            // Wakes the threads; one that has ended already is what we want.
            let _ended = stream.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

fn write(mut stream: TcpStream, stop: &AtomicBool) {
    let buffer = vec![0x5a; 64 * 1024];
    while !stop.load(Ordering::Relaxed) && stream.write_all(&buffer).is_ok() {}
}

fn read(mut stream: TcpStream, received: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        received.fetch_add(length as u64, Ordering::Relaxed);
    }
}

/// Payload bytes of a paced flow's datagrams: that of flow *n* is `SHORTEST + n * STEP`.
const SHORTEST: usize = 640;
const STEP: usize = 4;
/// So that the longest still passes any link in one piece.
pub const MOST_PACED: usize = 160;

/// UDP flows with a steady pace and random content. Dropping them ends them.
pub struct PacedFlows {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Keeps the port open, so that no datagram is answered by an ICMP error. What comes is dropped when its buffer is full.
    _receiver: UdpSocket,
}

impl PacedFlows {
    /// Starts `count` flows, at most [`MOST_PACED`], of `rate` datagrams per second each.
    pub fn start(
        client: &Host,
        server: &Host,
        address: Ipv4Addr,
        count: usize,
        rate: u32,
    ) -> io::Result<Self> {
        assert!(count <= MOST_PACED, "so many flows cannot be told apart");
        let receiver = server.run(move || UdpSocket::bind((address, 0)))??;
        let target = receiver.local_addr()?;
        let sockets = client.run(move || connect(target, count))??;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || pace(&sockets, rate, &stopped));
        Ok(Self {
            stop,
            thread: Some(thread),
            _receiver: receiver,
        })
    }

    /// Mbit/s of payload of `count` flows of that rate.
    pub fn megabits_per_second(count: usize, rate: u32) -> f64 {
        let bytes: usize = (0..count).map(length_of).sum();
        bytes as f64 * 8.0 * f64::from(rate) / 1e6
    }

    /// The flow to which a datagram of an encrypted packet belongs, by the length of the underlay's UDP datagram with its
    /// header; `None` if it belongs to none of `count` flows.
    pub fn of_underlay_length(length: u16, count: usize) -> Option<usize> {
        // 8 bytes of UDP, 28 of the packet's header, 10 of FRAME's (protocol specification 5), and the inner IP and UDP headers.
        const OVERHEAD: usize = 8 + 28 + 10 + 28;
        let payload = usize::from(length).checked_sub(OVERHEAD + SHORTEST)?;
        (payload % STEP == 0 && payload / STEP < count).then_some(payload / STEP)
    }
}

impl Drop for PacedFlows {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn length_of(flow: usize) -> usize {
    SHORTEST + flow * STEP
}

fn connect(target: SocketAddr, count: usize) -> io::Result<Vec<UdpSocket>> {
    (0..count)
        .map(|_| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(target)?;
            Ok(socket)
        })
        .collect()
}

fn pace(sockets: &[UdpSocket], rate: u32, stop: &AtomicBool) {
    // Random, so that no compression on the way changes the lengths.
    let mut content = vec![0; length_of(sockets.len())];
    rand::Rng::fill_bytes(&mut rand::rng(), &mut content);
    let interval = Duration::from_secs(1) / (rate * sockets.len().max(1) as u32);
    let start = Instant::now();
    let mut due = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        for (flow, socket) in sockets.iter().enumerate() {
            // Refused for want of a route or of buffers is lost like any other.
            let _may_be_lost = socket.send(&content[..length_of(flow)]);
            // Late is late: catching up would be a burst.
            due = (due + interval).max(start.elapsed().saturating_sub(Duration::from_millis(5)));
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paced_flow_is_known_by_its_length() {
        let underlay = |payload: usize| (payload + 28 + 10 + 28 + 8) as u16;
        assert_eq!(
            PacedFlows::of_underlay_length(underlay(SHORTEST), 9),
            Some(0)
        );
        assert_eq!(
            PacedFlows::of_underlay_length(underlay(length_of(8)), 9),
            Some(8)
        );
        assert_eq!(
            PacedFlows::of_underlay_length(underlay(length_of(9)), 9),
            None
        );
        assert_eq!(
            PacedFlows::of_underlay_length(underlay(SHORTEST + 1), 9),
            None
        );
        assert_eq!(PacedFlows::of_underlay_length(36, 9), None);
        assert!(length_of(MOST_PACED) + 66 < 1400);
    }

    #[test]
    fn connections_are_counted_one_by_one() {
        let host = Host::new("flows");
        // Without the right to make namespaces there is nothing to test.
        let Ok(host) = host else { return };
        let flows =
            TcpFlows::start(&host, &host, Ipv4Addr::LOCALHOST, 3, None).expect("connections");
        let rates = flows.rates(Duration::from_millis(200));
        assert_eq!(rates.len(), 3);
        assert!(rates.iter().all(|rate| *rate > 0.0), "{rates:?}");
    }
}
