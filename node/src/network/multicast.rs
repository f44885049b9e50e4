//! Sending a multicast to everyone who listens (protocol specification 11.3).

use std::collections::BTreeSet;

use protocol::network_config::{
    FLAG_NO_MULTICAST_COMPRESSION, SPECIALIST_ACTIVE_BRIDGE, SPECIALIST_ANCHOR,
    SPECIALIST_MULTICAST_REPLICATOR,
};
use protocol::verb::{MulticastFrame, MulticastGather, Verb};
use protocol::{Address, MulticastGroup};

use super::groups::{Outgoing, Waiting};
use super::limits::{ANNOUNCEMENT, MAX_GATHER_PEERS};
use super::{Context, Network};
use crate::frame::EthernetFrame;
use crate::rules::Action;
use crate::transport::Transport;

/// In low-bandwidth mode explicit gathers are this many times rarer.
const LOW_BANDWIDTH_FACTOR: u32 = 3;
/// A latency that counts as unknown, ms.
const UNKNOWN_LATENCY: u32 = 0xffff;

/// Puts `items` into random order.
pub(super) fn shuffle<T>(items: &mut [T], transport: &mut Transport) {
    for last in (1..items.len()).rev() {
        let other = transport.random_u64() % (last as u64 + 1);
        items.swap(last, other as usize);
    }
}

impl Network {
    /// Sends `frame` to its group. `origin` is the node that had us replicate it, if any.
    pub(super) fn multicast(
        &mut self,
        cx: &mut Context<'_>,
        origin: Option<Address>,
        frame: Outgoing,
    ) {
        let Some(configured) = &self.config else {
            return;
        };
        let config = &configured.config;
        let limit = config.multicast_limit as usize;
        let bridges: Vec<_> = config.specialists_with(SPECIALIST_ACTIVE_BRIDGE).collect();
        if limit == 0 || self.send_to_replicator(cx, &frame) {
            return;
        }

        let served = |address: &Address| *address == self.me || Some(*address) == origin;
        let mut members = cx.shared.groups.members(self.id, frame.group, cx.now);
        members.retain(|member| !served(member));
        shuffle(&mut members, cx.transport);
        let enough = members.len() >= limit;
        let gather_limit = match enough {
            true => 1,
            false => u32::try_from(limit - members.len() + 1).unwrap_or(u32::MAX),
        };

        let mut recipients = Vec::new();
        let mut sent_to: BTreeSet<_> = origin.into_iter().chain([self.me]).collect();
        for recipient in bridges.iter().chain(&members) {
            if recipients.len() < limit && sent_to.insert(*recipient) {
                recipients.push(*recipient);
            }
        }
        if !enough {
            self.gather_if_due(cx, frame.group, gather_limit, members.is_empty());
            cx.shared.groups.wait(
                self.id,
                Waiting {
                    frame: frame.clone(),
                    since: cx.now,
                    gather_limit,
                    sent_to,
                    remaining: limit - recipients.len(),
                },
            );
        }
        for recipient in recipients {
            self.send_multicast_copy(cx, recipient, &frame, gather_limit);
        }
    }

    /// Hands `frame` to the nearest replicator, if the network has such and we are to use them; true if that was done.
    fn send_to_replicator(&mut self, cx: &mut Context<'_>, frame: &Outgoing) -> bool {
        let Some(configured) = &self.config else {
            return false;
        };
        let config = &configured.config;
        let replicators: Vec<_> = config
            .specialists_with(SPECIALIST_MULTICAST_REPLICATOR)
            .collect();
        if config.is_active_bridge(self.me) || replicators.contains(&self.me) {
            return false;
        }
        let reachable = replicators.into_iter().filter_map(|replicator| {
            let latency = cx.transport.direct_latency(cx.now, replicator)?;
            (latency < UNKNOWN_LATENCY).then_some((latency, replicator))
        });
        let Some((_, replicator)) = reachable.min() else {
            return false;
        };
        let compress = !config.has_flag(FLAG_NO_MULTICAST_COMPRESSION);
        self.push_if_needed(cx, replicator);
        let packet = MulticastFrame {
            network: self.id,
            membership: None,
            gather_limit: None,
            source: Some(frame.source.unwrap_or(self.mac)),
            replicate: true,
            group: frame.group,
            ethertype: frame.ethertype,
            payload: &frame.payload,
        };
        let mut payload = Vec::new();
        packet.encode(&mut payload);
        let verb = Verb::MulticastFrame;
        cx.transport
            .send(cx.now, replicator, verb, &payload, compress);
        self.member(cx, replicator).activity.sent.set(cx.now);
        true
    }

