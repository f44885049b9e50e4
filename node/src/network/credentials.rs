//! NETWORK_CREDENTIALS in and out (protocol specification 7.11, 13.7).

use std::collections::BTreeMap;

use protocol::credential::{CertificateOfMembership, REVOCATION_FAST_PROPAGATE, Revocation};
use protocol::network_config::NetworkConfig;
use protocol::verb::{NetworkCredentials, Verb};
use protocol::{Address, DecodeError, Instant, NetworkId};

use super::limits::{
    CREDENTIALS_PUSH_GATE, CREDENTIALS_RECEIVE_GATE, FORGERY_PAUSE, MAX_GATES, MAX_PAYLOAD,
    STAMP_PERIOD,
};
use super::membership::{Acceptance, Credentials};
use super::{Context, Network, Networks};
use crate::transport::{Handled, Received, Transport};

/// When credentials last came from and went to each node, over all networks: receivers allow one packet a second.
#[derive(Default, Debug)]
pub(super) struct Gates {
    received: BTreeMap<Address, Instant>,
    pushed: BTreeMap<Address, Instant>,
    /// Who last sent something that its signature does not cover.
    forged: BTreeMap<Address, Instant>,
}

impl Gates {
    /// Takes note of a packet from `source`; false if it follows the previous one too closely.
    fn admit(&mut self, source: Address, now: Instant) -> bool {
        let last = self.received.get(&source);
        if last.is_some_and(|at| now.duration_since(*at) < CREDENTIALS_RECEIVE_GATE) {
            return false;
        }
        if self.received.len() >= MAX_GATES {
            self.expire(now);
        }
        if self.received.len() < MAX_GATES {
            self.received.insert(source, now);
        }
        true
    }

    /// The packet from `source` could not be judged yet and will come again.
    fn readmit(&mut self, source: Address) {
        self.received.remove(&source);
    }

    /// The earliest time at which `to` will take another packet.
    fn next_push(&self, to: Address) -> Instant {
        let last = self.pushed.get(&to);
        last.map_or(Instant::ZERO, |at| *at + CREDENTIALS_PUSH_GATE)
    }

    fn note_push(&mut self, to: Address, now: Instant) {
        if self.pushed.len() >= MAX_GATES {
            self.expire(now);
        }
        if self.pushed.len() < MAX_GATES {
            self.pushed.insert(to, now);
        }
    }

    /// Signatures from `source` are worth checking: a check takes longer than all else about a packet, and certificates
    /// attached to frames and chunks of configurations have no gate of their own.
    pub(super) fn may_verify(&self, source: Address, now: Instant) -> bool {
        let last = self.forged.get(&source);
        last.is_none_or(|at| now.duration_since(*at) >= FORGERY_PAUSE)
    }

    /// `source` sent something that its signature does not cover.
    pub(super) fn note_forgery(&mut self, source: Address, now: Instant) {
        if self.forged.len() < MAX_GATES {
            self.forged.insert(source, now);
        }
    }

    /// Drops what does not hold anything back any more.
    pub(super) fn expire(&mut self, now: Instant) {
        self.forged
            .retain(|_, at| now.duration_since(*at) < FORGERY_PAUSE);
        self.received
            .retain(|_, at| now.duration_since(*at) < CREDENTIALS_RECEIVE_GATE);
        self.pushed
            .retain(|_, at| now.duration_since(*at) < CREDENTIALS_PUSH_GATE);
    }
}

/// Our credentials as payloads of NETWORK_CREDENTIALS, the certificate of membership in the first.
fn own_credentials(config: &NetworkConfig) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    let mut current = NetworkCredentials::default();
    // The marker after the certificates and four counts.
    let mut length = 9;
    macro_rules! add {
        ($source:expr, $target:ident) => {
            for credential in $source {
                let mut bytes = Vec::new();
                credential.encode(&mut bytes);
                if length + bytes.len() > MAX_PAYLOAD {
                    packets.push(std::mem::take(&mut current));
                    length = 9;
                }
                length += bytes.len();
                current.$target.push(credential.clone());
            }
        };
    }
    add!(config.membership.iter(), memberships);
    add!(&config.tags, tags);
    add!(&config.ownership, ownership);
    add!(&config.capabilities, capabilities);
    packets.push(current);
    let payloads = packets.iter().map(|packet| {
        let mut payload = Vec::new();
        packet.encode(&mut payload);
        payload
    });
    payloads.collect()
}

