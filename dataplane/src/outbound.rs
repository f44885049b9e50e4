//! TAP to UDP, step by step.

use std::io;

use bond::qos::BY_CHANCE;
use bond::{PathIndex, Pick};
use node::frame::{ETHERNET_HEADER_LENGTH, EthernetFrame};
use node::rules::Action;
use node::snapshot::{MemberEntry, NetworkEntry, PathEntry, PeerEntry, Snapshot};
use protocol::packet::{
    self, FRAGMENT_HEADER_LENGTH, MAX_PACKET_LENGTH, MAX_PIECES, PAYLOAD_OFFSET,
};
use protocol::{Address, Instant, MacAddress, Verb};

use crate::batch::Flush;
use crate::flow_cache::Flow;
use crate::tap::Tap;
use crate::udp::Udp;
use crate::worker::{Core, TapPort};
use crate::{DropReason, Handover};

/// Network id and Ethertype, between the packet's header and the frame's payload (protocol specification 7.7).
pub(crate) const FRAME_HEADER_LENGTH: usize = PAYLOAD_OFFSET + 10;
/// How far into its buffer a frame is read, so that its payload already lies where the packet wants it. Its Ethertype then
/// does too.
pub(crate) const HEADROOM: usize = FRAME_HEADER_LENGTH - ETHERNET_HEADER_LENGTH;
/// Room for more than the longest frame that a packet can carry, so that one that is too long shows.
const MAX_FRAME: usize = MAX_PACKET_LENGTH;
/// A path MTU below this is not believed.
const MIN_PATH_MTU: usize = 128;

/// What is left on a device's queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// Nothing: wait for the next readiness event.
    Drained,
    /// Perhaps more.
    More,
    /// A socket is full: read no more, so that the device's queue shows the pressure.
    Blocked,
}

/// The member that the last frame went to; the next one usually goes there too.
type Memo<'s> = Option<(MacAddress, &'s MemberEntry, &'s PeerEntry)>;

/// What to do with a frame.
enum Decision<'s> {
    Drop,
    HandOver,
    Send(&'s MemberEntry, &'s PeerEntry),
}

/// What became of a frame that may leave.
enum Outcome {
    /// It is in the batch.
    Queued,
    /// It would take more pieces than a receiver accepts.
    TooLong,
    /// Nothing was done: the node must find a way.
    NoPath,
}

/// Moves up to `budget` frames from a device's queue into the egress batch, which the caller flushes.
pub(crate) fn turn<T: Tap, U: Udp>(
    core: &mut Core<T, U>,
    tap: usize,
    snapshot: &Snapshot,
    now: Instant,
    budget: usize,
) -> Progress {
    let mut memo = None;
    for _ in 0..budget {
        // 1. Read a frame into the slot behind the last packet.
        let Some(slot) = core.egress.slot() else {
            match core.egress.flush(&core.links, &core.counters) {
                Flush::Done => continue,
                Flush::Blocked(_) => return Progress::Blocked,
            }
        };
        let port = &core.taps[tap];
        let length = match port.queue.read(&mut slot[HEADROOM..HEADROOM + MAX_FRAME]) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return Progress::Drained,
        };
        core.counters.frames_read.add(1);
        core.counters.frame_bytes_read.add(length as u64);
        frame(core, tap, length, snapshot, &mut memo, now);
    }
    Progress::More
}

/// One frame of `length` bytes, which lies in the egress slot behind the headroom.
fn frame<'s, T: Tap, U: Udp>(
    core: &mut Core<T, U>,
    tap: usize,
    length: usize,
    snapshot: &'s Snapshot,
    memo: &mut Memo<'s>,
    now: Instant,
) {
    let port = &core.taps[tap];
    let Some(slot) = core.egress.slot() else {
        return;
    };
    // 2. Parse.
    let Some(ethernet) = EthernetFrame::parse(&slot[HEADROOM..HEADROOM + length]) else {
        core.counters.lost(DropReason::FrameTooShort);
        return;
    };
    let network = snapshot.network(port.network).map(|entry| &**entry);
    // 3. Who shall get it, and may it leave? Through the flow cache.
    let decision = match network {
        Some(network) => {
            let cache = &mut core.outbound_flows;
            let mut evaluate = |member: &MemberEntry, to: Address, flow: &Flow| {
                let known = cache.lookup(flow, port.network, to, snapshot.epoch);
                if let Some(accept) = known {
                    return Some(accept);
                }
                let random = core.ids.random_u32();
                let verdict = network.policy.filter_outbound(
                    Some(to),
                    Some(&member.remote),
                    &ethernet,
                    random,
                );
                if verdict.base_copy.is_some() || verdict.capability_copy.is_some() {
                    return None;
                }
                let accept = match verdict.action {
                    Action::Accept | Action::SuperAccept => true,
                    Action::Drop => false,
                    Action::Redirect(_) => return None,
                };
                if verdict.cacheable {
                    cache.remember(flow, port.network, to, snapshot.epoch, accept);
                }
                Some(accept)
            };
            decide(network, snapshot, &ethernet, memo, &mut evaluate)
        }
        None => Decision::HandOver,
    };
    let payload = ethernet.payload.len();
    let outcome = match decision {
        Decision::Drop => {
            core.counters.lost(DropReason::FilteredOutbound);
            port.counters.send_dropped.add(1);
            return;
        }
        Decision::HandOver => Outcome::NoPath,
        Decision::Send(member, peer) => send(core, tap, HEADROOM + length, member, peer, now),
    };
    match outcome {
        Outcome::Queued => {
            let counters = &core.taps[tap].counters;
            counters.sent.add(1);
            counters.sent_bytes.add(payload as u64);
        }
        Outcome::TooLong => core.counters.lost(DropReason::PacketTooLong),
        Outcome::NoPath => hand_over_frame(core, tap, length),
    }
}