    /// One copy to one recipient, if the rules let it (no TEE in this pass, 14.4).
    fn send_multicast_copy(
        &mut self,
        cx: &mut Context<'_>,
        to: Address,
        frame: &Outgoing,
        gather_limit: u32,
    ) {
        let Some(configured) = &self.config else {
            return;
        };
        let ethernet = EthernetFrame {
            destination: frame.group.mac,
            source: frame.source.unwrap_or(self.mac),
            ethertype: frame.ethertype,
            payload: &frame.payload,
        };
        let compress = !configured.config.has_flag(FLAG_NO_MULTICAST_COMPRESSION);
        match self.verdict_out(cx, Some(to), &ethernet).map(|v| v.action) {
            Some(Action::Accept | Action::SuperAccept) => {}
            Some(Action::Redirect(target)) => {
                self.send_redirect_out(cx, target, &ethernet);
                return;
            }
            Some(Action::Drop) | None => return,
        }
        self.push_if_needed(cx, to);
        let packet = MulticastFrame {
            network: self.id,
            membership: None,
            gather_limit: Some(gather_limit),
            source: frame.source,
            replicate: false,
            group: frame.group,
            ethertype: frame.ethertype,
            payload: &frame.payload,
        };
        let mut payload = Vec::new();
        packet.encode(&mut payload);
        let verb = Verb::MulticastFrame;
        cx.transport.send(cx.now, to, verb, &payload, compress);
        self.member(cx, to).activity.sent.set(cx.now);
    }

    /// Multicasts that waited for a listener like `member`.
    pub(super) fn serve_newcomer(
        &mut self,
        cx: &mut Context<'_>,
        group: MulticastGroup,
        member: Address,
    ) {
        let due = cx.shared.groups.serve(self.id, group, member, cx.now);
        for (frame, gather_limit) in due {
            self.send_multicast_copy(cx, member, &frame, gather_limit);
        }
    }

    /// Asks those who may know for listeners of `group`: at once if nobody is known, else once a minute.
    fn gather_if_due(
        &mut self,
        cx: &mut Context<'_>,
        group: MulticastGroup,
        limit: u32,
        nobody_known: bool,
    ) {
        let Some(configured) = &self.config else {
            return;
        };
        let period = match cx.transport.low_bandwidth() {
            true => ANNOUNCEMENT * LOW_BANDWIDTH_FACTOR,
            false => ANNOUNCEMENT,
        };
        let last = cx.shared.groups.last_gather(self.id, group);
        let recent = last.is_some_and(|at| cx.now.duration_since(at) < period);
        if recent && !nobody_known {
            return;
        }
        cx.shared.groups.note_gather(self.id, group, cx.now);

        let config = &configured.config;
        let flags = SPECIALIST_ANCHOR | SPECIALIST_MULTICAST_REPLICATOR;
        let mut specialists: Vec<_> = config.specialists_with(flags).collect();
        shuffle(&mut specialists, cx.transport);
        let upstream = cx.transport.best_upstream(cx.now);
        let controller = (!self.id.is_ad_hoc()).then(|| self.id.controller());
        let mut asked = BTreeSet::from([self.me]);
        let candidates = upstream.into_iter().chain(controller).chain(specialists);
        let candidates: Vec<_> = candidates
            .filter(|candidate| asked.insert(*candidate))
            .take(MAX_GATHER_PEERS)
            .collect();

        let request = MulticastGather {
            network: self.id,
            group,
            limit,
            membership: config.membership.clone(),
        };
        let mut payload = Vec::new();
        request.encode(&mut payload);
        for candidate in candidates {
            let verb = Verb::MulticastGather;
            cx.transport.send(cx.now, candidate, verb, &payload, false);
        }
    }
}
