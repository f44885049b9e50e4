//! FRAME and EXT_FRAME (protocol specification 7.7, 7.8).

use crate::credential::CertificateOfMembership;
use crate::{DecodeError, MacAddress, NetworkId, Reader};

/// FRAME (7.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Frame<'a> {
    pub network: NetworkId,
    pub ethertype: u16,
    pub payload: &'a [u8],
}

/// Bytes of a FRAME in front of the Ethernet payload.
pub const FRAME_HEADER_LENGTH: usize = 10;

impl<'a> Frame<'a> {
    /// Reads the payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let network = reader.network_id("frame's network")?;
        let ethertype = reader.u16("ethertype")?;
        Ok(Self {
            network,
            ethertype,
            payload: reader.remaining(),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        out.extend_from_slice(&self.ethertype.to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}

/// EXT_FRAME (7.8).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct ExtFrame<'a> {
    pub network: NetworkId,
    /// Without the bit for an attached certificate, which follows from `membership`.
    pub flags: u8,
    pub membership: Option<CertificateOfMembership>,
    pub destination: MacAddress,
    pub source: MacAddress,
    pub ethertype: u16,
    pub payload: &'a [u8],
}

/// EXT_FRAME flag: answer with OK.
pub const EXT_FRAME_SEND_OK: u8 = 0x10;

const FLAG_MEMBERSHIP: u8 = 0x01;

impl<'a> ExtFrame<'a> {
    /// Reads the payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let network = reader.network_id("frame's network")?;
        let flags = reader.u8("frame's flags")?;
        let membership = if flags & FLAG_MEMBERSHIP != 0 {
            Some(CertificateOfMembership::decode(&mut reader)?)
        } else {
            None
        };
        Ok(Self {
            network,
            flags: flags & !FLAG_MEMBERSHIP,
            membership,
            destination: reader.mac("destination MAC address")?,
            source: reader.mac("source MAC address")?,
            ethertype: reader.u16("ethertype")?,
            payload: reader.remaining(),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        let flags = self.flags & !FLAG_MEMBERSHIP;
        match &self.membership {
            Some(membership) => {
                out.push(flags | FLAG_MEMBERSHIP);
                membership.encode(out);
            }
            None => out.push(flags),
        }
        out.extend_from_slice(&self.destination.0);
        out.extend_from_slice(&self.source.0);
        out.extend_from_slice(&self.ethertype.to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}
