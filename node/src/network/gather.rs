//! Learning who listens to a multicast group, and telling others (protocol specification 7.10, 7.14, 11.5).

use std::collections::BTreeMap;

use protocol::verb::{GatherResult, MulticastGather, OkMulticastFrame, decode_likes};
use protocol::{Address, DecodeError, Instant, MulticastGroup, NetworkId};

use super::limits::{AUTHORISATION_LIFETIME, MAX_GATHER_RESULT};
use super::multicast::shuffle;
use super::{Networks, Shared};
use crate::transport::{Handled, Received, Transport};

impl Shared {
    /// Our controller vouched for `member` lately.
    fn is_authorised(&self, network: NetworkId, member: Address, now: Instant) -> bool {
        let at = self.authorised.get(&(network, member));
        at.is_some_and(|at| now.duration_since(*at) < AUTHORISATION_LIFETIME)
    }
}

impl Networks {
    /// The sender passes the gate of a joined network.
    fn passes_gate(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        network: NetworkId,
        sender: Address,
    ) -> bool {
        let passes = self.with(transport, now, network, |network, cx| {
            network.gate(cx, sender)
        });
        passes == Some(true)
    }

    /// We keep multicast memberships of `network` for anyone, or for this sender because our controller knows it.
    fn serves(
        &self,
        transport: &Transport,
        now: Instant,
        network: NetworkId,
        who: Address,
    ) -> bool {
        transport.is_upstream() || self.shared.is_authorised(network, who, now)
    }

    /// MULTICAST_LIKE. The sender's right is judged for each network on its own: that the reference carries it over
    /// between tuples is not something to rely on.
    pub(super) fn handle_likes(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
    ) -> Handled {
        let mut allowed = BTreeMap::new();
        for (network, group) in decode_likes(packet.payload) {
            let accepted = match allowed.get(&network) {
                Some(accepted) => *accepted,
                None => {
                    let passes = self.passes_gate(transport, now, network, packet.source);
                    let accepted = passes || self.serves(transport, now, network, packet.source);
                    allowed.insert(network, accepted);
                    accepted
                }
            };
            if accepted {
                self.learn_group_member(transport, now, network, group, packet.source);
            }
        }
        Handled::Done
    }

    /// `member` listens to `group`: multicasts that wait for such are sent to it.
    fn learn_group_member(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        network: NetworkId,
        group: MulticastGroup,
        member: Address,
    ) {
        if member == transport.identity().address() || member.is_reserved() {
            return;
        }
        if self.shared.groups.add(network, group, member, now) {
            self.with(transport, now, network, |network, cx| {
                network.serve_newcomer(cx, group, member);
            });
        }
    }

    /// MULTICAST_GATHER.
    pub(super) fn handle_gather(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
    ) -> Result<Handled, DecodeError> {
        let request = MulticastGather::decode(packet.payload)?;
        let network = request.network;
        if let Some(certificate) = request.membership {
            self.with(transport, now, network, |network, cx| {
                network.add_attached_membership(cx, packet.source, certificate);
            });
        }
        let passes = self.passes_gate(transport, now, network, packet.source);
        if passes || self.serves(transport, now, network, packet.source) {
            let result = self.gather(
                transport,
                now,
                packet.source,
                network,
                request.group,
                request.limit,
            );
            if let Some(result) = result {
                let mut body = Vec::new();
                result.encode(&mut body);
                transport.reply_ok(now, packet, &body);
            }
        }
        match passes {
            true => Ok(Handled::Trusted),
            false => Ok(Handled::Done),
        }
    }

    /// Known listeners, ourselves first, then others in random order without the asker; none if there is nobody to name.
    pub(super) fn gather(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        asker: Address,
        network: NetworkId,
        group: MulticastGroup,
        limit: u32,
    ) -> Option<GatherResult> {
        let limit = usize::try_from(limit).map_or(MAX_GATHER_RESULT, |n| n.min(MAX_GATHER_RESULT));
        if limit == 0 {
            return None;
        }
        let mut known = self.shared.groups.members(network, group, now);
        let joined = self.joined.get(&network);
        let subscribed = joined.is_some_and(|joined| joined.answers_for(group));
        let total = known.len() + usize::from(subscribed);
        known.retain(|member| *member != asker);
        shuffle(&mut known, transport);
        let mut members = Vec::new();
        if subscribed {
            members.push(transport.identity().address());
        }
        members.extend(known);
        members.truncate(limit);
        (!members.is_empty()).then(|| GatherResult {
            network,
            group,
            total: u32::try_from(total).unwrap_or(u32::MAX),
            members,
        })
    }

    /// OK(MULTICAST_GATHER).
    pub(super) fn handle_ok_gather(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        body: &[u8],
    ) {
        if let Ok(result) = GatherResult::decode(body) {
            self.learn_gathered(transport, now, result);
        }
    }

    /// OK(MULTICAST_FRAME).
    pub(super) fn handle_ok_multicast_frame(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        source: Address,
        body: &[u8],
    ) {
        let Ok(answer) = OkMulticastFrame::decode(body) else {
            return;
        };
        if let Some(certificate) = answer.membership {
            self.with(transport, now, answer.network, |network, cx| {
                network.add_attached_membership(cx, source, certificate);
            });
        }
        if let Some(result) = answer.gathered {
            self.learn_gathered(transport, now, result);
        }
    }

    fn learn_gathered(&mut self, transport: &mut Transport, now: Instant, result: GatherResult) {
        // We ask only about networks that we are in; whoever answers about others has them invented.
        if !self.joined.contains_key(&result.network) {
            return;
        }
        for member in result.members {
            let groups = &self.shared.groups;
            if !groups.wants_members(result.network, result.group) {
                return;
            }
            self.learn_group_member(transport, now, result.network, result.group, member);
        }
    }
}
