//! Frames from other nodes to the TAP device (protocol specification 10.4, 11.4).

use protocol::network_config::SPECIALIST_MULTICAST_REPLICATOR;
use protocol::verb::{
    EXT_FRAME_SEND_OK, ErrorCode, ExtFrame, Frame, MulticastFrame, OkMulticastFrame,
};
use protocol::{Address, DecodeError, Instant, MacAddress};

use super::groups::Outgoing;
use super::limits::MAX_FRAME_PAYLOAD;
use super::outbound::CopyFlags;
use super::{Context, Network, Networks};
use crate::frame::EthernetFrame;
use crate::io::Output;
use crate::rules::Action;
use crate::transport::{Handled, Received, Transport};

const INBOUND: CopyFlags = CopyFlags {
    tee: 0x08,
    watch: 0x1c,
    redirect: 0x0a,
};

impl Network {
    /// Writes a frame to the device; empty ones are not worth it.
    pub(super) fn deliver(&self, cx: &mut Context<'_>, frame: &EthernetFrame<'_>) {
        if !frame.payload.is_empty() {
            cx.transport.output(Output::Deliver {
                network: self.id,
                frame: frame.to_bytes(),
            });
        }
    }

    /// The gate for frames: who does not pass is told so, and its packet waits for credentials.
    fn gate_frame(&mut self, cx: &mut Context<'_>, packet: &Received<'_>) -> bool {
        if !self.gate(cx, packet.source) {
            let network = self.id.0.to_be_bytes();
            let code = ErrorCode::NeedMembershipCertificate;
            cx.transport.reply_error(cx.now, packet, code, &network);
            return false;
        }
        let now = cx.now;
        self.member(cx, packet.source).activity.received.set(now);
        true
    }

    /// What the rules say to a frame from `source`: how it may pass, if it may.
    fn filter_in(
        &mut self,
        cx: &mut Context<'_>,
        source: Address,
        frame: &EthernetFrame<'_>,
    ) -> Option<Action> {
        let configured = self.config.as_ref()?;
        let remote = self.members.get(&source).map(|member| &*member.remote);
        let random = cx.transport.random_u64() as u32;
        let verdict = configured
            .policy
            .filter_inbound(source, remote, frame, random);
        let passes = self.carry_out(cx, &verdict, frame, &INBOUND);
        self.frames.received += u64::from(passes);
        self.frames.receive_dropped += u64::from(!passes);
        passes.then_some(verdict.action)
    }

    fn frame(&mut self, cx: &mut Context<'_>, packet: &Received<'_>, frame: &Frame<'_>) -> Handled {
        if !self.gate_frame(cx, packet) {
            return Handled::Hold;
        }
        let ethernet = EthernetFrame {
            destination: self.mac,
            source: MacAddress::of(packet.source, self.id),
            ethertype: frame.ethertype,
            payload: frame.payload,
        };
        if self.filter_in(cx, packet.source, &ethernet).is_some() {
            self.deliver(cx, &ethernet);
        }
        Handled::Trusted
    }

    fn ext_frame(
        &mut self,
        cx: &mut Context<'_>,
        packet: &Received<'_>,
        frame: ExtFrame<'_>,
    ) -> Handled {
        if let Some(certificate) = frame.membership {
            self.add_attached_membership(cx, packet.source, certificate);
        }
        if !self.gate_frame(cx, packet) {
            return Handled::Hold;
        }
        let ethernet = EthernetFrame {
            destination: frame.destination,
            source: frame.source,
            ethertype: frame.ethertype,
            payload: frame.payload,
        };
        // Our own MAC address as the source would be a loop.
        if !frame.source.is_zero() && frame.source != self.mac {
            match self.filter_in(cx, packet.source, &ethernet) {
                Some(Action::SuperAccept) => self.deliver(cx, &ethernet),
                Some(_) if self.may_enter(packet.source, &ethernet) => self.deliver(cx, &ethernet),
                Some(_) | None => {}
            }
        }
        if frame.flags & EXT_FRAME_SEND_OK != 0 {
            let network = self.id.0.to_be_bytes();
            cx.transport.reply_ok(cx.now, packet, &network);
        }
        Handled::Trusted
    }

