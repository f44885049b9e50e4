//! Frames from the TAP device to other nodes (protocol specification 10.3, 14.4).

use protocol::network_config::{FLAG_BROADCAST, SPECIALIST_ACTIVE_BRIDGE};
use protocol::verb::{ExtFrame, Frame, Verb};
use protocol::{Address, MulticastGroup};

use super::groups::Outgoing;
use super::limits::{MAX_FLOODED_BRIDGES, MAX_FRAME_PAYLOAD};
use super::multicast::shuffle;
use super::{Context, Network, ndp};
use crate::frame::EthernetFrame;
use crate::io::Output;
use crate::rules::{Action, CopyTo, Verdict};

const ETHERTYPE_ARP: u16 = 0x0806;

/// EXT_FRAME subtypes of copies (7.8).
pub(super) struct CopyFlags {
    pub(super) tee: u8,
    pub(super) watch: u8,
    pub(super) redirect: u8,
}

const OUTBOUND: CopyFlags = CopyFlags {
    tee: 0x02,
    watch: 0x16,
    redirect: 0x04,
};

/// The group that an ARP request asks in: that of the owners of the wanted address.
fn arp_request_target(frame: &EthernetFrame<'_>) -> Option<u32> {
    let payload = frame.payload;
    let is_request = frame.ethertype == ETHERTYPE_ARP
        && payload.get(2..6)? == [0x08, 0x00, 6, 4]
        && *payload.get(7)? == 1;
    let target = payload.get(24..28)?.try_into().ok()?;
    is_request.then(|| u32::from_be_bytes(target))
}

/// The multicast group that a frame to a multicast MAC address belongs to.
pub(super) fn group_of(frame: &EthernetFrame<'_>) -> MulticastGroup {
    let adi = match frame.destination.is_broadcast() {
        true => arp_request_target(frame).unwrap_or(0),
        false => 0,
    };
    MulticastGroup {
        mac: frame.destination,
        adi,
    }
}

impl Network {
    /// We are an active bridge of this network.
    pub(super) fn is_active_bridge(&self) -> bool {
        let config = self.config.as_ref().map(|c| &c.config);
        config.is_some_and(|config| config.is_active_bridge(self.me))
    }

    /// Sends a frame that came from the device.
    pub(super) fn frame_from_port(&mut self, cx: &mut Context<'_>, frame: &EthernetFrame<'_>) {
        if self.config.is_none() || frame.payload.len() > MAX_FRAME_PAYLOAD {
            return;
        }
        let bridged = frame.source != self.mac;
        if bridged && !self.is_active_bridge() {
            return;
        }
        if frame.destination.is_multicast() {
            self.multicast_from_port(cx, frame, bridged);
        } else if frame.destination == self.mac {
            self.deliver(cx, frame);
        } else if let Some(to) = frame.destination.to_address(self.id) {
            self.unicast_from_port(cx, to, frame, bridged);
        } else {
            self.unknown_unicast_from_port(cx, frame);
        }
    }

    fn multicast_from_port(
        &mut self,
        cx: &mut Context<'_>,
        frame: &EthernetFrame<'_>,
        bridged: bool,
    ) {
        let Some(configured) = &self.config else {
            return;
        };
        let config = &configured.config;
        let group = group_of(frame);
        if frame.destination.is_broadcast() {
            if arp_request_target(frame).is_none() && !config.has_flag(FLAG_BROADCAST) {
                return;
            }
        } else if let Some(advertisement) = ndp::answer(config, self.me, frame) {
            cx.transport.output(Output::Deliver {
                network: self.id,
                frame: advertisement,
            });
            return;
        }
        if config.multicast_limit == 0 {
            return;
        }
        if bridged {
            self.learn_bridged_group(cx, group);
        }
        if self.filter_out(cx, None, frame) {
            let outgoing = Outgoing {
                group,
                source: bridged.then_some(frame.source),
                ethertype: frame.ethertype,
                payload: frame.payload.to_vec(),
            };
            self.multicast(cx, None, outgoing);
        }
    }

    fn unicast_from_port(
        &mut self,
        cx: &mut Context<'_>,
        to: Address,
        frame: &EthernetFrame<'_>,
        bridged: bool,
    ) {
        if to.is_reserved() || to == self.me || !self.filter_out(cx, Some(to), frame) {
            return;
        }
        self.push_if_needed(cx, to);
        if bridged {
            self.send_ext_frame(cx, to, 0, frame, false);
        } else {
            let packet = Frame {
                network: self.id,
                ethertype: frame.ethertype,
                payload: frame.payload,
            };
            let mut payload = Vec::with_capacity(frame.payload.len() + 10);
            packet.encode(&mut payload);
            cx.transport.send(cx.now, to, Verb::Frame, &payload, false);
        }
        self.member(cx, to).activity.sent.set(cx.now);
    }

