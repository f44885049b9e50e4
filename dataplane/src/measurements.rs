//! What bonds want to know of the packets that workers finish: samples for reports of quality, sums by path, bytes by slot.
//! Nothing of this costs more than a comparison for peers that are not measured.

use std::sync::Arc;
use std::time::Duration;

use bond::plan::SLOTS;
use bond::qos::{BY_CHANCE, is_sampled};
use bond::sampling::Block;
use bond::{PathIndex, Plan};
use node::io::Sample;
use node::snapshot::{PathActivity, PathEntry, PeerEntry};
use protocol::{Address, Instant, PacketId};

use crate::Handover;

/// Samples between two handovers. More than a path's ledger holds, so that a flood shows there as such.
const SAMPLES: usize = 512;
/// How long samples may wait.
const SAMPLES_PATIENCE: Duration = Duration::from_millis(50);
/// Paths that one turn can tell apart; more only make additions more frequent. A power of two.
const PATHS: usize = 16;
/// Peers with hashed plans whose slots are counted at a time: 4 KB each. Others go without.
const SLOT_PEERS: usize = 8;
/// How long counts of slots may wait.
const SLOTS_PATIENCE: Duration = Duration::from_millis(250);
/// The same while flows are new: the bond places them by what they send.
const NEW_FLOWS_PATIENCE: Duration = Duration::from_millis(50);
/// So many handovers are early after a flow started: until it is a second old.
const EARLY_HANDOVERS: u8 = 20;
/// A slot that was silent for one to two of these starts anew.
const FORGET_SLOTS: Duration = Duration::from_secs(5);

/// One worker's notes.
#[derive(Debug, Default)]
pub(crate) struct Measurements {
    samples: Vec<Sample>,
    samples_since: Option<Instant>,
    paths: [PathSums; PATHS],
    /// By index in `paths`: something is to be added.
    pending: u16,
    slots: Vec<SlotSums>,
    slots_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct PathSums {
    activity: Option<Arc<PathActivity>>,
    packets_received: u64,
    bytes_received: u64,
    packets_sent: u64,
    bytes_sent: u64,
    /// Which of its packets is sampled next.
    block: Block,
}

impl PathSums {
    fn flush(&mut self) {
        let Some(activity) = &self.activity else {
            return;
        };
        for (tally, count) in [
            (&activity.packets_received, &mut self.packets_received),
            (&activity.bytes_received, &mut self.bytes_received),
            (&activity.packets_sent, &mut self.packets_sent),
            (&activity.bytes_sent, &mut self.bytes_sent),
        ] {
            if *count > 0 {
                tally.add(std::mem::take(count));
            }
        }
    }
}

#[derive(Debug)]
struct SlotSums {
    peer: Address,
    bytes: Box<[u64; SLOTS]>,
    /// Slots that sent since the last turn of [`FORGET_SLOTS`], and since the one before: a bit each.
    known: [[u64; SLOTS / 64]; 2],
    turned: Instant,
    /// Early handovers left.
    early: u8,
    /// Nothing was sent since the handover before.
    is_idle: bool,
}

impl SlotSums {
    fn new(peer: Address, now: Instant) -> Self {
        Self {
            peer,
            bytes: Box::new([0; SLOTS]),
            known: [[0; SLOTS / 64]; 2],
            turned: now,
            early: 0,
            is_idle: false,
        }
    }

    fn add(&mut self, slot: usize, length: usize) {
        self.bytes[slot] += length as u64;
        let (word, bit) = (slot / 64, 1 << (slot % 64));
        if (self.known[0][word] | self.known[1][word]) & bit == 0 {
            self.early = EARLY_HANDOVERS;
        }
        self.known[0][word] |= bit;
    }

    fn turn(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.turned);
        if elapsed >= FORGET_SLOTS {
            self.turned = now;
            self.known.swap(0, 1);
            self.known[0] = [0; SLOTS / 64];
        }
        if elapsed >= 2 * FORGET_SLOTS {
            self.known[1] = [0; SLOTS / 64];
        }
    }
}

impl Measurements {
    /// A packet of a measured peer came in on one of its paths, and the node will not see it.
    pub(crate) fn received(
        &mut self,
        peer: &PeerEntry,
        path: &PathEntry,
        packet: PacketId,
        length: usize,
        now: Instant,
    ) {
        let sums = self.sums(&path.activity);
        sums.packets_received += 1;
        sums.bytes_received += length as u64;
        self.sample(peer, path, packet, None, now);
    }

    /// Whether the wire id of the next packet on this path is to be odd or even, if that matters: see [`Block`].
    pub(crate) fn next_id_is_odd(
        &mut self,
        peer: &PeerEntry,
        path: &PathEntry,
        random: impl FnOnce() -> u32,
    ) -> Option<bool> {
        if !peer.sampled || path.one_in == BY_CHANCE {
            return None;
        }
        let sums = self.sums(&path.activity);
        sums.block.next_id_is_odd(path.one_in, random)
    }

