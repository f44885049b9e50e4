//! Capabilities (protocol specification 13.3).

use super::{decode_signature, encode_signature, framed, skip_additional};
use crate::rule::{Rule, read_rules};
use crate::{Address, DecodeError, Identity, NetworkId, Reader, SecretIdentity, Signature};

/// Most rules of a capability.
pub const MAX_CAPABILITY_RULES: usize = 64;
/// Most links of a chain of custody.
pub const MAX_CUSTODY_CHAIN: u8 = 7;

/// One link of a capability's chain of custody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Custody {
    pub to: Address,
    pub from: Address,
    pub signature: Signature,
}

/// Capability: rules that a member may use (13.3).
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Capability {
    pub network: NetworkId,
    pub timestamp: u64,
    pub id: u32,
    /// At most 64.
    pub rules: Vec<Rule>,
    /// 1..=7.
    pub max_custody_chain: u8,
    /// At most `max_custody_chain` links when it was read from the wire.
    pub custody: Vec<Custody>,
}

/// What came of checking a chain of custody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChainCheck {
    /// Every link holds.
    Valid,
    /// The chain is empty, does not begin at the controller, is interrupted, or a signature is wrong.
    Invalid,
    /// All links up to one by this node hold; its identity must be looked up.
    UnknownSigner(Address),
}

impl Capability {
    /// Issues a signed capability with a chain of one; rules beyond [`MAX_CAPABILITY_RULES`] are left out.
    pub fn issue(
        controller: &SecretIdentity,
        network: NetworkId,
        to: Address,
        timestamp: u64,
        id: u32,
        mut rules: Vec<Rule>,
    ) -> Self {
        rules.truncate(MAX_CAPABILITY_RULES);
        let mut capability = Self {
            network,
            timestamp,
            id,
            rules,
            max_custody_chain: 1,
            custody: Vec::new(),
        };
        capability.hand_over(controller, to);
        capability
    }

    /// Adds a link to the chain of custody; false, changing nothing, if the chain is as long as it may be.
    pub fn hand_over(&mut self, from: &SecretIdentity, to: Address) -> bool {
        if self.custody.len() >= usize::from(self.max_custody_chain.min(MAX_CUSTODY_CHAIN)) {
            return false;
        }
        let signature = from.sign(&self.signed_bytes());
        self.custody.push(Custody {
            to,
            from: from.address(),
            signature,
        });
        true
    }

    /// The last holder in the chain of custody, zero if there is none.
    pub fn issued_to(&self) -> Address {
        self.custody.last().map_or(Address::NONE, |c| c.to)
    }

    /// Reads the wire form.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let network = reader.network_id("capability's network")?;
        let timestamp = reader.u64("capability's timestamp")?;
        let id = reader.u32("capability id")?;
        let count = usize::from(reader.u16("number of rules")?);
        if count > MAX_CAPABILITY_RULES {
            return Err(DecodeError::TooLarge("number of rules"));
        }
        let rules = read_rules(reader, count)?;
        let max_custody_chain = reader.u8("length of chain of custody")?;
        if !(1..=MAX_CUSTODY_CHAIN).contains(&max_custody_chain) {
            return Err(DecodeError::Invalid("length of chain of custody"));
        }
        let mut custody = Vec::new();
        loop {
            let to = reader.address("capability's holder")?;
            if to == Address::NONE {
                break;
            }
            if custody.len() >= usize::from(max_custody_chain) {
                return Err(DecodeError::TooLarge("chain of custody"));
            }
            let from = reader.address("capability's signer")?;
            custody.push(Custody {
                to,
                from,
                signature: decode_signature(reader)?,
            });
        }
        skip_additional(reader)?;
        Ok(Self {
            network,
            timestamp,
            id,
            rules,
            max_custody_chain,
            custody,
        })
    }

    /// Appends the wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_body(out);
        for link in &self.custody {
            out.extend_from_slice(&link.to.to_bytes());
            out.extend_from_slice(&link.from.to_bytes());
            encode_signature(&link.signature, out);
        }
        out.extend_from_slice(&Address::NONE.to_bytes());
        out.extend_from_slice(&[0, 0]);
    }

    /// Bytes under every signature of the chain, which is itself left out.
    pub fn signed_bytes(&self) -> Vec<u8> {
        framed(|out| {
            self.encode_body(out);
            out.extend_from_slice(&[0, 0]);
        })
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.id.to_be_bytes());
        let rules = &self.rules[..self.rules.len().min(MAX_CAPABILITY_RULES)];
        out.extend_from_slice(&(rules.len() as u16).to_be_bytes());
        for rule in rules {
            rule.encode(out);
        }
        out.push(self.max_custody_chain);
    }

    /// Signed by the network's controller, whose identity is given, and not handed over since? For longer chains see
    /// [`Self::verify_chain`].
    pub fn verify(&self, controller: &Identity) -> bool {
        let identity_of = |address| (address == controller.address()).then_some(controller);
        self.verify_chain(identity_of) == ChainCheck::Valid
    }

    /// Checks the chain of custody link by link with the identities that are known.
    pub fn verify_chain<'a>(
        &self,
        identity_of: impl Fn(Address) -> Option<&'a Identity>,
    ) -> ChainCheck {
        let signed_bytes = self.signed_bytes();
        let mut giver = self.network.controller();
        for link in &self.custody {
            if link.from != giver {
                return ChainCheck::Invalid;
            }
            let Some(identity) = identity_of(link.from) else {
                return ChainCheck::UnknownSigner(link.from);
            };
            if !identity.verify(&signed_bytes, &link.signature) {
                return ChainCheck::Invalid;
            }
            giver = link.to;
        }
        if self.custody.is_empty() {
            ChainCheck::Invalid
        } else {
            ChainCheck::Valid
        }
    }
}
