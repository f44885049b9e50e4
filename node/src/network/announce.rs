//! Telling others which multicast groups we listen to (protocol specification 11.1, 11.2).

use std::collections::BTreeSet;

use protocol::network_config::{
    FLAG_BROADCAST, SPECIALIST_ANCHOR, SPECIALIST_MULTICAST_REPLICATOR,
};
use protocol::verb::{Verb, encode_like};
use protocol::{Address, Instant, MacAddress, MulticastGroup};

use super::limits::{ANNOUNCEMENT, BRIDGED_GROUP_LIFETIME, MAX_BRIDGED_GROUPS, MAX_PAYLOAD};
use super::{Context, Network};

/// Bytes of one tuple of MULTICAST_LIKE.
const LIKE_LENGTH: usize = 18;

impl Network {
    /// Everything that we listen to.
    pub(super) fn groups(&self) -> BTreeSet<MulticastGroup> {
        let mut groups = self.port_groups.clone();
        groups.extend(self.bridged_groups.keys());
        let config = self.config.as_ref().map(|c| &c.config);
        if config.is_some_and(|config| config.has_flag(FLAG_BROADCAST)) {
            let mac = MacAddress::BROADCAST;
            groups.insert(MulticastGroup { mac, adi: 0 });
        }
        groups
    }

    /// As `groups().contains(&group)`, but cheap: it is asked for each multicast of a host behind us.
    fn listens_to(&self, group: MulticastGroup) -> bool {
        let everyone = MulticastGroup {
            mac: MacAddress::BROADCAST,
            adi: 0,
        };
        let config = self.config.as_ref().map(|c| &c.config);
        self.answers_for(group)
            || group == everyone && config.is_some_and(|config| config.has_flag(FLAG_BROADCAST))
    }

    /// We name ourselves when asked who listens to `group`. Not for broadcast, although we announce it: so does the
    /// reference.
    pub(super) fn answers_for(&self, group: MulticastGroup) -> bool {
        self.port_groups.contains(&group) || self.bridged_groups.contains_key(&group)
    }

    /// A host behind us uses `group`.
    pub(super) fn learn_bridged_group(&mut self, cx: &mut Context<'_>, group: MulticastGroup) {
        if self.bridged_groups.len() >= MAX_BRIDGED_GROUPS
            && !self.bridged_groups.contains_key(&group)
            && let Some(oldest) = self.oldest_bridged_group()
        {
            self.bridged_groups.remove(&oldest);
        }
        let is_news = !self.listens_to(group);
        self.bridged_groups.insert(group, cx.now);
        if is_news {
            self.announce_to_all(cx, &BTreeSet::from([group]));
        }
    }

    fn oldest_bridged_group(&self) -> Option<MulticastGroup> {
        let oldest = self.bridged_groups.iter().min_by_key(|(_, used)| **used);
        oldest.map(|(group, _)| *group)
    }

    /// Forgets groups that no host behind us used for long.
    pub(super) fn expire_bridged_groups(&mut self, now: Instant) {
        self.bridged_groups
            .retain(|_, used| now.duration_since(*used) < BRIDGED_GROUP_LIFETIME);
    }

    /// Announces groups that are not in `before` to everyone at once.
    pub(super) fn announce_news(
        &mut self,
        cx: &mut Context<'_>,
        before: &BTreeSet<MulticastGroup>,
    ) {
        let news: BTreeSet<_> = self.groups().difference(before).copied().collect();
        if !news.is_empty() {
            self.announce_to_all(cx, &news);
        }
    }

    fn announce_to_all(&mut self, cx: &mut Context<'_>, groups: &BTreeSet<MulticastGroup>) {
        if self.config.is_none() {
            return;
        }
        let mut targets = self.standing_audience(cx);
        let members = self.members.iter().filter(|(_, member)| member.admitted);
        targets.extend(members.map(|(address, _)| *address));
        for target in targets {
            self.announce(cx, target, groups);
        }
    }

    /// Those who keep track of our groups without being asked: upstreams, controller, anchors, replicators.
    fn standing_audience(&self, cx: &Context<'_>) -> BTreeSet<Address> {
        let mut audience: BTreeSet<_> = cx.transport.upstreams().into_iter().collect();
        if !self.id.is_ad_hoc() {
            audience.insert(self.id.controller());
        }
        if let Some(configured) = &self.config {
            let flags = SPECIALIST_ANCHOR | SPECIALIST_MULTICAST_REPLICATOR;
            audience.extend(configured.config.specialists_with(flags));
        }
        audience
    }

    /// The periodic announcement of all groups.
    pub(super) fn announce_if_due(&mut self, cx: &mut Context<'_>) {
        if self.config.is_none() {
            return;
        }
        let now = cx.now;
        let due = |at: Option<Instant>| at.is_none_or(|at| now.duration_since(at) >= ANNOUNCEMENT);
        let groups = self.groups();
        if due(self.last_announcement) {
            self.last_announcement = Some(now);
            for target in self.standing_audience(cx) {
                self.announce(cx, target, &groups);
            }
        }
        let members: Vec<_> = self.members.keys().copied().collect();
        for member in members {
            self.announce_to_member_if_due(cx, member);
        }
    }

    /// All groups to one member, at most once a minute.
    pub(super) fn announce_to_member_if_due(&mut self, cx: &mut Context<'_>, address: Address) {
        let now = cx.now;
        let Some(member) = self.members.get_mut(&address) else {
            return;
        };
        let recent = member
            .announced
            .is_some_and(|at| now.duration_since(at) < ANNOUNCEMENT);
        if recent || !member.admitted || cx.transport.identity_of(address).is_none() {
            return;
        }
        member.announced = Some(now);
        let groups = self.groups();
        self.announce(cx, address, &groups);
    }

    fn announce(&self, cx: &mut Context<'_>, to: Address, groups: &BTreeSet<MulticastGroup>) {
        if to == self.me {
            return;
        }
        let mut payload = Vec::new();
        let mut groups = groups.iter().peekable();
        while let Some(group) = groups.next() {
            encode_like(&(self.id, *group), &mut payload);
            if groups.peek().is_none() || payload.len() + LIKE_LENGTH > MAX_PAYLOAD {
                let verb = Verb::MulticastLike;
                cx.transport.send(cx.now, to, verb, &payload, true);
                payload.clear();
            }
        }
    }
}
