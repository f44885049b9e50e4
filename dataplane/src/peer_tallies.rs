//! Packets by peer. Their counters are shared by all workers, so a worker adds up a whole turn before it touches them.

use std::sync::Arc;

use node::snapshot::PeerActivity;
use protocol::Address;

/// Peers that one turn can tell apart; more only make additions more frequent. A power of two.
const SLOTS: usize = 64;

/// The sums of the current turn. Slots keep hold of their peer's counters beyond the turn, so that a peer that stays costs one
/// comparison per packet, and cannot be mistaken for another one at the same place.
#[derive(Debug)]
pub(crate) struct PeerTallies {
    slots: [Slot; SLOTS],
    /// By slot: something is to be added.
    pending: u64,
}

#[derive(Debug, Default)]
struct Slot {
    activity: Option<Arc<PeerActivity>>,
    received: u32,
    sent: u32,
    errors: u32,
}

impl Slot {
    fn flush(&mut self) {
        let Some(activity) = &self.activity else {
            return;
        };
        for (tally, count) in [
            (&activity.packets_received, &mut self.received),
            (&activity.packets_sent, &mut self.sent),
            (&activity.packet_errors, &mut self.errors),
        ] {
            if *count > 0 {
                tally.add(u64::from(std::mem::take(count)));
            }
        }
    }
}

impl Default for PeerTallies {
    fn default() -> Self {
        Self {
            slots: std::array::from_fn(|_| Slot::default()),
            pending: 0,
        }
    }
}

impl PeerTallies {
    /// An authentic packet came from a peer.
    pub(crate) fn received(&mut self, peer: Address, activity: &Arc<PeerActivity>) {
        self.slot(peer, activity).received += 1;
    }

    /// A packet was sealed for a peer.
    pub(crate) fn sent(&mut self, peer: Address, activity: &Arc<PeerActivity>) {
        self.slot(peer, activity).sent += 1;
    }

    /// A packet in a peer's name was of no use.
    pub(crate) fn error(&mut self, peer: Address, activity: &Arc<PeerActivity>) {
        self.slot(peer, activity).errors += 1;
    }

    fn slot(&mut self, peer: Address, activity: &Arc<PeerActivity>) -> &mut Slot {
        let index = (peer.to_u64() % SLOTS as u64) as usize;
        self.pending |= 1 << index;
        let slot = &mut self.slots[index];
        if !slot
            .activity
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, activity))
        {
            slot.flush();
            slot.activity = Some(Arc::clone(activity));
        }
        slot
    }

    /// Ends a turn: a few thousand packets at most, so no sum overflows.
    pub(crate) fn flush(&mut self) {
        while self.pending != 0 {
            let index = self.pending.trailing_zeros() as usize;
            self.pending &= self.pending - 1;
            self.slots[index].flush();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_that_share_a_slot_are_told_apart() {
        let (a, b) = (Address::from_u64(5), Address::from_u64(5 + SLOTS as u64));
        let counters = [a, b].map(|peer| (peer, Arc::<PeerActivity>::default()));
        let mut tallies = PeerTallies::default();
        for _ in 0..3 {
            for (peer, activity) in &counters {
                tallies.received(*peer, activity);
                tallies.sent(*peer, activity);
                tallies.sent(*peer, activity);
            }
        }
        tallies.error(b, &counters[1].1);
        tallies.flush();
        tallies.flush();
        for (_, activity) in &counters {
            assert_eq!(activity.packets_received.get(), 3);
            assert_eq!(activity.packets_sent.get(), 6);
        }
        assert_eq!(counters[1].1.packet_errors.get(), 1);
        // The same address with new counters: forgotten and found again.
        let again = Arc::<PeerActivity>::default();
        tallies.received(b, &again);
        tallies.flush();
        assert_eq!(again.packets_received.get(), 1);
        assert_eq!(counters[1].1.packets_received.get(), 3);
    }
}
