//! Who listens to which multicast group, and multicasts that wait for listeners (protocol specification 11.5, 11.3).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use protocol::{Address, Instant, MacAddress, MulticastGroup, NetworkId};

use super::limits::{
    ANNOUNCEMENT, MAX_GATHERED, MAX_GROUPS, MAX_GROUPS_PER_NODE, MAX_MULTICAST_MEMBERS, MAX_QUEUED,
    MAX_QUEUED_PER_GROUP, MULTICAST_MEMBER_LIFETIME, QUEUED_LIFETIME,
};

/// A multicast frame on its way out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) group: MulticastGroup,
    /// Only if it is not our own MAC address.
    pub(super) source: Option<MacAddress>,
    pub(super) ethertype: u16,
    pub(super) payload: Vec<u8>,
}

/// A multicast that has not found all its recipients yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) frame: Outgoing,
    pub(super) since: Instant,
    pub(super) gather_limit: u32,
    pub(super) sent_to: BTreeSet<Address>,
    /// Copies that may still be sent.
    pub(super) remaining: usize,
}

#[derive(Default, Debug)]
struct Group {
    members: BTreeMap<Address, Instant>,
    waiting: VecDeque<Waiting>,
    last_gather: Option<Instant>,
}

/// All groups of all networks, also of networks that we only serve as an upstream or controller.
#[derive(Default, Debug)]
pub(super) struct Groups {
    groups: BTreeMap<(NetworkId, MulticastGroup), Group>,
    members: usize,
    per_node: BTreeMap<Address, u32>,
    waiting: usize,
}

impl Groups {
    /// `member` listens to `group`, as of `now`; true if that is news. Full tables refuse newcomers.
    pub(super) fn add(
        &mut self,
        network: NetworkId,
        group: MulticastGroup,
        member: Address,
        now: Instant,
    ) -> bool {
        let key = (network, group);
        let known = self.groups.get_mut(&key);
        if let Some(stamp) = known.and_then(|g| g.members.get_mut(&member)) {
            *stamp = now;
            return false;
        }
        let count = self.per_node.get(&member).copied().unwrap_or(0);
        if self.members >= MAX_MULTICAST_MEMBERS || count >= MAX_GROUPS_PER_NODE {
            return false;
        }
        self.per_node.insert(member, count + 1);
        self.members += 1;
        let group = self.groups.entry(key).or_default();
        group.members.insert(member, now);
        true
    }

    /// Members of `group` that somebody names are of interest: we sent to it, or know listeners already, and not too many.
    /// Answers may come from any member that we sent a multicast to, so they must not fill the table.
    pub(super) fn wants_members(&self, network: NetworkId, group: MulticastGroup) -> bool {
        let group = self.groups.get(&(network, group));
        group.is_some_and(|group| group.members.len() < MAX_GATHERED)
    }

    /// `member` does not listen to `group` any more.
    pub(super) fn remove(&mut self, network: NetworkId, group: MulticastGroup, member: Address) {
        if let Some(found) = self.groups.get_mut(&(network, group))
            && found.members.remove(&member).is_some()
        {
            self.forget(member);
        }
    }

    fn forget(&mut self, member: Address) {
        self.members = self.members.saturating_sub(1);
        if let Some(count) = self.per_node.get_mut(&member) {
            *count -= 1;
            if *count == 0 {
                self.per_node.remove(&member);
            }
        }
    }

    /// Everyone known to listen to `group`, by address.
    pub(super) fn members(
        &self,
        network: NetworkId,
        group: MulticastGroup,
        now: Instant,
    ) -> Vec<Address> {
        let members = self.groups.get(&(network, group)).map(|g| &g.members);
        let members = members.into_iter().flatten();
        members
            .filter(|(_, heard)| now.duration_since(**heard) < MULTICAST_MEMBER_LIFETIME)
            .map(|(address, _)| *address)
            .collect()
    }

    /// When members of `group` were last asked for.
    pub(super) fn last_gather(&self, network: NetworkId, group: MulticastGroup) -> Option<Instant> {
        self.groups.get(&(network, group))?.last_gather
    }

    /// Members of `group` are being asked for now.
    pub(super) fn note_gather(&mut self, network: NetworkId, group: MulticastGroup, now: Instant) {
        if let Some(group) = self.entry((network, group)) {
            group.last_gather = Some(now);
        }
    }

    /// Keeps a multicast for members that are still to be found; the oldest of the group gives way.
    pub(super) fn wait(&mut self, network: NetworkId, waiting: Waiting) {
        let key = (network, waiting.frame.group);
        let Some(group) = self.entry(key) else {
            return;
        };
        if group.waiting.len() >= MAX_QUEUED_PER_GROUP {
            group.waiting.pop_front();
            self.waiting = self.waiting.saturating_sub(1);
        }
        if self.waiting < MAX_QUEUED
            && let Some(group) = self.entry(key)
        {
            group.waiting.push_back(waiting);
            self.waiting += 1;
        }
    }

