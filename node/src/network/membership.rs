//! What one remote member has proved: its certificate of membership, tags, capabilities, ownership certificates and
//! revocations (protocol specification 13.2 to 13.7).

use std::collections::BTreeMap;

use protocol::credential::{
    Capability, CertificateOfMembership, CertificateOfOwnership, CredentialKind, Revocation, Tag,
};
use protocol::{Address, Identity, NetworkId};

use super::limits::{MAX_CREDENTIALS, MAX_OWNERSHIP};
use crate::rules::RemoteCredentials;

/// What became of a received credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Acceptance {
    /// Genuine and kept.
    New,
    /// Genuine, and nothing new.
    Known,
    /// Not genuine, outdated or revoked.
    Rejected,
    /// The controller's identity must be looked up first.
    SignerUnknown,
}

/// The credentials of one remote member of one network.
#[derive(Clone, Default, Debug)]
pub(crate) struct Credentials {
    membership: Option<CertificateOfMembership>,
    /// Certificates of membership up to and including this time are revoked.
    membership_threshold: u64,
    /// By kind and id: credentials up to and including this time are revoked.
    revoked: BTreeMap<(u8, u32), u64>,
    tags: BTreeMap<u32, Tag>,
    capabilities: BTreeMap<u32, Capability>,
    ownership: BTreeMap<u32, CertificateOfOwnership>,
}

/// The common shape of tags, capabilities and certificates of ownership.
trait MemberCredential: PartialEq {
    const KIND: CredentialKind;
    const LIMIT: usize;
    fn network(&self) -> NetworkId;
    fn id(&self) -> u32;
    fn timestamp(&self) -> u64;
    fn signer(&self) -> Address;
    fn is_genuine(&self, controller: &Identity) -> bool;
}

macro_rules! member_credential {
    ($name:ident, $kind:ident, $limit:expr, $signer:expr) => {
        impl MemberCredential for $name {
            const KIND: CredentialKind = CredentialKind::$kind;
            const LIMIT: usize = $limit;
            fn network(&self) -> NetworkId {
                self.network
            }
            fn id(&self) -> u32 {
                self.id
            }
            fn timestamp(&self) -> u64 {
                self.timestamp
            }
            fn signer(&self) -> Address {
                let signer: fn(&Self) -> Address = $signer;
                signer(self)
            }
            fn is_genuine(&self, controller: &Identity) -> bool {
                self.verify(controller)
            }
        }
    };
}
member_credential!(Tag, Tag, MAX_CREDENTIALS, |tag| tag.signer);
member_credential!(Capability, Capability, MAX_CREDENTIALS, |capability| {
    capability
        .custody
        .first()
        .map_or(Address::NONE, |link| link.from)
});
member_credential!(CertificateOfOwnership, Ownership, MAX_OWNERSHIP, |own| own
    .signer);

/// Checks `credential` and files it in `table`.
fn accept<C: MemberCredential>(
    table: &mut BTreeMap<u32, C>,
    revoked: &BTreeMap<(u8, u32), u64>,
    credential: C,
    controller: Option<&Identity>,
) -> Acceptance {
    let id = credential.id();
    if credential.signer() != credential.network().controller() {
        return Acceptance::Rejected;
    }
    let threshold = revoked.get(&(C::KIND as u8, id));
    if threshold.is_some_and(|threshold| credential.timestamp() <= *threshold) {
        return Acceptance::Rejected;
    }
    if let Some(held) = table.get(&id) {
        if held.timestamp() > credential.timestamp() {
            return Acceptance::Rejected;
        }
        if *held == credential {
            return Acceptance::Known;
        }
    }
    let Some(controller) = controller else {
        return Acceptance::SignerUnknown;
    };
    if !credential.is_genuine(controller) {
        return Acceptance::Rejected;
    }
    table.insert(id, credential);
    if table.len() > C::LIMIT
        && let Some(oldest) = table
            .iter()
            .min_by_key(|(_, c)| c.timestamp())
            .map(|(id, _)| *id)
    {
        table.remove(&oldest);
    }
    Acceptance::New
}

impl Credentials {
    /// Nothing worth remembering: a record that may be forgotten without loss.
    pub(crate) fn is_empty(&self) -> bool {
        self.membership.is_none()
            && self.membership_threshold == 0
            && self.revoked.is_empty()
            && self.tags.is_empty()
            && self.capabilities.is_empty()
            && self.ownership.is_empty()
    }

