//! Our side of an embedded controller: requests go out of the core, answers come in as commands (protocol
//! specification 7.12, 12.4, 12.6).

use controller_client::sign_chunks;
use protocol::controller::{Effect, Request};
use protocol::credential::Revocation;
use protocol::verb::{ErrorBody, ErrorCode, InReply, NetworkConfigRequest, Verb};
use protocol::{Address, DecodeError, Instant, NetworkId, PacketId};

use super::credentials::revocation_payload;
use super::limits::MAX_AUTHORISED;
use super::{Networks, Refusal};
use crate::io::Output;
use crate::transport::{Handled, Received, Transport};

impl Networks {
    /// NETWORK_CONFIG_REQUEST: for our controller, or refused.
    pub(super) fn handle_config_request(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        packet: &Received<'_>,
    ) -> Result<Handled, DecodeError> {
        let request = NetworkConfigRequest::decode(packet.payload)?;
        let ours = request.network.controller() == transport.identity().address();
        if !ours || !transport.has_controller() {
            let network = request.network.0.to_be_bytes();
            transport.reply_error(now, packet, ErrorCode::UnsupportedOperation, &network);
            return Ok(Handled::Done);
        }
        if let Some(member) = transport.identity_of(packet.source).cloned() {
            transport.output(Output::ControllerRequest(Request {
                network: request.network,
                member,
                packet: packet.id,
                metadata: request.metadata,
                have_revision: request.have_revision,
                have_timestamp: request.have_timestamp,
                from: Some(packet.path.remote),
            }));
        }
        Ok(Handled::Done)
    }

    /// Does what our controller wants done.
    pub(super) fn handle_effect(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        effect: Effect,
    ) {
        match effect {
            Effect::Config {
                to,
                network,
                in_reply_to,
                dictionary,
            } => self.send_config(transport, now, to, network, in_reply_to, &dictionary),
            Effect::Error {
                to,
                network,
                in_reply_to,
                code,
            } => self.send_config_error(transport, now, to, network, in_reply_to, code),
            Effect::Revoke { to, revocation } => {
                self.send_revocation(transport, now, &to, &revocation);
            }
            Effect::Authorised { network, member } => {
                let authorised = &mut self.shared.authorised;
                if authorised.len() < MAX_AUTHORISED || authorised.contains_key(&(network, member))
                {
                    authorised.insert((network, member), now);
                }
            }
        }
    }

    /// Sends a configuration as signed chunks, or applies it if it is for us.
    fn send_config(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        to: Address,
        network: NetworkId,
        in_reply_to: Option<PacketId>,
        dictionary: &[u8],
    ) {
        if to == transport.identity().address() {
            let applied = self.with(transport, now, network, |network, cx| {
                network.apply_dictionary(cx, dictionary)
            });
            if applied == Some(true) {
                self.report_facts(transport);
            }
            return;
        }
        let update_id = transport.random_u64().max(1);
        let chunks = sign_chunks(transport.identity(), network, dictionary, update_id, false);
        for chunk in chunks {
            let mut payload = Vec::new();
            let verb = match in_reply_to {
                Some(packet) => {
                    let verb = Verb::NetworkConfigRequest as u8;
                    InReply { verb, packet }.encode(&mut payload);
                    Verb::Ok
                }
                None => Verb::NetworkConfig,
            };
            chunk.encode(&mut payload);
            transport.send(now, to, verb, &payload, true);
        }
    }

    /// Sends a refusal, or takes it to heart if it is for us.
    fn send_config_error(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        to: Address,
        network: NetworkId,
        in_reply_to: PacketId,
        code: ErrorCode,
    ) {
        if to == transport.identity().address() {
            let refusal = match code {
                ErrorCode::NetworkAccessDenied => Refusal::AccessDenied,
                ErrorCode::NetworkAuthenticationRequired => {
                    Refusal::AuthenticationRequired { url: None }
                }
                _ => Refusal::NotFound,
            };
            self.with(transport, now, network, |network, cx| {
                network.refuse(cx, refusal);
            });
            return;
        }
        let mut payload = Vec::new();
        let in_reply = InReply {
            verb: Verb::NetworkConfigRequest as u8,
            packet: in_reply_to,
        };
        in_reply.encode(&mut payload);
        let error = ErrorBody {
            code: code as u8,
            network: Some(network),
            group: None,
            metadata: None,
        };
        error.encode(&mut payload);
        transport.send(now, to, Verb::Error, &payload, false);
    }

    /// Sends a revocation to members, and applies it here.
    fn send_revocation(
        &mut self,
        transport: &mut Transport,
        now: Instant,
        to: &[Address],
        revocation: &Revocation,
    ) {
        let me = transport.identity().address();
        let payload = revocation_payload(revocation);
        for member in to.iter().filter(|member| **member != me) {
            let verb = Verb::NetworkCredentials;
            transport.send(now, *member, verb, &payload, false);
        }
        self.with(transport, now, revocation.network, |network, cx| {
            network.add_revocation(cx, me, revocation)
        });
    }
}