    /// Are the MAC addresses of an EXT_FRAME from `sender` in order? Learns what is behind a bridge.
    fn may_enter(&mut self, sender: Address, frame: &EthernetFrame<'_>) -> bool {
        let Some(configured) = &self.config else {
            return false;
        };
        let config = &configured.config;
        if frame.source != MacAddress::of(sender, self.id) {
            // A frame from behind a bridge may be for anyone.
            return self.learn_bridge_route(sender, frame.source);
        }
        if frame.destination == self.mac {
            return true;
        }
        match frame.destination.is_multicast() {
            true => config.multicast_limit != 0,
            false => config.is_active_bridge(self.me),
        }
    }

    /// Notes that `mac` is behind `sender`; false if `sender` is no active bridge.
    fn learn_bridge_route(&mut self, sender: Address, mac: MacAddress) -> bool {
        let config = self.config.as_ref().map(|c| &c.config);
        let is_bridge = config.is_some_and(|config| config.is_active_bridge(sender));
        if is_bridge {
            self.routes.learn(mac, sender);
        }
        is_bridge
    }

    /// Whether the packet counts as handled, and whether its gather request may be answered.
    fn multicast_frame(
        &mut self,
        cx: &mut Context<'_>,
        packet: &Received<'_>,
        frame: &MulticastFrame<'_>,
    ) -> (Handled, bool) {
        if let Some(certificate) = frame.membership.clone() {
            self.add_attached_membership(cx, packet.source, certificate);
        }
        if !self.gate_frame(cx, packet) {
            return (Handled::Hold, false);
        }
        let Some(configured) = &self.config else {
            return (Handled::Done, false);
        };
        let config = &configured.config;
        if config.multicast_limit == 0 {
            return (Handled::Done, false);
        }
        let own = MacAddress::of(packet.source, self.id);
        let source = frame.source.unwrap_or(own);
        if frame.payload.is_empty()
            || frame.payload.len() > MAX_FRAME_PAYLOAD
            || !frame.group.mac.is_multicast()
            || source.is_zero()
            || source.is_multicast()
            || source == self.mac
        {
            return (Handled::Trusted, false);
        }
        let is_replicator = config
            .specialists_with(SPECIALIST_MULTICAST_REPLICATOR)
            .any(|replicator| replicator == self.me);
        if frame.replicate && is_replicator {
            let outgoing = Outgoing {
                group: frame.group,
                source: Some(source),
                ethertype: frame.ethertype,
                payload: frame.payload.to_vec(),
            };
            self.multicast(cx, Some(packet.source), outgoing);
        }
        if source != own && !self.learn_bridge_route(packet.source, source) {
            return (Handled::Trusted, false);
        }
        let ethernet = EthernetFrame {
            destination: frame.group.mac,
            source,
            ethertype: frame.ethertype,
            payload: frame.payload,
        };
        if self.filter_in(cx, packet.source, &ethernet).is_some() {
            self.deliver(cx, &ethernet);
        }
        (Handled::Trusted, true)
    }
}

impl Networks {
    /// FRAME.
    pub(super) fn handle_frame_packet(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
    ) -> Result<Handled, DecodeError> {
        let frame = Frame::decode(packet.payload)?;
        let handled = self.with(transport, now, frame.network, |network, cx| {
            network.frame(cx, packet, &frame)
        });
        Ok(handled.unwrap_or(Handled::Done))
    }

    /// EXT_FRAME.
    pub(super) fn handle_ext_frame(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
    ) -> Result<Handled, DecodeError> {
        let frame = ExtFrame::decode(packet.payload)?;
        let handled = self.with(transport, now, frame.network, |network, cx| {
            network.ext_frame(cx, packet, frame)
        });
        Ok(handled.unwrap_or(Handled::Done))
    }

    /// MULTICAST_FRAME.
    pub(super) fn handle_multicast_frame(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
    ) -> Result<Handled, DecodeError> {
        let frame = MulticastFrame::decode(packet.payload)?;
        let (network, group) = (frame.network, frame.group);
        let outcome = self.with(transport, now, network, |network, cx| {
            network.multicast_frame(cx, packet, &frame)
        });
        let Some((handled, may_gather)) = outcome else {
            return Ok(Handled::Done);
        };
        if may_gather && let Some(limit) = frame.gather_limit {
            let gathered = self.gather(transport, now, packet.source, network, group, limit);
            if gathered.is_some() {
                let answer = OkMulticastFrame {
                    network,
                    group,
                    membership: None,
                    gathered,
                };
                let mut body = Vec::new();
                answer.encode(&mut body);
                transport.reply_ok(now, packet, &body);
            }
        }
        Ok(handled)
    }
}