    /// The state of a group that we send to; a scanning host behind us can fill the table only to its limit.
    fn entry(&mut self, key: (NetworkId, MulticastGroup)) -> Option<&mut Group> {
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(&key) {
            return None;
        }
        Some(self.groups.entry(key).or_default())
    }

    /// Hands out the waiting multicasts that `member` has not had, marked as sent to it.
    pub(super) fn serve(
        &mut self,
        network: NetworkId,
        group: MulticastGroup,
        member: Address,
        now: Instant,
    ) -> Vec<(Outgoing, u32)> {
        let Some(group) = self.groups.get_mut(&(network, group)) else {
            return Vec::new();
        };
        let mut due = Vec::new();
        for waiting in &mut group.waiting {
            if now.duration_since(waiting.since) < QUEUED_LIFETIME
                && waiting.remaining > 0
                && waiting.sent_to.insert(member)
            {
                waiting.remaining -= 1;
                due.push((waiting.frame.clone(), waiting.gather_limit));
            }
        }
        let before = group.waiting.len();
        group.waiting.retain(|waiting| waiting.remaining > 0);
        self.waiting = self.waiting.saturating_sub(before - group.waiting.len());
        due
    }

    /// Drops what has expired.
    pub(super) fn expire(&mut self, now: Instant) {
        let mut gone = Vec::new();
        let mut dropped = 0;
        self.groups.retain(|_, group| {
            group.members.retain(|address, heard| {
                let stays = now.duration_since(*heard) < MULTICAST_MEMBER_LIFETIME;
                if !stays {
                    gone.push(*address);
                }
                stays
            });
            let before = group.waiting.len();
            group
                .waiting
                .retain(|waiting| now.duration_since(waiting.since) < QUEUED_LIFETIME);
            dropped += before - group.waiting.len();
            let gathered = group.last_gather;
            !group.members.is_empty()
                || !group.waiting.is_empty()
                || gathered.is_some_and(|at| now.duration_since(at) < 3 * ANNOUNCEMENT)
        });
        self.waiting = self.waiting.saturating_sub(dropped);
        for address in gone {
            self.forget(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NETWORK: NetworkId = NetworkId(0x1122_3344_5566_7788);
    const GROUP: MulticastGroup = MulticastGroup {
        mac: MacAddress::BROADCAST,
        adi: 5,
    };

    #[test]
    fn members_expire_and_are_counted() {
        let mut groups = Groups::default();
        let start = Instant::from_millis(1);
        let (a, b) = (Address::from_u64(1), Address::from_u64(2));
        assert!(groups.add(NETWORK, GROUP, a, start));
        assert!(!groups.add(NETWORK, GROUP, a, start));
        let later = start + MULTICAST_MEMBER_LIFETIME / 2;
        assert!(groups.add(NETWORK, GROUP, b, later));
        assert_eq!(groups.members(NETWORK, GROUP, later), [a, b]);
        let end = start + MULTICAST_MEMBER_LIFETIME;
        groups.expire(end);
        assert_eq!(groups.members(NETWORK, GROUP, end), [b]);
        assert_eq!((groups.members, groups.per_node.len()), (1, 1));
    }

    #[test]
    fn a_waiting_multicast_goes_to_each_newcomer_once_until_its_limit() {
        let mut groups = Groups::default();
        let now = Instant::from_millis(1);
        let frame = Outgoing {
            group: GROUP,
            source: None,
            ethertype: 1,
            payload: vec![1],
        };
        groups.wait(
            NETWORK,
            Waiting {
                frame,
                since: now,
                gather_limit: 2,
                sent_to: BTreeSet::new(),
                remaining: 2,
            },
        );
        let member = Address::from_u64;
        assert_eq!(groups.serve(NETWORK, GROUP, member(1), now).len(), 1);
        assert_eq!(groups.serve(NETWORK, GROUP, member(1), now).len(), 0);
        assert_eq!(groups.serve(NETWORK, GROUP, member(2), now).len(), 1);
        assert_eq!(groups.serve(NETWORK, GROUP, member(3), now).len(), 0);
        assert_eq!(groups.waiting, 0);
    }

    #[test]
    fn only_so_many_members_are_taken_on_the_word_of_others_and_of_no_strange_group() {
        let mut groups = Groups::default();
        let now = Instant::from_millis(1);
        assert!(!groups.wants_members(NETWORK, GROUP));
        groups.note_gather(NETWORK, GROUP, now);
        assert!(groups.wants_members(NETWORK, GROUP));
        for member in 1..=MAX_GATHERED as u64 {
            assert!(groups.wants_members(NETWORK, GROUP));
            groups.add(NETWORK, GROUP, Address::from_u64(member), now);
        }
        assert!(!groups.wants_members(NETWORK, GROUP));
    }

    #[test]
    fn one_node_cannot_fill_the_table() {
        let mut groups = Groups::default();
        let now = Instant::from_millis(1);
        let node = Address::from_u64(9);
        for adi in 0..MAX_GROUPS_PER_NODE + 10 {
            groups.add(NETWORK, MulticastGroup { adi, ..GROUP }, node, now);
        }
        assert_eq!(groups.members, MAX_GROUPS_PER_NODE as usize);
    }
}