/// Steps 2 and 3 for a frame of a configured network.
fn decide<'s>(
    network: &'s NetworkEntry,
    snapshot: &'s Snapshot,
    frame: &EthernetFrame<'_>,
    memo: &mut Memo<'s>,
    evaluate: &mut dyn FnMut(&MemberEntry, Address, &Flow) -> Option<bool>,
) -> Decision<'s> {
    if frame.source != network.mac
        || frame.destination.is_multicast()
        || frame.destination == network.mac
    {
        return Decision::HandOver;
    }
    let (member, peer) = match memo {
        Some((mac, member, peer)) if *mac == frame.destination => (*member, *peer),
        _ => {
            let found = frame
                .destination
                .to_address(network.network)
                .and_then(|address| {
                    let member = network.members.get(&address)?;
                    let peer = snapshot.peer(address)?;
                    member.has_our_credentials.then_some((&**member, &**peer))
                });
            let Some((member, peer)) = found else {
                return Decision::HandOver;
            };
            *memo = Some((frame.destination, member, peer));
            (member, peer)
        }
    };
    let flow = Flow::of(frame);
    match evaluate(member, peer.address, &flow) {
        Some(true) => Decision::Send(member, peer),
        Some(false) => Decision::Drop,
        None => Decision::HandOver,
    }
}

/// Makes the frame a packet where it lies and queues it. Unless it is queued, the frame is untouched.
fn send<T: Tap, U: Udp>(
    core: &mut Core<T, U>,
    tap: usize,
    length: usize,
    member: &MemberEntry,
    peer: &PeerEntry,
    now: Instant,
) -> Outcome {
    // 4. Pick the path, or the paths.
    let Some(slot) = core.egress.slot() else {
        return Outcome::NoPath;
    };
    let (header, payload) = slot[..length].split_at(FRAME_HEADER_LENGTH);
    let hash = peer.plan.flow_of(&header[HEADROOM..], payload);
    let pick = peer.plan.pick(hash, &mut core.cursor);
    let indices: &[PathIndex] = match &pick {
        Pick::None => &[],
        Pick::One(index) => std::slice::from_ref(index),
        Pick::All(indices) => indices,
    };
    let paths = || {
        indices
            .iter()
            .filter_map(|&index| peer.paths.get(usize::from(index)))
    };
    let Some(mtu) = paths().map(|path| usize::from(path.mtu)).min() else {
        return Outcome::NoPath;
    };
    let Some((pieces, size)) = cut(length, mtu) else {
        return Outcome::TooLong;
    };
    // 5. The packet's header takes the place of the Ethernet header, whose Ethertype stays.
    let packet = &mut slot[..length];
    let TapPort { network, .. } = core.taps[tap];
    let trusted = trusted_path(paths());
    let numbering = peer.numbering.filter(|_| trusted.is_none());
    let drawn = match (numbering, &pick) {
        (None, _) => core.ids.draw(),
        (Some(origin), Pick::One(_)) => paths()
            .find_map(|path| path.lanes.as_ref()?.draw(origin, core.number))
            .unwrap_or_else(|| origin.unnumbered(core.ids.draw().0)),
        (Some(origin), _) => origin.unnumbered(core.ids.draw().0),
    };
    packet::write_header(packet, drawn, peer.address, core.address, Verb::Frame);
    packet[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 8].copy_from_slice(&network.0.to_be_bytes());
    // 6. Seal, in place. The flag is under the seal.
    if pieces > 1 {
        packet::set_fragmented(packet);
    }
    // Of several paths the first decides whether a zerotier-one notes it.
    let (one_in, odd) = paths().next().map_or((BY_CHANCE, None), |path| {
        let random = || core.ids.random_u32();
        let odd = core.measurements.next_id_is_odd(peer, path, random);
        (path.one_in, odd)
    });
    let id = match trusted {
        Some(id) => packet::seal_trusted(packet, id, odd),
        None => peer.keys.seal_as(packet, peer.suite, odd),
    };
    // 7. Cut, if it is longer than a datagram may be.
    let length = split_in_place(slot, length, pieces, size);
    // 8. Queue.
    let destinations = paths().map(|path| (path.key.link, path.key.remote));
    core.egress.commit(destinations, length, size, pieces);
    for path in paths() {
        path.activity.sent.set(now);
    }
    if peer.measured {
        for path in paths() {
            core.measurements
                .sent(peer, path, (id, one_in), length, now);
        }
        core.measurements.sent_in_slot(peer, hash, length, now);
    }
    // 9. Note what left.
    if peer.idle {
        core.lanes.woke(peer.address, now);
    } else if numbering.is_some() {
        core.lanes.sent(peer.address, now);
    }
    core.counters.packets_sent.add(1);
    core.tallies.sent(peer.address, &peer.activity);
    peer.activity.frame_sent.set(now);
    member.activity.sent.set(now);
    Outcome::Queued
}