impl Network {
    /// Before a frame to `to`: sends it our credentials unless it has them. If they must wait for their turn the frame
    /// goes ahead; a receiver that lacks them holds it.
    pub(super) fn push_if_needed(&mut self, cx: &mut Context<'_>, to: Address) {
        let Some(configured) = &self.config else {
            return;
        };
        let (applied, wanted) = (configured.applied, configured.has_credentials());
        let now = cx.now;
        let member = self.member(cx, to);
        if wanted && !member.has_current_credentials(applied, now) {
            member.push_wanted = true;
            self.push(cx, to);
        }
    }

    /// `peer` says that it lacks our certificate (7.3).
    pub(super) fn credentials_wanted_by(&mut self, cx: &mut Context<'_>, peer: Address) {
        let Some(configured) = &self.config else {
            return;
        };
        if configured.config.membership.is_none() {
            return;
        }
        let member = self.member(cx, peer);
        // One push at a time: the gate spaces them, and a request that meets a closed gate is served when it opens.
        member.push_wanted = true;
        self.push(cx, peer);
    }

    /// Sends what `to` is to have of our credentials, if it will take a packet now.
    fn push(&mut self, cx: &mut Context<'_>, to: Address) {
        let now = cx.now;
        let (Some(configured), Some(member)) = (&self.config, self.members.get_mut(&to)) else {
            return;
        };
        if now < cx.shared.gates.next_push(to) {
            return;
        }
        if member.push_wanted {
            member.push_wanted = false;
            member.pushed = Some(now);
            member.push_rest = own_credentials(&configured.config);
            member.push_rest.reverse();
        }
        let Some(payload) = member.push_rest.pop() else {
            return;
        };
        let shows_otherwise = member.shows_otherwise(true);
        cx.shared.gates.note_push(to, now);
        let verb = Verb::NetworkCredentials;
        cx.transport.send(now, to, verb, &payload, true);
        if shows_otherwise {
            self.changed(cx);
        }
    }

    /// Reads the workers' stamps and does what they and the clock call for; returns when to look again.
    pub(super) fn tend_members(&mut self, cx: &mut Context<'_>) -> Instant {
        let now = cx.now;
        let mut next = now + STAMP_PERIOD;
        let Some(configured) = &self.config else {
            return next;
        };
        let (applied, has_credentials) = (configured.applied, configured.has_credentials());
        let mut push = Vec::new();
        let mut announce = Vec::new();
        let mut changed = false;
        for (address, member) in &mut self.members {
            if has_credentials
                && member.is_talked_to(now)
                && !member.has_current_credentials(applied, now)
            {
                member.push_wanted = true;
            }
            if member.push_wanted || !member.push_rest.is_empty() {
                push.push(*address);
            }
            let heard = member.activity.received.get();
            if heard.is_some_and(|heard| member.announced.is_none_or(|at| at < heard)) {
                announce.push(*address);
            }
            let has = !has_credentials || member.may_be_sent_to(applied, now);
            changed |= member.shows_otherwise(has);
        }
        if changed {
            self.changed(cx);
        }
        for address in push {
            self.push(cx, address);
            let rest = self.members.get(&address);
            if rest.is_some_and(|m| m.push_wanted || !m.push_rest.is_empty()) {
                next = next.min(cx.shared.gates.next_push(address));
            }
        }
        for address in announce {
            self.announce_to_member_if_due(cx, address);
        }
        next
    }

    /// Files a credential under `address` by way of `add`; a member that proved nothing leaves no trace.
    fn file(
        &mut self,
        cx: &mut Context<'_>,
        address: Address,
        add: impl FnOnce(&mut Credentials, Option<&protocol::Identity>) -> Acceptance,
    ) -> Acceptance {
        if address == self.me || address.is_reserved() {
            return Acceptance::Rejected;
        }
        let controller = self.id.controller();
        let identity = cx.transport.identity_of(controller);
        let acceptance = match self.members.get_mut(&address) {
            Some(member) => add(&mut member.credentials, identity),
            None => {
                let mut credentials = Credentials::default();
                let acceptance = add(&mut credentials, identity);
                if acceptance == Acceptance::New {
                    self.member(cx, address).credentials = credentials;
                }
                acceptance
            }
        };
        match acceptance {
            Acceptance::New => self.judge(cx, address),
            Acceptance::SignerUnknown => cx.transport.whois(cx.now, controller),
            Acceptance::Known | Acceptance::Rejected => {}
        }
        acceptance
    }

