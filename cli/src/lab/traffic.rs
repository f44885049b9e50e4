//! Traffic for the lab: ICMP echo and TCP streams, made by this program so that a bare machine can show something; iperf3
//! is used for throughput where it is installed.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::host::Host;

/// What came of a series of pings.
#[derive(Clone, Debug, Default)]
pub struct PingResult {
    /// Requests sent.
    pub sent: u32,
    /// Round-trip times of the answers.
    pub round_trips: Vec<Duration>,
}

impl PingResult {
    /// The median round trip.
    pub fn median(&self) -> Option<Duration> {
        let mut sorted = self.round_trips.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied()
    }
}

/// Sends `count` ICMP echo requests (RFC 792), each waiting up to `timeout` for its answer.
pub fn ping(target: Ipv4Addr, count: u32, timeout: Duration) -> io::Result<PingResult> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    let identifier = (std::process::id() as u16) ^ u16::from(target.octets()[3]);
    let mut result = PingResult {
        sent: count,
        ..PingResult::default()
    };
    for sequence in 0..count {
        let request = echo_request(identifier, sequence as u16);
        let start = Instant::now();
        match socket.send_to(&request, &SocketAddr::from((target, 0)).into()) {
            Ok(_) => {}
            // No route yet counts as no answer: the address may be on its way to the device.
            Err(error) if is_unreachable(&error) => {
                std::thread::sleep(timeout);
                continue;
            }
            Err(error) => return Err(error),
        }
        if wait_for_reply(
            &socket,
            target,
            identifier,
            sequence as u16,
            start + timeout,
        )? {
            result.round_trips.push(start.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(result)
}

fn is_unreachable(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable};
    matches!(
        error.kind(),
        HostUnreachable | NetworkDown | NetworkUnreachable
    )
}

fn echo_request(identifier: u16, sequence: u16) -> [u8; 40] {
    let mut packet = [0x5a; 40];
    packet[..4].copy_from_slice(&[8, 0, 0, 0]);
    packet[4..6].copy_from_slice(&identifier.to_be_bytes());
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    let sum: u32 = packet
        .chunks(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    packet
}

fn wait_for_reply(
    socket: &Socket,
    target: Ipv4Addr,
    identifier: u16,
    sequence: u16,
    deadline: Instant,
) -> io::Result<bool> {
    let mut buffer = [0; 2048];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        socket.set_read_timeout(Some(left))?;
        let mut reader: &Socket = socket;
        let length = match reader.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let packet = &buffer[..length];
        let Some(icmp) = packet
            .first()
            .and_then(|b| packet.get(usize::from(b & 15) * 4..))
        else {
            continue;
        };
        let from_target = packet.get(12..16) == Some(&target.octets()[..]);
        let ([id0, id1], [sequence0, sequence1]) =
            (identifier.to_be_bytes(), sequence.to_be_bytes());
        let is_reply = icmp.get(..2) == Some(&[0, 0])
            && icmp.get(4..8) == Some(&[id0, id1, sequence0, sequence1]);
        if from_target && is_reply {
            return Ok(true);
        }
    }
}

/// Payload that arrived, and how long that took.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// Bytes of TCP payload at the receiver.
    pub bytes: u64,
    /// Measured time.
    pub duration: Duration,
    /// Longest time within the run in which nothing arrived (resolution 100 ms).
    pub longest_stall: Duration,
    /// Segments that TCP sent again, if known.
    pub retransmissions: Option<u64>,
}

impl Throughput {
    /// Megabits per second.
    pub fn megabits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / 1e6 / self.duration.as_secs_f64().max(1e-9)
    }
}