    /// A packet for a measured peer was queued on one of its paths. `one_in`: one in so many like it is sampled.
    pub(crate) fn sent(
        &mut self,
        peer: &PeerEntry,
        path: &PathEntry,
        (packet, one_in): (PacketId, u16),
        length: usize,
        now: Instant,
    ) {
        let sums = self.sums(&path.activity);
        sums.packets_sent += 1;
        sums.bytes_sent += length as u64;
        self.sample(peer, path, packet, Some(one_in), now);
    }

    /// A packet of the flow with this hash was queued for a measured peer.
    pub(crate) fn sent_in_slot(
        &mut self,
        peer: &PeerEntry,
        flow: u32,
        length: usize,
        now: Instant,
    ) {
        if !matches!(peer.plan, Plan::Slots { .. }) {
            return;
        }
        let find = |test: &dyn Fn(&SlotSums) -> bool| self.slots.iter().position(test);
        let index = match find(&|sums| sums.peer == peer.address) {
            Some(index) => index,
            None if self.slots.len() < SLOT_PEERS => {
                self.slots.push(SlotSums::new(peer.address, now));
                self.slots.len() - 1
            }
            // Whoever is silent makes room.
            None => match find(&|sums| sums.is_idle) {
                Some(index) => {
                    self.slots[index] = SlotSums::new(peer.address, now);
                    index
                }
                None => return,
            },
        };
        if self.slots_since.is_none() {
            self.slots[index].turn(now);
        }
        self.slots[index].add(Plan::<PathIndex>::slot_of(flow), length);
        self.slots_since.get_or_insert(now);
    }

    fn sample(
        &mut self,
        peer: &PeerEntry,
        path: &PathEntry,
        packet: PacketId,
        sent_one_in: Option<u16>,
        now: Instant,
    ) {
        if peer.sampled && is_sampled(packet) && self.samples.len() < SAMPLES {
            self.samples.push(Sample {
                peer: peer.address,
                path: path.key,
                packet,
                at: now,
                sent: sent_one_in.is_some(),
                one_in: sent_one_in.unwrap_or(BY_CHANCE),
            });
            self.samples_since.get_or_insert(now);
        }
    }

    fn sums(&mut self, activity: &Arc<PathActivity>) -> &mut PathSums {
        // Records lie at least so far apart.
        let index = (Arc::as_ptr(activity).addr() / size_of::<PathActivity>()) % PATHS;
        self.pending |= 1 << index;
        let sums = &mut self.paths[index];
        if !sums
            .activity
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, activity))
        {
            sums.flush();
            sums.block = Block::default();
            sums.activity = Some(Arc::clone(activity));
        }
        sums
    }

    /// Ends a turn: sums become visible, and what has waited long enough is handed over. Returns how many handovers were
    /// accepted and refused.
    pub(crate) fn flush(
        &mut self,
        now: Instant,
        mut push: impl FnMut(Handover) -> bool,
        mut count: impl FnMut(bool),
    ) {
        while self.pending != 0 {
            let index = self.pending.trailing_zeros() as usize;
            self.pending &= self.pending - 1;
            self.paths[index].flush();
        }
        let over = |since: Option<Instant>, patience: Duration| {
            since.is_some_and(|since| now.duration_since(since) >= patience)
        };
        if over(self.samples_since, SAMPLES_PATIENCE) {
            self.samples_since = None;
            count(push(Handover::Samples(self.samples.drain(..).collect())));
        }
        if over(self.slots_since, self.slots_patience()) {
            self.slots_since = None;
            for sums in &mut self.slots {
                let slots: Vec<(u16, u64)> = (0..)
                    .zip(sums.bytes.iter_mut())
                    .filter(|(_, bytes)| **bytes > 0)
                    .map(|(slot, bytes)| (slot, std::mem::take(bytes)))
                    .collect();
                let peer = sums.peer;
                sums.is_idle = slots.is_empty();
                if !slots.is_empty() {
                    count(push(Handover::SlotBytes { peer, slots }));
                }
                sums.early = sums.early.saturating_sub(1);
            }
        }
    }

    /// How long a worker may sleep before something has to be handed over; none: for ever.
    pub(crate) fn patience(&self) -> Option<Duration> {
        match (self.samples_since, self.slots_since) {
            (Some(_), _) => Some(SAMPLES_PATIENCE),
            (None, Some(_)) => Some(self.slots_patience()),
            (None, None) => None,
        }
    }

    fn slots_patience(&self) -> Duration {
        if self.slots.iter().any(|sums| sums.early > 0) {
            NEW_FLOWS_PATIENCE
        } else {
            SLOTS_PATIENCE
        }
    }
}
