//! What others see of a network: the snapshot for workers and the status for the API.

use std::sync::Arc;

use protocol::Instant;

use super::{Context, Network, Refusal};
use crate::io::{Event, Output};
use crate::snapshot::NetworkEntry;
use crate::status::{NetworkStatus, NetworkStatusCode};

impl Network {
    /// The entry for the snapshot: none without configuration, the same as last time if nothing changed.
    pub(super) fn entry(&mut self, now: Instant) -> Option<Arc<NetworkEntry>> {
        if let Some(entry) = &self.entry {
            return Some(Arc::clone(entry));
        }
        let configured = self.config.as_ref()?;
        let nothing_to_send = !configured.has_credentials();
        let applied = configured.applied;
        let members = self.members.iter_mut().map(|(address, member)| {
            let has = nothing_to_send || member.may_be_sent_to(applied, now);
            (*address, member.entry(has))
        });
        let entry = Arc::new(NetworkEntry {
            network: self.id,
            mac: self.mac,
            mtu: configured.config.mtu,
            policy: Arc::clone(&configured.policy),
            members: members.collect(),
        });
        self.entry = Some(Arc::clone(&entry));
        Some(entry)
    }

    /// The status word (service specification C.5).
    pub(super) fn status_code(&self) -> NetworkStatusCode {
        if self.port_failed {
            return NetworkStatusCode::PortError;
        }
        match (&self.refusal, &self.config) {
            (Some(Refusal::NotFound), _) => NetworkStatusCode::NotFound,
            (Some(Refusal::AccessDenied), _) => NetworkStatusCode::AccessDenied,
            (Some(Refusal::AuthenticationRequired { .. }), _) => {
                NetworkStatusCode::AuthenticationRequired
            }
            (None, Some(_)) => NetworkStatusCode::Ok,
            (None, None) => NetworkStatusCode::RequestingConfiguration,
        }
    }

    /// Tells of a change of the status word.
    pub(super) fn report_status(&mut self, cx: &mut Context<'_>) {
        let status = self.status_code();
        if status != self.reported_status {
            self.reported_status = status;
            cx.transport.output(Output::Event(Event::NetworkStatus {
                network: self.id,
                status,
            }));
        }
    }

    /// For the API.
    pub(super) fn status(&self) -> NetworkStatus {
        let config = self.config.as_ref().map(|c| c.config.clone());
        NetworkStatus {
            network: self.id,
            mac: self.mac,
            status: self.status_code(),
            bridge: self.is_active_bridge(),
            config,
            groups: self.groups().into_iter().collect(),
            frames: self.frames,
            authentication_url: match &self.refusal {
                Some(Refusal::AuthenticationRequired { url }) => url.clone(),
                _ => None,
            },
        }
    }
}
