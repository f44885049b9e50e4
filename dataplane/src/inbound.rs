//! UDP to TAP, step by step.

use node::frame::{ETHERNET_HEADER_LENGTH, EthernetFrame};
use node::io::{LinkId, PathKey, is_nontrivial};
use node::rules::Action;
use node::snapshot::{PeerEntry, Snapshot};
use protocol::packet::{
    self, FRAGMENT_HEADER_LENGTH, FragmentView, MAX_PACKET_LENGTH, OpenError, PAYLOAD_OFFSET,
    PacketView,
};
use protocol::{Address, Instant, MacAddress, NetworkId, Suite, Verb};

use crate::batch::Flush;
use crate::flow_cache::Flow;
use crate::outbound::{FRAME_HEADER_LENGTH, HEADROOM};
use crate::reassembly::{Inserted, Piece};
use crate::tap::Tap;
use crate::udp::{ReceiveBuffers, Udp};
use crate::worker::Core;
use crate::{DropReason, Handover};

/// Length of the announcements that old nodes broadcast on a LAN (protocol specification 4.1).
const BEACON_LENGTH: usize = 13;

/// Handles the datagrams in the first `count` buffers, which came in on `link`.
pub(crate) fn turn<T: Tap, U: Udp>(
    core: &mut Core<T, U>,
    buffers: &mut ReceiveBuffers,
    count: usize,
    link: LinkId,
    snapshot: &Snapshot,
    now: Instant,
) {
    core.counters.receives.add(count as u64);
    for index in 0..count {
        let (arrival, datagrams) = buffers.arrival(index);
        let path = PathKey {
            link,
            remote: arrival.from,
        };
        core.counters.bytes_received.add(arrival.length as u64);
        for bytes in datagrams {
            core.counters.datagrams_received.add(1);
            datagram(core, path, bytes, snapshot, now);
        }
    }
}

/// Step 2. One datagram: a packet, a piece of one, or neither; for us or for somebody else.
fn datagram<T: Tap, U: Udp>(
    core: &mut Core<T, U>,
    path: PathKey,
    bytes: &mut [u8],
    snapshot: &Snapshot,
    now: Instant,
) {
    if bytes.len() > MAX_PACKET_LENGTH + FRAGMENT_HEADER_LENGTH {
        core.counters.lost(DropReason::PacketTooLong);
        return;
    }
    if let Some(fragment) = FragmentView::new(bytes) {
        if fragment.destination() != core.address {
            let destination = fragment.destination();
            relay(core, path, bytes, None, destination, snapshot, now);
            return;
        }
        let piece = Piece {
            id: fragment.id(),
            number: fragment.number(),
            total: fragment.total(),
            bytes: fragment.payload(),
            path,
        };
        // Number 0 would pass for a head.
        if piece.number == 0 {
            core.counters.lost(DropReason::BadFragment);
            return;
        }
        join(core, &piece, snapshot, now);
        return;
    }
    let Some(view) = PacketView::new(bytes) else {
        if bytes.len() == BEACON_LENGTH {
            hand_over_datagram(core, path, bytes);
        } else {
            core.counters.lost(DropReason::DatagramTooShort);
        }
        return;
    };
    if view.source() == core.address {
        core.counters.lost(DropReason::FromThisNode);
    } else if view.destination() != core.address {
        let (source, destination) = (view.source(), view.destination());
        relay(core, path, bytes, Some(source), destination, snapshot, now);
    } else if view.is_fragmented() {
        let piece = Piece {
            id: view.id(),
            number: 0,
            total: 0,
            bytes,
            path,
        };
        join(core, &piece, snapshot, now);
    } else {
        packet(core, path, bytes, false, snapshot, now);
    }
}

/// Adds a piece to its packet, and goes on with the packet if that was the last.
fn join<T: Tap, U: Udp>(
    core: &mut Core<T, U>,
    piece: &Piece<'_>,
    snapshot: &Snapshot,
    now: Instant,
) {
    match core.reassembly.insert(piece) {
        Inserted::Waiting { evicted } => {
            if evicted {
                core.counters.lost(DropReason::ReassemblyEvicted);
            }
        }
        Inserted::Refused(reason) => core.counters.lost(reason),
        Inserted::Complete {
            path,
            packet: mut whole,
        } => {
            packet(core, path, &mut whole, true, snapshot, now);
            core.reassembly.give_back(whole);
        }
    }
}