    /// The destination is behind some bridge (10.3 case 5).
    fn unknown_unicast_from_port(&mut self, cx: &mut Context<'_>, frame: &EthernetFrame<'_>) {
        if !self.filter_out(cx, None, frame) {
            return;
        }
        let Some(configured) = &self.config else {
            return;
        };
        let config = &configured.config;
        let learned = self.routes.find(frame.destination);
        let learned = learned.filter(|b| *b != self.me && config.is_active_bridge(*b));
        let recipients = match learned {
            Some(bridge) => vec![bridge],
            None => {
                let mut bridges: Vec<_> = config
                    .specialists_with(SPECIALIST_ACTIVE_BRIDGE)
                    .filter(|bridge| *bridge != self.me)
                    .collect();
                if bridges.len() > MAX_FLOODED_BRIDGES {
                    shuffle(&mut bridges, cx.transport);
                    bridges.truncate(MAX_FLOODED_BRIDGES);
                }
                bridges
            }
        };
        for bridge in recipients {
            let verdict = self.verdict_out(cx, Some(bridge), frame);
            match verdict.map(|v| v.action) {
                Some(Action::Accept | Action::SuperAccept) => {
                    self.send_ext_frame(cx, bridge, 0, frame, false);
                }
                Some(Action::Redirect(target)) => self.send_redirect_out(cx, target, frame),
                Some(Action::Drop) | None => {}
            }
        }
    }

    /// What the rules say to sending `frame` to `to`; nothing is sent.
    pub(super) fn verdict_out(
        &mut self,
        cx: &mut Context<'_>,
        to: Option<Address>,
        frame: &EthernetFrame<'_>,
    ) -> Option<Verdict> {
        let configured = self.config.as_ref()?;
        let member = to.and_then(|to| self.members.get(&to));
        let remote = member.map(|member| &*member.remote);
        let random = cx.transport.random_u64() as u32;
        Some(configured.policy.filter_outbound(to, remote, frame, random))
    }

    /// Sends `frame` to where a rule redirected it on its way out.
    pub(super) fn send_redirect_out(
        &mut self,
        cx: &mut Context<'_>,
        target: Address,
        frame: &EthernetFrame<'_>,
    ) {
        self.push_if_needed(cx, target);
        self.send_ext_frame(cx, target, OUTBOUND.redirect, frame, true);
    }

    /// May `frame` go to `to`? Sends the copies and redirections that rules ask for.
    fn filter_out(
        &mut self,
        cx: &mut Context<'_>,
        to: Option<Address>,
        frame: &EthernetFrame<'_>,
    ) -> bool {
        let verdict = self.verdict_out(cx, to, frame);
        let passes = verdict.is_some_and(|v| self.carry_out(cx, &v, frame, &OUTBOUND));
        self.frames.sent += u64::from(passes);
        self.frames.send_dropped += u64::from(!passes);
        passes
    }

    /// Sends what a verdict asks for beside the frame itself; true if the frame may go on.
    pub(super) fn carry_out(
        &mut self,
        cx: &mut Context<'_>,
        verdict: &Verdict,
        frame: &EthernetFrame<'_>,
        flags: &CopyFlags,
    ) -> bool {
        if verdict.action == Action::Drop {
            return false;
        }
        let copies = [verdict.base_copy, verdict.capability_copy];
        for copy in copies.into_iter().flatten() {
            self.send_copy(cx, copy, frame, flags);
        }
        if let Action::Redirect(target) = verdict.action {
            self.push_if_needed(cx, target);
            self.send_ext_frame(cx, target, flags.redirect, frame, true);
            return false;
        }
        true
    }

    fn send_copy(
        &mut self,
        cx: &mut Context<'_>,
        copy: CopyTo,
        frame: &EthernetFrame<'_>,
        flags: &CopyFlags,
    ) {
        let length = copy.length.min(frame.payload.len());
        let cut = EthernetFrame {
            payload: &frame.payload[..length],
            ..*frame
        };
        let flags = match copy.watch {
            true => flags.watch,
            false => flags.tee,
        };
        self.push_if_needed(cx, copy.target);
        self.send_ext_frame(cx, copy.target, flags, &cut, true);
    }

    fn send_ext_frame(
        &mut self,
        cx: &mut Context<'_>,
        to: Address,
        flags: u8,
        frame: &EthernetFrame<'_>,
        compress: bool,
    ) {
        if to == self.me || to.is_reserved() {
            return;
        }
        let packet = ExtFrame {
            network: self.id,
            flags,
            membership: None,
            destination: frame.destination,
            source: frame.source,
            ethertype: frame.ethertype,
            payload: frame.payload,
        };
        let mut payload = Vec::with_capacity(frame.payload.len() + 23);
        packet.encode(&mut payload);
        let verb = Verb::ExtFrame;
        cx.transport.send(cx.now, to, verb, &payload, compress);
        self.member(cx, to).activity.sent.set(cx.now);
    }
}