    /// Takes a certificate of membership that came attached to another packet of `source`.
    pub(super) fn add_attached_membership(
        &mut self,
        cx: &mut Context<'_>,
        source: Address,
        certificate: CertificateOfMembership,
    ) {
        let now = cx.now;
        if cx.shared.gates.may_verify(source, now)
            && self.add_membership(cx, certificate) == Acceptance::Rejected
        {
            cx.shared.gates.note_forgery(source, now);
        }
    }

    /// Takes a certificate of membership.
    pub(super) fn add_membership(
        &mut self,
        cx: &mut Context<'_>,
        certificate: CertificateOfMembership,
    ) -> Acceptance {
        if certificate.network() != self.id {
            return Acceptance::Rejected;
        }
        self.file(cx, certificate.issued_to(), |credentials, controller| {
            credentials.add_membership(certificate, controller)
        })
    }

    /// Takes a revocation, and passes it on if it is new and asks for that (13.6).
    pub(super) fn add_revocation(
        &mut self,
        cx: &mut Context<'_>,
        source: Address,
        revocation: &Revocation,
    ) -> Acceptance {
        let acceptance = self.file(cx, revocation.target, |credentials, controller| {
            credentials.add_revocation(revocation, controller)
        });
        if acceptance == Acceptance::New && revocation.flags & REVOCATION_FAST_PROPAGATE != 0 {
            let payload = revocation_payload(revocation);
            let except = [source, revocation.signer, self.me];
            for member in self.members.keys().filter(|m| !except.contains(m)) {
                let verb = Verb::NetworkCredentials;
                cx.transport.send(cx.now, *member, verb, &payload, false);
            }
        }
        acceptance
    }
}

/// A NETWORK_CREDENTIALS payload that holds just `revocation`.
pub(super) fn revocation_payload(revocation: &Revocation) -> Vec<u8> {
    let credentials = NetworkCredentials {
        revocations: vec![*revocation],
        ..NetworkCredentials::default()
    };
    let mut payload = Vec::new();
    credentials.encode(&mut payload);
    payload
}

impl Networks {
    /// NETWORK_CREDENTIALS (7.11).
    pub(super) fn handle_credentials(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
    ) -> Result<Handled, DecodeError> {
        if !self.shared.gates.admit(packet.source, now) {
            return Ok(Handled::RateLimited);
        }
        let received = NetworkCredentials::decode(packet.payload)?;
        let mut outcomes = Vec::new();
        let mut file =
            |network: NetworkId,
             action: &mut dyn FnMut(&mut Network, &mut Context<'_>) -> Acceptance| {
                outcomes
                    .extend(self.with(transport, now, network, |network, cx| action(network, cx)));
            };
        for certificate in received.memberships {
            file(certificate.network(), &mut |network, cx| {
                network.add_membership(cx, certificate.clone())
            });
        }
        for capability in received.capabilities {
            file(capability.network, &mut |network, cx| {
                network.file(cx, capability.issued_to(), |credentials, controller| {
                    credentials.add_capability(capability.clone(), controller)
                })
            });
        }
        for tag in received.tags {
            file(tag.network, &mut |network, cx| {
                network.file(cx, tag.issued_to, |credentials, controller| {
                    credentials.add_tag(tag, controller)
                })
            });
        }
        for revocation in received.revocations {
            file(revocation.network, &mut |network, cx| {
                network.add_revocation(cx, packet.source, &revocation)
            });
        }
        for certificate in received.ownership {
            file(certificate.network, &mut |network, cx| {
                network.file(cx, certificate.issued_to, |credentials, controller| {
                    credentials.add_ownership(certificate.clone(), controller)
                })
            });
        }
        if outcomes.contains(&Acceptance::SignerUnknown) {
            // The packet comes again when the signer is known; it is not a second one then.
            self.shared.gates.readmit(packet.source);
            return Ok(Handled::Hold);
        }
        let accepted = [Acceptance::New, Acceptance::Known];
        match outcomes.iter().any(|outcome| accepted.contains(outcome)) {
            true => Ok(Handled::Trusted),
            false => Ok(Handled::Done),
        }
    }
}