/// One whole packet for us.
fn packet<T: Tap, U: Udp>(
    core: &mut Core<T, U>,
    path: PathKey,
    bytes: &mut [u8],
    joined: bool,
    snapshot: &Snapshot,
    now: Instant,
) {
    let Some(view) = PacketView::new(bytes) else {
        core.counters.lost(DropReason::DatagramTooShort);
        return;
    };
    let (source, id, length) = (view.source(), view.id(), bytes.len());
    if source == core.address {
        core.counters.lost(DropReason::FromThisNode);
        return;
    }
    let Some(suite) = view.suite() else {
        core.counters.lost(DropReason::UnsupportedSuite);
        return;
    };
    // 3. Who sent it? A HELLO introduces its sender itself, and only the node knows what it may trust.
    let is_hello = suite == Suite::Poly1305 && view.verb() == Some(Verb::Hello);
    let peer = match snapshot.peer(source) {
        Some(peer) if !is_hello && suite != Suite::TrustedPath => &**peer,
        _ => {
            if joined {
                let pushed = core.handover.push(|| Handover::Assembled {
                    path,
                    packet: bytes.to_vec(),
                });
                core.counters.count_handover(pushed);
            } else {
                hand_over_datagram(core, path, bytes);
            }
            return;
        }
    };
    let known_path = peer.paths.iter().find(|entry| entry.key == path);
    // 4. Open, in place.
    let inner = match peer.keys.open_with_inner_id(bytes) {
        Ok(inner) => inner,
        Err(error) => {
            core.counters.lost(match error {
                OpenError::TooShort => DropReason::DatagramTooShort,
                OpenError::UnsupportedSuite => DropReason::UnsupportedSuite,
                OpenError::BadTag => DropReason::BadTag,
            });
            core.tallies.error(source, &peer.activity);
            if let (Some(entry), OpenError::BadTag, true) = (known_path, error, peer.measured) {
                entry.activity.forged.add(1);
            }
            return;
        }
    };
    let Some(view) = PacketView::new(bytes) else {
        return;
    };
    if let (Some(origin), Some(inner)) = (peer.counted, inner)
        && let Some((lane, number)) = origin.read(inner)
    {
        let is_traffic = view.verb().is_some_and(is_nontrivial);
        core.lanes
            .received(source, lane, number, length, is_traffic, now);
    }
    // 5. Note what was heard.
    peer.activity.received.set(now);
    let direct = view.hops() == 0;
    if let Some(entry) = known_path {
        entry.activity.received.set(now);
        if direct {
            entry.activity.authentic.set(now);
        }
    }
    let is_frame = view.verb() == Some(Verb::Frame) && !view.is_compressed();
    let measured = known_path.filter(|_| peer.measured && direct);
    if let Some(filter) = &peer.duplicates
        && !filter.is_first(id)
    {
        core.counters.lost(DropReason::Duplicate);
        if let Some(entry) = measured {
            core.measurements.received(peer, entry, id, length, now);
        }
        return;
    }
    // 6. A frame goes on, anything else is the node's.
    if is_frame && frame(core, bytes, peer, snapshot, now) {
        if let Some(entry) = measured {
            core.measurements.received(peer, entry, id, length, now);
        }
        core.counters.packets_received.add(1);
        core.tallies.received(source, &peer.activity);
        if direct && known_path.is_none() && core.unknown_paths.allows((source, path), now) {
            let pushed = core
                .handover
                .push(|| Handover::UnknownPath { peer: source, path });
            core.counters.count_handover(pushed);
        }
        return;
    }
    let pushed = core.handover.push(|| Handover::Opened {
        path,
        packet: bytes.to_vec(),
    });
    core.counters.count_handover(pushed);
}

