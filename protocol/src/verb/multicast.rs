//! MULTICAST_LIKE, MULTICAST_GATHER, MULTICAST_FRAME and their OKs (protocol specification 7.10, 7.14, 7.15).

use crate::credential::CertificateOfMembership;
use crate::{Address, DecodeError, MacAddress, MulticastGroup, NetworkId, Reader};

/// MULTICAST_LIKE (7.10): one tuple.
pub type Like = (NetworkId, MulticastGroup);

/// Length of a tuple of MULTICAST_LIKE.
pub const LIKE_LENGTH: usize = 18;

/// Reads the tuples of a MULTICAST_LIKE; a trailing partial tuple is ignored.
pub fn decode_likes(payload: &[u8]) -> Vec<Like> {
    let (tuples, _) = payload.as_chunks::<LIKE_LENGTH>();
    let like = |tuple: &[u8; LIKE_LENGTH]| {
        let mut reader = Reader::new(tuple);
        Some((
            reader.network_id("liked network").ok()?,
            read_group(&mut reader).ok()?,
        ))
    };
    tuples.iter().filter_map(like).collect()
}

/// Appends one tuple of a MULTICAST_LIKE.
pub fn encode_like((network, group): &Like, out: &mut Vec<u8>) {
    out.extend_from_slice(&network.0.to_be_bytes());
    write_group(group, out);
}

pub(super) fn read_group(reader: &mut Reader<'_>) -> Result<MulticastGroup, DecodeError> {
    Ok(MulticastGroup {
        mac: reader.mac("group's MAC address")?,
        adi: reader.u32("group's ADI")?,
    })
}

pub(super) fn write_group(group: &MulticastGroup, out: &mut Vec<u8>) {
    out.extend_from_slice(&group.mac.0);
    out.extend_from_slice(&group.adi.to_be_bytes());
}

const FLAG_MEMBERSHIP: u8 = 0x01;
const FLAG_GATHER: u8 = 0x02;
const FLAG_SOURCE: u8 = 0x04;
const FLAG_REPLICATE: u8 = 0x08;

/// MULTICAST_GATHER (7.14).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct MulticastGather {
    pub network: NetworkId,
    pub group: MulticastGroup,
    pub limit: u32,
    pub membership: Option<CertificateOfMembership>,
}

impl MulticastGather {
    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let network = reader.network_id("gather's network")?;
        let flags = reader.u8("gather's flags")?;
        let group = read_group(&mut reader)?;
        let limit = reader.u32("gather limit")?;
        let membership = read_membership(flags, &mut reader)?;
        Ok(Self {
            network,
            group,
            limit,
            membership,
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        out.push(if self.membership.is_some() {
            FLAG_MEMBERSHIP
        } else {
            0
        });
        write_group(&self.group, out);
        out.extend_from_slice(&self.limit.to_be_bytes());
        if let Some(membership) = &self.membership {
            membership.encode(out);
        }
    }
}

fn read_membership(
    flags: u8,
    reader: &mut Reader<'_>,
) -> Result<Option<CertificateOfMembership>, DecodeError> {
    if flags & FLAG_MEMBERSHIP == 0 {
        return Ok(None);
    }
    CertificateOfMembership::decode(reader).map(Some)
}

/// Gather results: body of OK(MULTICAST_GATHER), and part of OK(MULTICAST_FRAME).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct GatherResult {
    pub network: NetworkId,
    pub group: MulticastGroup,
    pub total: u32,
    /// At most 65535; the packet's length allows far fewer.
    pub members: Vec<Address>,
}

impl GatherResult {
    /// Reads the body, which follows [`super::InReply`].
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let network = reader.network_id("gather's network")?;
        let group = read_group(&mut reader)?;
        Self::read_members(network, group, &mut reader)
    }

    fn read_members(
        network: NetworkId,
        group: MulticastGroup,
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let total = reader.u32("number of known members")?;
        let count = usize::from(reader.u16("number of members")?);
        let (members, _) = reader.bytes(5 * count, "members")?.as_chunks::<5>();
        let members = members
            .iter()
            .map(|bytes| Address::from_bytes(*bytes))
            .collect();
        Ok(Self {
            network,
            group,
            total,
            members,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        write_group(&self.group, out);
        self.write_members(out);
    }

    fn write_members(&self, out: &mut Vec<u8>) {
        let members = &self.members[..self.members.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&self.total.to_be_bytes());
        out.extend_from_slice(&(members.len() as u16).to_be_bytes());
        out.extend(members.iter().flat_map(|member| member.to_bytes()));
    }
}

/// Body of OK(MULTICAST_FRAME).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct OkMulticastFrame {
    pub network: NetworkId,
    pub group: MulticastGroup,
    pub membership: Option<CertificateOfMembership>,
    /// Its network and group are the ones above; only its members are sent.
    pub gathered: Option<GatherResult>,
}