    /// Takes a certificate of membership (13.2).
    pub(crate) fn add_membership(
        &mut self,
        certificate: CertificateOfMembership,
        controller: Option<&Identity>,
    ) -> Acceptance {
        if certificate.signer != certificate.network().controller()
            || certificate.timestamp() <= self.membership_threshold
        {
            return Acceptance::Rejected;
        }
        if let Some(held) = &self.membership {
            if held.timestamp() > certificate.timestamp() {
                return Acceptance::Rejected;
            }
            if *held == certificate {
                return Acceptance::Known;
            }
        }
        let Some(controller) = controller else {
            return Acceptance::SignerUnknown;
        };
        if !certificate.verify(controller) {
            return Acceptance::Rejected;
        }
        self.membership = Some(certificate);
        Acceptance::New
    }

    /// Takes a tag.
    pub(crate) fn add_tag(&mut self, tag: Tag, controller: Option<&Identity>) -> Acceptance {
        accept(&mut self.tags, &self.revoked, tag, controller)
    }

    /// Takes a capability.
    pub(crate) fn add_capability(
        &mut self,
        capability: Capability,
        controller: Option<&Identity>,
    ) -> Acceptance {
        accept(
            &mut self.capabilities,
            &self.revoked,
            capability,
            controller,
        )
    }

    /// Takes a certificate of ownership.
    pub(crate) fn add_ownership(
        &mut self,
        certificate: CertificateOfOwnership,
        controller: Option<&Identity>,
    ) -> Acceptance {
        accept(&mut self.ownership, &self.revoked, certificate, controller)
    }

    /// Takes a revocation (13.6). Revoking anything also raises the threshold of membership, as in the reference; it
    /// is never lowered here.
    pub(crate) fn add_revocation(
        &mut self,
        revocation: &Revocation,
        controller: Option<&Identity>,
    ) -> Acceptance {
        const MEMBERSHIP: u8 = CredentialKind::Membership as u8;
        let revocable = [
            MEMBERSHIP,
            CredentialKind::Capability as u8,
            CredentialKind::Tag as u8,
            CredentialKind::Ownership as u8,
        ];
        if revocation.signer != revocation.network.controller()
            || !revocable.contains(&revocation.kind)
        {
            return Acceptance::Rejected;
        }
        let Some(controller) = controller else {
            return Acceptance::SignerUnknown;
        };
        if !revocation.verify(controller) {
            return Acceptance::Rejected;
        }
        let key = (revocation.kind, revocation.credential_id);
        let held = match revocation.kind {
            MEMBERSHIP => self.membership_threshold,
            _ => self.revoked.get(&key).copied().unwrap_or(0),
        };
        if revocation.threshold <= held {
            return Acceptance::Known;
        }
        if revocation.kind != MEMBERSHIP {
            if self.revoked.len() >= MAX_CREDENTIALS
                && !self.revoked.contains_key(&key)
                && let Some(oldest) = self.oldest_revocation()
            {
                self.revoked.remove(&oldest);
            }
            self.revoked.insert(key, revocation.threshold);
        }
        self.membership_threshold = self.membership_threshold.max(revocation.threshold);
        Acceptance::New
    }

    fn oldest_revocation(&self) -> Option<(u8, u32)> {
        let oldest = self.revoked.iter().min_by_key(|(_, threshold)| **threshold);
        oldest.map(|(key, _)| *key)
    }

    /// Does the certificate held make `identity`, its holder, acceptable to the holder of `own` (13.2)?
    pub(crate) fn agrees(
        &self,
        own: Option<&CertificateOfMembership>,
        identity: &Identity,
    ) -> bool {
        let (Some(own), Some(theirs)) = (own, &self.membership) else {
            return false;
        };
        theirs.timestamp() > self.membership_threshold && own.agrees_with(theirs, identity)
    }

    /// What counts of the credentials held when our configuration is of time `timestamp` and allows a difference of
    /// `max_delta` ms (13.7).
    pub(crate) fn valid(&self, timestamp: u64, max_delta: u64) -> RemoteCredentials {
        let in_force = |kind: CredentialKind, id: u32, time: u64| {
            let threshold = self.revoked.get(&(kind as u8, id));
            time.abs_diff(timestamp) <= max_delta && threshold.is_none_or(|limit| time > *limit)
        };
        let tags = self.tags.values();
        let capabilities = self.capabilities.values();
        let ownership = self.ownership.values();
        RemoteCredentials {
            tags: tags
                .filter(|tag| in_force(CredentialKind::Tag, tag.id, tag.timestamp))
                .map(|tag| (tag.id, tag.value))
                .collect(),
            capabilities: capabilities
                .filter(|c| in_force(CredentialKind::Capability, c.id, c.timestamp))
                .map(|c| (c.id, c.rules.clone().into_boxed_slice()))
                .collect(),
            owned: ownership
                .filter(|own| in_force(CredentialKind::Ownership, own.id, own.timestamp))
                .flat_map(|own| own.things.iter().copied())
                .collect(),
        }
    }
}
