//! Flows of UDP packets through the virtual network, and what the receiver finds missing, doubled or out of order.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use node::frame::EthernetFrame;
use protocol::{Instant, MacAddress};

/// IPv4 (RFC 7042).
pub(crate) const ETHERTYPE_IPV4: u16 = 0x0800;
/// Length of an IP packet of a flow: no packet of the control plane makes a datagram of the same length.
pub(crate) const PACKET_LENGTH: usize = 601;
/// Header and verb, network, Ethertype.
pub(crate) const DATAGRAM_LENGTH: usize = 28 + 8 + 2 + PACKET_LENGTH;
const UDP: u8 = 17;
const TCP: u8 = 6;
const HEADERS: usize = 28;

/// One flow: the ports of a client and a server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Flow {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) is_tcp: bool,
    /// Last byte of the client's address.
    pub(crate) host: u8,
}

impl Flow {
    /// A TCP connection from this port of the first host.
    pub(crate) fn from_port(source: u16) -> Self {
        Self {
            source,
            destination: 5201,
            is_tcp: true,
            host: 1,
        }
    }
}

/// Flows as a Linux client makes them: ports for `connect` are even.
pub(crate) fn linux_flows(count: u16) -> Vec<Flow> {
    (0..count)
        .map(|n| Flow::from_port(32_768 + 2 * n))
        .collect()
}

/// The packet with this number of a flow, as an IPv4 packet.
pub(crate) fn packet(flow: Flow, number: u64) -> Vec<u8> {
    let mut packet = vec![0; PACKET_LENGTH];
    (packet[0], packet[8]) = (0x45, 64);
    packet[2..4].copy_from_slice(&(PACKET_LENGTH as u16).to_be_bytes());
    packet[9] = if flow.is_tcp { TCP } else { UDP };
    packet[12..20].copy_from_slice(&[10, 0, 0, flow.host, 10, 0, 1, 1]);
    packet[20..22].copy_from_slice(&flow.source.to_be_bytes());
    packet[22..24].copy_from_slice(&flow.destination.to_be_bytes());
    packet[HEADERS..HEADERS + 8].copy_from_slice(&number.to_be_bytes());
    packet
}

/// What a flow's receiver saw.
#[derive(Clone, Default, Debug)]
pub(crate) struct Received {
    /// Different packets.
    pub(crate) packets: u64,
    /// Packets that had come before.
    pub(crate) repeated: u64,
    /// Packets that came after one with a higher number.
    pub(crate) overtaken: u64,
    /// The longest time without a packet between two packets.
    pub(crate) gap: Duration,
    numbers: HashSet<u64>,
    highest: Option<u64>,
    last: Option<Instant>,
}

impl Received {
    /// Since the last packet.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        self.last
            .map_or(Duration::MAX, |last| now.duration_since(last))
    }
}

/// All flows in one direction.
#[derive(Default)]
pub(crate) struct Receiver {
    pub(crate) flows: BTreeMap<Flow, Received>,
}

impl Receiver {
    /// Takes note of a frame; others than those of flows are none of its business.
    pub(crate) fn take(&mut self, frame: &[u8], now: Instant) {
        let Some((flow, number)) = parse(frame) else {
            return;
        };
        let received = self.flows.entry(flow).or_default();
        if !received.numbers.insert(number) {
            received.repeated += 1;
            return;
        }
        received.packets += 1;
        if received.highest.is_some_and(|highest| highest > number) {
            received.overtaken += 1;
        }
        received.highest = received.highest.max(Some(number));
        if let Some(last) = received.last.replace(now) {
            received.gap = received.gap.max(now.duration_since(last));
        }
    }

    /// Silence counts from now on.
    pub(crate) fn forgive_gaps(&mut self, now: Instant) {
        for received in self.flows.values_mut() {
            received.last = Some(now);
        }
    }

    /// Forgets which packets came long ago: these do not come again.
    pub(crate) fn forget_old(&mut self) {
        for received in self.flows.values_mut() {
            let oldest = received.highest.unwrap_or(0).saturating_sub(10_000);
            received.numbers.retain(|number| *number >= oldest);
        }
    }

    fn sum(&self, of: impl Fn(&Received) -> u64) -> u64 {
        self.flows.values().map(of).sum()
    }

    pub(crate) fn packets(&self) -> u64 {
        self.sum(|flow| flow.packets)
    }

    pub(crate) fn repeated(&self) -> u64 {
        self.sum(|flow| flow.repeated)
    }

    pub(crate) fn overtaken(&self) -> u64 {
        self.sum(|flow| flow.overtaken)
    }

    /// The longest gap of any flow.
    pub(crate) fn gap(&self) -> Duration {
        self.flows
            .values()
            .map(|flow| flow.gap)
            .max()
            .unwrap_or_default()
    }
}

fn parse(frame: &[u8]) -> Option<(Flow, u64)> {
    let frame = EthernetFrame::parse(frame).filter(|frame| frame.ethertype == ETHERTYPE_IPV4)?;
    let packet = frame.payload;
    if packet.len() != PACKET_LENGTH {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let number = packet[HEADERS..].first_chunk::<8>()?;
    let flow = Flow {
        source: port(20),
        destination: port(22),
        is_tcp: packet[9] == TCP,
        host: packet[15],
    };
    Some((flow, u64::from_be_bytes(*number)))
}

/// The Ethernet header of a flow's frames.
pub(crate) fn header(to: MacAddress, from: MacAddress) -> [u8; 14] {
    let mut header = [0; 14];
    header[..6].copy_from_slice(&to.0);
    header[6..12].copy_from_slice(&from.0);
    header[12..].copy_from_slice(&ETHERTYPE_IPV4.to_be_bytes());
    header
}