/// Steps 7 and 8. An opened FRAME: may it come in, and into which device? False, with the packet untouched, if that is for the
/// node to say.
fn frame<T: Tap, U: Udp>(
    core: &mut Core<T, U>,
    packet: &mut [u8],
    peer: &PeerEntry,
    snapshot: &Snapshot,
    now: Instant,
) -> bool {
    let Some((header, payload)) = packet.split_at_checked(FRAME_HEADER_LENGTH) else {
        return false;
    };
    let Some((&id, ethertype)) = header[PAYLOAD_OFFSET..].split_first_chunk::<8>() else {
        return false;
    };
    let id = NetworkId(u64::from_be_bytes(id));
    let Some(network) = snapshot.network(id) else {
        return false;
    };
    let Some(member) = network.members.get(&peer.address).filter(|m| m.admitted) else {
        return false;
    };
    let ethernet = EthernetFrame {
        destination: network.mac,
        source: MacAddress::of(peer.address, id),
        ethertype: u16::from_be_bytes([ethertype[0], ethertype[1]]),
        payload,
    };
    let port = core.taps.iter().find(|port| port.network == id);
    let flow = Flow::of(&ethernet);
    let epoch = snapshot.epoch;
    let cached = core.inbound_flows.lookup(&flow, id, peer.address, epoch);
    let accept = match cached {
        Some(accept) => accept,
        None => {
            let random = core.ids.random_u32();
            let verdict = network.policy.filter_inbound(
                peer.address,
                Some(&member.remote),
                &ethernet,
                random,
            );
            if verdict.base_copy.is_some() || verdict.capability_copy.is_some() {
                return false;
            }
            let accept = match verdict.action {
                Action::Accept | Action::SuperAccept => true,
                Action::Drop => false,
                Action::Redirect(_) => return false,
            };
            if verdict.cacheable {
                core.inbound_flows
                    .remember(&flow, id, peer.address, epoch, accept);
            }
            accept
        }
    };
    // The gate is passed, whatever the rules say (protocol specification 10.4).
    member.activity.received.set(now);
    peer.activity.frame_received.set(now);
    let length = payload.len();
    if !accept {
        core.counters.lost(DropReason::FilteredInbound);
        if let Some(port) = port {
            port.counters.receive_dropped.add(1);
        }
        return true;
    }
    if length == 0 {
        core.counters.lost(DropReason::FrameEmpty);
        return true;
    }
    if length > usize::from(network.mtu) {
        core.counters.lost(DropReason::FrameTooLong);
        return true;
    }
    let Some(port) = port else {
        core.counters.lost(DropReason::NoDevice);
        return true;
    };
    // The Ethernet header takes the place of the packet's, in front of the payload.
    let header = ethernet.header();
    packet[HEADROOM..HEADROOM + ETHERNET_HEADER_LENGTH].copy_from_slice(&header);
    match port.queue.write(&packet[HEADROOM..]) {
        Ok(()) => {
            core.counters.frames_written.add(1);
            core.counters
                .frame_bytes_written
                .add((ETHERNET_HEADER_LENGTH + length) as u64);
            port.counters.received.add(1);
            port.counters.received_bytes.add(length as u64);
        }
        Err(_) => core.counters.lost(DropReason::DeviceRefused),
    }
    true
}

/// A packet (then `source` is known) or fragment for somebody else: a root sends it on (protocol specification 9.4). What
/// workers cannot answer is left to the node.
fn relay<T: Tap, U: Udp>(
    core: &mut Core<T, U>,
    path: PathKey,
    bytes: &mut [u8],
    source: Option<Address>,
    destination: Address,
    snapshot: &Snapshot,
    now: Instant,
) {
    let next = snapshot
        .is_upstream
        .then(|| snapshot.peer(destination))
        .flatten()
        .and_then(|peer| {
            let picked = match peer.plan.pick(0, &mut core.cursor) {
                bond::plan::Pick::None => None,
                bond::plan::Pick::One(index) => Some(index),
                bond::plan::Pick::All(indices) => indices.first().copied(),
            };
            peer.paths
                .get(usize::from(picked?))
                .filter(|entry| entry.direct)
        });
    let Some(next) = next else {
        hand_over_datagram(core, path, bytes);
        return;
    };
    if !packet::increment_hops(bytes) {
        core.counters.lost(DropReason::HopLimit);
        return;
    }
    if core.egress.slot().is_none() && core.egress.flush(&core.links, &core.counters) != Flush::Done
    {
        core.counters.lost(DropReason::SendBlocked);
        return;
    }
    let Some(slot) = core.egress.slot() else {
        core.counters.lost(DropReason::SendBlocked);
        return;
    };
    let length = bytes.len();
    slot[..length].copy_from_slice(bytes);
    let to = (next.key.link, next.key.remote);
    core.egress.commit([to].into_iter(), length, length, 1);
    core.counters.relayed.add(1);
    next.activity.sent.set(now);
    if let Some(source) = source {
        let pair = (source.min(destination), source.max(destination));
        if core.relayed_pairs.allows(pair, now) {
            let pushed = core.handover.push(|| Handover::Relayed {
                source,
                destination,
            });
            core.counters.count_handover(pushed);
        }
    }
}

fn hand_over_datagram<T: Tap, U: Udp>(core: &mut Core<T, U>, path: PathKey, bytes: &[u8]) {
    let pushed = core.handover.push(|| Handover::Datagram {
        path,
        bytes: bytes.to_vec(),
    });
    core.counters.count_handover(pushed);
}
