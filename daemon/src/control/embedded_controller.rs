//! The embedded controller: what the node asks it, and what it wants sent.

use controller::Effect;
use node::Input;
use node::io::{Command, ControllerRequest};

use super::Control;

impl Control {
    pub(super) fn ask_controller(&mut self, request: ControllerRequest) {
        let now = self.wall_now();
        let request = controller::Request {
            network: request.network,
            member: request.member,
            packet: request.packet,
            metadata: request.metadata,
            have_revision: request.have_revision,
            have_timestamp: request.have_timestamp,
            from: request.from,
        };
        self.controller.handle_request(now, request);
        self.take_effects();
    }

    /// Hands what the controller wants sent to the node; [`Control::settle`] does the rest.
    pub(super) fn take_effects(&mut self) {
        let now = self.clock.now();
        while let Some(effect) = self.controller.poll() {
            let command = match effect {
                Effect::Config {
                    to,
                    network,
                    in_reply_to,
                    dictionary,
                } => Command::SendNetworkConfig {
                    to,
                    network,
                    in_reply_to,
                    dictionary,
                },
                Effect::Error {
                    to,
                    network,
                    in_reply_to,
                    code,
                } => Command::SendNetworkError {
                    to,
                    network,
                    in_reply_to,
                    code,
                },
                Effect::Revoke { to, revocation } => Command::SendRevocation {
                    to,
                    revocation: Box::new(revocation),
                },
                Effect::Authorised { network, member } => {
                    Command::MemberAuthorised { network, member }
                }
            };
            self.node.handle(now, Input::Command(command));
        }
    }
}