/// The trusted path id, if all the paths agree on it.
fn trusted_path<'p>(mut paths: impl Iterator<Item = &'p PathEntry>) -> Option<u64> {
    let id = paths.next()?.trusted_path_id?;
    paths
        .all(|path| path.trusted_path_id == Some(id))
        .then_some(id)
}

fn hand_over_frame<T: Tap, U: Udp>(core: &mut Core<T, U>, tap: usize, length: usize) {
    let network = core.taps[tap].network;
    let Some(slot) = core.egress.slot() else {
        return;
    };
    let bytes = &slot[HEADROOM..HEADROOM + length];
    let pushed = core.handover.push(|| Handover::Frame {
        network,
        bytes: bytes.to_vec(),
    });
    core.counters.count_handover(pushed);
}

/// How many pieces a packet of `length` bytes takes, and the size of each but the last, which may be a little shorter. Equal
/// sizes, so that pieces can travel in one train; receivers take any. None if there would be too many.
fn cut(length: usize, mtu: usize) -> Option<(usize, usize)> {
    let mtu = mtu.max(MIN_PATH_MTU);
    if length > MAX_PACKET_LENGTH {
        return None;
    }
    if length <= mtu {
        return Some((1, length));
    }
    let pieces = 1 + (length - mtu).div_ceil(mtu - FRAGMENT_HEADER_LENGTH);
    let total = length + (pieces - 1) * FRAGMENT_HEADER_LENGTH;
    (pieces <= MAX_PIECES).then(|| (pieces, total.div_ceil(pieces)))
}

/// Makes room for fragment headers in the sealed packet at the start of `buffer`, and writes them. Returns the length of
/// all pieces.
fn split_in_place(buffer: &mut [u8], length: usize, pieces: usize, size: usize) -> usize {
    let mut head = [0; PAYLOAD_OFFSET];
    head.copy_from_slice(&buffer[..PAYLOAD_OFFSET]);
    let slice = size - FRAGMENT_HEADER_LENGTH.min(size);
    // From the last to the first, so that none is overwritten before it has moved.
    for number in (1..pieces).rev() {
        let start = size + (number - 1) * slice;
        let end = length.min(start + slice);
        let at = number * size;
        buffer.copy_within(start..end, at + FRAGMENT_HEADER_LENGTH);
        packet::write_fragment_header(&mut buffer[at..], &head, number as u8, pieces as u8);
    }
    length + (pieces - 1) * FRAGMENT_HEADER_LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_equal_and_fit() {
        for mtu in [1400, 1432, 8950] {
            for length in 38..MAX_PACKET_LENGTH {
                let Some((pieces, size)) = cut(length, mtu) else {
                    let most = mtu + (MAX_PIECES - 1) * (mtu - FRAGMENT_HEADER_LENGTH);
                    assert!(length > most, "{length} {mtu}");
                    continue;
                };
                assert_eq!(pieces, packet::piece_count(length, mtu));
                assert!(size <= mtu);
                let total = length + (pieces - 1) * FRAGMENT_HEADER_LENGTH;
                let last = total - (pieces - 1) * size;
                assert!(last <= size && size - last < pieces, "{length} {mtu}");
            }
        }
        assert_eq!(cut(2838, 1432), Some((2, 1427)));
    }
}