/// True if iperf3 can be run.
pub fn has_iperf3() -> bool {
    Command::new("iperf3")
        .arg("-v")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// TCP segments that the calling thread's namespace has sent again so far (RFC 4022, tcpRetransSegs).
pub fn retransmitted_segments() -> io::Result<u64> {
    let counters = std::fs::read_to_string("/proc/thread-self/net/snmp")?;
    let mut lines = counters.lines().filter(|line| line.starts_with("Tcp:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return Err(io::Error::other("no TCP counters in /proc/net/snmp"));
    };
    let mut pairs = names.split(' ').zip(values.split(' '));
    pairs
        .find(|(name, _)| *name == "RetransSegs")
        .and_then(|(_, value)| value.parse().ok())
        .ok_or_else(|| io::Error::other("no RetransSegs in /proc/net/snmp"))
}

/// Measures `streams` TCP streams from `client` to `server` (who owns `address`) for `seconds`.
pub fn measure(
    client: &Host,
    server: &Host,
    address: IpAddr,
    streams: u32,
    seconds: u32,
) -> io::Result<Throughput> {
    if has_iperf3() {
        iperf3(client, server, address, streams, seconds)
    } else {
        generate(client, server, address, streams, seconds)
    }
}

fn iperf3(
    client: &Host,
    server: &Host,
    address: IpAddr,
    streams: u32,
    seconds: u32,
) -> io::Result<Throughput> {
    let mut listener = server.run(move || {
        Command::new("iperf3")
            .args(["-s", "-1", "-B", &address.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    })??;
    std::thread::sleep(Duration::from_millis(300));
    let output = client.run(move || {
        Command::new("iperf3")
            .args([
                "-c",
                &address.to_string(),
                "-J",
                "-i",
                "0.1",
                "--connect-timeout",
                "5000",
            ])
            .args(["-P", &streams.to_string(), "-t", &seconds.to_string()])
            .output()
    })?;
    let _ended_by_itself = listener.kill();
    listener.wait()?;
    parse_iperf3(&output?.stdout)
}

/// Reads iperf3's JSON report.
fn parse_iperf3(report: &[u8]) -> io::Result<Throughput> {
    let report: serde_json::Value = serde_json::from_slice(report)?;
    if let Some(error) = report["error"].as_str() {
        return Err(io::Error::other(format!("iperf3: {error}")));
    }
    let received = &report["end"]["sum_received"];
    let (Some(bytes), Some(seconds)) = (received["bytes"].as_u64(), received["seconds"].as_f64())
    else {
        return Err(io::Error::other("iperf3: no result in its report"));
    };
    let (mut stall, mut longest) = (0.0, 0.0_f64);
    for interval in report["intervals"].as_array().into_iter().flatten() {
        let sum = &interval["sum"];
        stall = match sum["bytes"].as_u64() {
            Some(0) => stall + sum["seconds"].as_f64().unwrap_or(0.0),
            _ => 0.0,
        };
        longest = longest.max(stall);
    }
    Ok(Throughput {
        bytes,
        duration: Duration::from_secs_f64(seconds),
        longest_stall: Duration::from_secs_f64(longest),
        retransmissions: report["end"]["sum_sent"]["retransmits"].as_u64(),
    })
}

/// Sends `length` bytes of a known pseudo-random stream over one TCP connection and compares what arrives, byte for byte.
pub fn transfer(client: &Host, server: &Host, address: IpAddr, length: u64) -> io::Result<()> {
    let listener = server.run(move || TcpListener::bind((address, 0)))??;
    let target = listener.local_addr()?;
    let receiver = server.spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let (mut expected, mut left) = (Pattern::default(), length);
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let wanted = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            stream.read_exact(&mut buffer[..wanted])?;
            if !buffer[..wanted]
                .iter()
                .all(|byte| *byte == expected.next_byte())
            {
                return Err(io::Error::other("the transfer arrived altered"));
            }
            left -= wanted as u64;
        }
        Ok(())
    })?;
    let sender = client.spawn(move || -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(10))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        let (mut pattern, mut left) = (Pattern::default(), length);
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let wanted = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            buffer[..wanted].fill_with(|| pattern.next_byte());
            stream.write_all(&buffer[..wanted])?;
            left -= wanted as u64;
        }
        Ok(())
    })?;
    sender
        .join()
        .map_err(|_| io::Error::other("the sender died"))??;
    receiver
        .join()
        .map_err(|_| io::Error::other("the receiver died"))?
}

/// A byte stream without short periods: xorshift64 (Marsaglia 2003).
struct Pattern(u64);

impl Default for Pattern {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Pattern {
    fn next_byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()[3]
    }
}

/// Our own generator: writers at the client, counting readers at the server.
fn generate(
    client: &Host,
    server: &Host,
    address: IpAddr,
    streams: u32,
    seconds: u32,
) -> io::Result<Throughput> {
    let received = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let listener = server.run(move || TcpListener::bind((address, 0)))??;
    let target = listener.local_addr()?;
    let count = Arc::clone(&received);
    let acceptor = server.spawn(move || accept_and_count(&listener, streams, &count))?;
    let mut writers = Vec::new();
    for _ in 0..streams {
        let stop = Arc::clone(&stop);
        writers.push(client.spawn(move || write_until(target, &stop))?);
    }
    let start = Instant::now();
    let (mut last_bytes, mut last_change, mut longest) = (0, start, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(seconds.into()) {
        std::thread::sleep(Duration::from_millis(100));
        let bytes = received.load(Ordering::Relaxed);
        if bytes != last_bytes {
            (last_bytes, last_change) = (bytes, Instant::now());
        }
        longest = longest.max(last_change.elapsed());
    }
    let (bytes, duration) = (received.load(Ordering::Relaxed), start.elapsed());
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer
            .join()
            .map_err(|_| io::Error::other("a writer died"))??;
    }
    acceptor
        .join()
        .map_err(|_| io::Error::other("the receiver died"))??;
    let longest_stall = if longest < Duration::from_millis(150) {
        Duration::ZERO
    } else {
        longest
    };
    Ok(Throughput {
        bytes,
        duration,
        longest_stall,
        retransmissions: None,
    })
}

fn accept_and_count(
    listener: &TcpListener,
    streams: u32,
    count: &Arc<AtomicU64>,
) -> io::Result<()> {
    let mut readers = Vec::new();
    for _ in 0..streams {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let count = Arc::clone(count);
        readers.push(std::thread::spawn(move || {
            let mut buffer = vec![0; 128 * 1024];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                count.fetch_add(length as u64, Ordering::Relaxed);
            }
        }));
    }
    for reader in readers {
        reader
            .join()
            .map_err(|_| io::Error::other("a reader died"))?;
    }
    Ok(())
}

fn write_until(target: SocketAddr, stop: &AtomicBool) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    let buffer = vec![0x5a; 128 * 1024];
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&buffer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_carries_a_valid_checksum() {
        let packet = echo_request(0x1234, 7);
        let sum: u32 = packet
            .chunks(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
            .sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn the_longest_stall_is_read_from_the_intervals() {
        let interval = |bytes: u64| serde_json::json!({"sum": {"bytes": bytes, "seconds": 0.1}});
        let report = serde_json::json!({
            "intervals": [interval(5), interval(0), interval(0), interval(9), interval(0)],
            "end": {
                "sum_received": {"bytes": 1_000_000, "seconds": 2.0},
                "sum_sent": {"retransmits": 3}
            }
        });
        let result = parse_iperf3(report.to_string().as_bytes()).expect("a report");
        assert_eq!(result.longest_stall, Duration::from_millis(200));
        assert_eq!(result.retransmissions, Some(3));
        assert!((result.megabits_per_second() - 4.0).abs() < 1e-9);
        assert!(parse_iperf3(br#"{"error":"unable to connect"}"#).is_err());
    }
}