impl OkMulticastFrame {
    /// Reads the body, which follows [`super::InReply`].
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let network = reader.network_id("multicast's network")?;
        let group = read_group(&mut reader)?;
        let flags = reader.u8("flags of multicast's answer")?;
        let membership = read_membership(flags, &mut reader)?;
        let gathered = if flags & FLAG_GATHER != 0 {
            Some(GatherResult::read_members(network, group, &mut reader)?)
        } else {
            None
        };
        Ok(Self {
            network,
            group,
            membership,
            gathered,
        })
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        write_group(&self.group, out);
        let membership = if self.membership.is_some() {
            FLAG_MEMBERSHIP
        } else {
            0
        };
        out.push(
            membership
                | if self.gathered.is_some() {
                    FLAG_GATHER
                } else {
                    0
                },
        );
        if let Some(membership) = &self.membership {
            membership.encode(out);
        }
        if let Some(gathered) = &self.gathered {
            gathered.write_members(out);
        }
    }
}

/// MULTICAST_FRAME (7.15).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct MulticastFrame<'a> {
    pub network: NetworkId,
    pub membership: Option<CertificateOfMembership>,
    pub gather_limit: Option<u32>,
    pub source: Option<MacAddress>,
    pub replicate: bool,
    pub group: MulticastGroup,
    pub ethertype: u16,
    pub payload: &'a [u8],
}

impl<'a> MulticastFrame<'a> {
    /// Reads the payload.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let network = reader.network_id("multicast's network")?;
        let flags = reader.u8("multicast's flags")?;
        let membership = read_membership(flags, &mut reader)?;
        let gather_limit = if flags & FLAG_GATHER != 0 {
            Some(reader.u32("gather limit")?)
        } else {
            None
        };
        let source = if flags & FLAG_SOURCE != 0 {
            Some(reader.mac("source MAC address")?)
        } else {
            None
        };
        let group = read_group(&mut reader)?;
        let ethertype = reader.u16("ethertype")?;
        Ok(Self {
            network,
            membership,
            gather_limit,
            source,
            replicate: flags & FLAG_REPLICATE != 0,
            group,
            ethertype,
            payload: reader.remaining(),
        })
    }

    /// Appends the payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.network.0.to_be_bytes());
        let flag = |set, flag| if set { flag } else { 0 };
        out.push(
            flag(self.membership.is_some(), FLAG_MEMBERSHIP)
                | flag(self.gather_limit.is_some(), FLAG_GATHER)
                | flag(self.source.is_some(), FLAG_SOURCE)
                | flag(self.replicate, FLAG_REPLICATE),
        );
        if let Some(membership) = &self.membership {
            membership.encode(out);
        }
        if let Some(limit) = self.gather_limit {
            out.extend_from_slice(&limit.to_be_bytes());
        }
        if let Some(source) = self.source {
            out.extend_from_slice(&source.0);
        }
        write_group(&self.group, out);
        out.extend_from_slice(&self.ethertype.to_be_bytes());
        out.extend_from_slice(self.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: MulticastGroup = MulticastGroup {
        mac: MacAddress::BROADCAST,
        adi: 5,
    };

    #[test]
    fn a_partial_tuple_is_ignored() {
        let mut bytes = Vec::new();
        encode_like(&(NetworkId(1), GROUP), &mut bytes);
        assert_eq!(bytes.len(), LIKE_LENGTH);
        bytes.push(0);
        assert_eq!(decode_likes(&bytes), [(NetworkId(1), GROUP)]);
    }

    #[test]
    fn every_combination_of_flags_comes_back() {
        for flags in 0..8_u8 {
            let frame = MulticastFrame {
                network: NetworkId(1),
                membership: None,
                gather_limit: (flags & 1 != 0).then_some(7),
                source: (flags & 2 != 0).then_some(MacAddress([1; 6])),
                replicate: flags & 4 != 0,
                group: GROUP,
                ethertype: 0x800,
                payload: b"x",
            };
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            assert_eq!(bytes[8], flags << 1);
            assert_eq!(MulticastFrame::decode(&bytes), Ok(frame));
        }
    }
}
