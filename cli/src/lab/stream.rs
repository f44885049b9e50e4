//! A paced, numbered UDP stream between two hosts, in one direction or in both at once, with the time of every datagram.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::delivery::{Arrival, Delivery};
use super::host::Host;

/// Payload bytes of each, the size of a voice packet.
const LENGTH: usize = 200;
/// How long the last datagrams may be on their way.
const STRAGGLERS: Duration = Duration::from_millis(300);
/// Safety: no stream runs longer.
const LIMIT: Duration = Duration::from_secs(300);

/// How much is sent, and which ways.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Datagrams per second and direction.
    pub rate: u32,
    /// The far end sends too.
    pub both_ways: bool,
}

impl Pace {
    /// Time between two datagrams.
    pub fn interval(self) -> Duration {
        Duration::from_secs(1) / self.rate
    }
}

/// Fine enough for gaps of a few milliseconds, and a small share of a link.
impl Default for Pace {
    fn default() -> Self {
        Self {
            rate: 500,
            both_ways: true,
        }
    }
}

/// What is known about one direction.
#[derive(Default)]
struct Record {
    sent: Mutex<Vec<Duration>>,
    arrivals: Mutex<Vec<Arrival>>,
}

/// A stream that runs. Both directions use the same pair of ports, so that flow hashing treats them alike.
pub struct Stream {
    start: Instant,
    sending: Arc<AtomicBool>,
    receiving: Arc<AtomicBool>,
    paused: Arc<AtomicBool>,
    records: [Arc<Record>; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Stream {
    /// Begins to send between the two hosts, who own the addresses.
    pub fn start(pace: Pace, ends: [(&Host, IpAddr); 2]) -> io::Result<Self> {
        let [(near, near_address), (far, far_address)] = ends;
        let near_socket = near.run(move || UdpSocket::bind((near_address, 0)))??;
        let far_socket = far.run(move || UdpSocket::bind((far_address, 0)))??;
        near_socket.connect(far_socket.local_addr()?)?;
        far_socket.connect(near_socket.local_addr()?)?;
        let mut stream = Self {
            start: Instant::now(),
            sending: Arc::new(AtomicBool::new(true)),
            receiving: Arc::new(AtomicBool::new(true)),
            paused: Arc::default(),
            records: Default::default(),
            threads: Vec::new(),
        };
        let sockets = [(&near_socket, &far_socket), (&far_socket, &near_socket)];
        for (direction, (from, to)) in sockets.into_iter().enumerate() {
            let (from, to, start) = (from.try_clone()?, to.try_clone()?, stream.start);
            to.set_read_timeout(Some(Duration::from_millis(50)))?;
            let record = Arc::clone(&stream.records[direction]);
            let receiving = Arc::clone(&stream.receiving);
            let receiver = std::thread::spawn(move || receive(&to, start, &record, &receiving));
            stream.threads.push(receiver);
            if direction == 0 || pace.both_ways {
                let record = Arc::clone(&stream.records[direction]);
                let sending = Arc::clone(&stream.sending);
                let paused = Arc::clone(&stream.paused);
                let interval = pace.interval();
                stream.threads.push(std::thread::spawn(move || {
                    send(&from, start, interval, &record, &sending, &paused);
                }));
            }
        }
        Ok(stream)
    }

    /// Time since its start, the clock of all its records.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Sends nothing until [`Stream::resume`].
    pub(super) fn pause(&self) {
        self.paused.store(true, Ordering::Relaxed);
    }

    /// Goes on. Returns the number of the first datagram from now on, in each direction.
    pub(super) fn resume(&self) -> [u64; 2] {
        let next = [0, 1].map(|direction: usize| lock(&self.records[direction].sent).len() as u64);
        self.paused.store(false, Ordering::Relaxed);
        next
    }

    /// How often a datagram has arrived so far.
    pub(super) fn copies(&self, direction: usize, sequence: u64) -> usize {
        let arrivals = lock(&self.records[direction].arrivals);
        let same = arrivals.iter().filter(|one| one.sequence == sequence);
        same.count()
    }

    /// The share that arrived of what was sent in a window of time, in each direction.
    pub fn arrived_shares(&self, from: Duration, until: Duration) -> [f64; 2] {
        [0, 1].map(|direction: usize| {
            let record = &self.records[direction];
            let (sent, arrivals) = (lock(&record.sent), lock(&record.arrivals));
            Delivery::arrived_share(&sent, &arrivals, from, until)
        })
    }

    /// Ends it: what became of the two directions around a disturbance.
    pub fn finish(mut self, disturbed: Duration) -> io::Result<[Delivery; 2]> {
        self.sending.store(false, Ordering::Relaxed);
        std::thread::sleep(STRAGGLERS);
        self.receiving.store(false, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread
                .join()
                .map_err(|_| io::Error::other("a thread of the numbered stream died"))?;
        }
        let delivery = |record: &Arc<Record>| {
            Delivery::of(&lock(&record.sent), &lock(&record.arrivals), disturbed)
        };
        Ok([delivery(&self.records[0]), delivery(&self.records[1])])
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.sending.store(false, Ordering::Relaxed);
        self.receiving.store(false, Ordering::Relaxed);
    }
}

/// The address from which the calling thread's namespace reaches `target`.
pub fn source_address(target: IpAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Connecting a UDP socket sends nothing: it only asks the routing table.
    socket.connect((target, 9))?;
    Ok(socket.local_addr()?.ip())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(
    socket: &UdpSocket,
    start: Instant,
    interval: Duration,
    record: &Record,
    sending: &AtomicBool,
    paused: &AtomicBool,
) {
    let mut datagram = [0x5a; LENGTH];
    let mut due = start.elapsed();
    for sequence in 0_u64.. {
        if !sending.load(Ordering::Relaxed) || due > LIMIT {
            return;
        }
        while paused.load(Ordering::Relaxed) && sending.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
            due = start.elapsed();
        }
        datagram[..8].copy_from_slice(&sequence.to_be_bytes());
        // Recorded first, so that nothing can arrive before it is known as sent.
        lock(&record.sent).push(start.elapsed());
        // Refused for want of a route or of buffers is lost like any other.
        let _may_be_lost = socket.send(&datagram);
        // Late is late: catching up would be a burst, whose losses were our own doing.
        due = (due + interval).max(start.elapsed());
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
}

fn receive(socket: &UdpSocket, start: Instant, record: &Record, receiving: &AtomicBool) {
    let mut datagram = [0; 2 * LENGTH];
    while receiving.load(Ordering::Relaxed) {
        // Errors are timeouts, or tell of an earlier datagram: neither is an arrival.
        let Ok(LENGTH) = socket.recv(&mut datagram) else {
            continue;
        };
        if let Some((number, _)) = datagram.split_first_chunk() {
            let sequence = u64::from_be_bytes(*number);
            let at = start.elapsed();
            lock(&record.arrivals).push(Arrival { sequence, at });
        }
    }
}
