//! Certificates of ownership (protocol specification 13.5).

use std::net::IpAddr;

use super::{decode_signature, encode_signature, framed, signed_by_controller, skip_additional};
use crate::{
    Address, DecodeError, Identity, MacAddress, NetworkId, Reader, SecretIdentity, Signature,
};

/// Most things of one certificate.
pub const MAX_OWNED_THINGS: usize = 16;

/// Something that a member owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnedThing {
    /// 1 MAC, 2 IPv4, 3 IPv6.
    pub kind: u8,
    /// The address, zero padded.
    pub value: [u8; 16],
}

/// Certificate of ownership of addresses (13.5).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct CertificateOfOwnership {
    pub network: NetworkId,
    pub timestamp: u64,
    pub flags: u64,
    pub id: u32,
    pub things: Vec<OwnedThing>,
    pub issued_to: Address,
    pub signer: Address,
    pub signature: Signature,
}

impl From<IpAddr> for OwnedThing {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::padded(2, &ip.octets()),
            IpAddr::V6(ip) => Self::padded(3, &ip.octets()),
        }
    }
}

impl From<MacAddress> for OwnedThing {
    fn from(mac: MacAddress) -> Self {
        Self::padded(1, &mac.0)
    }
}

impl OwnedThing {
    fn padded(kind: u8, address: &[u8]) -> Self {
        let mut value = [0; 16];
        value[..address.len()].copy_from_slice(address);
        Self { kind, value }
    }

    /// The bytes that count for its kind.
    fn significant(&self) -> &[u8] {
        match self.kind {
            1 => &self.value[..6],
            2 => &self.value[..4],
            _ => &self.value,
        }
    }
}

impl CertificateOfOwnership {
    /// Issues a signed certificate of ownership; things beyond [`MAX_OWNED_THINGS`] are left out.
    pub fn issue(
        controller: &SecretIdentity,
        network: NetworkId,
        to: Address,
        timestamp: u64,
        id: u32,
        mut things: Vec<OwnedThing>,
    ) -> Self {
        things.truncate(MAX_OWNED_THINGS);
        let mut certificate = Self {
            network,
            timestamp,
            flags: 0,
            id,
            things,
            issued_to: to,
            signer: controller.address(),
            signature: Signature([0; 96]),
        };
        certificate.signature = controller.sign(&certificate.signed_bytes());
        certificate
    }

    /// Does it name this MAC or IP address? The signature is not checked.
    pub fn owns(&self, thing: impl Into<OwnedThing>) -> bool {
        let thing = thing.into();
        let same = |t: &OwnedThing| t.kind == thing.kind && t.significant() == thing.significant();
        self.things.iter().any(same)
    }

    /// Reads the wire form.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let network = reader.network_id("ownership's network")?;
        let timestamp = reader.u64("ownership's timestamp")?;
        let flags = reader.u64("ownership's flags")?;
        let id = reader.u32("ownership's id")?;
        let count = usize::from(reader.u16("number of owned things")?);
        if count > MAX_OWNED_THINGS {
            return Err(DecodeError::TooLarge("number of owned things"));
        }
        let mut things = Vec::with_capacity(count);
        for _ in 0..count {
            let kind = reader.u8("kind of owned thing")?;
            things.push(OwnedThing {
                kind,
                value: reader.array("owned thing")?,
            });
        }
        let issued_to = reader.address("owner")?;
        let signer = reader.address("ownership's signer")?;
        let signature = decode_signature(reader)?;
        skip_additional(reader)?;
        Ok(Self {
            network,
            timestamp,
            flags,
            id,
            things,
            issued_to,
            signer,
            signature,
        })
    }

    /// Appends the wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_body(out);
        encode_signature(&self.signature, out);
        out.extend_from_slice(&[0, 0]);
    }

    /// Bytes under the signature.
    pub fn signed_bytes(&self) -> Vec<u8> {
        framed(|out| {
            self.encode_body(out);
            out.extend_from_slice(&[0, 0]);
        })
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.flags.to_be_bytes());
        out.extend_from_slice(&self.id.to_be_bytes());
        let things = &self.things[..self.things.len().min(MAX_OWNED_THINGS)];
        out.extend_from_slice(&(things.len() as u16).to_be_bytes());
        for thing in things {
            out.push(thing.kind);
            out.extend_from_slice(&thing.value);
        }
        out.extend_from_slice(&self.issued_to.to_bytes());
        out.extend_from_slice(&self.signer.to_bytes());
    }

    /// Signed by the network's controller, whose identity is given?
    pub fn verify(&self, controller: &Identity) -> bool {
        let bytes = self.signed_bytes();
        signed_by_controller(
            self.network,
            self.signer,
            controller,
            &bytes,
            &self.signature,
        )
    }
}
