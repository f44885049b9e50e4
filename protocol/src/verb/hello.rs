//! HELLO and its OK (protocol specification 7.2).

use std::net::SocketAddr;

use super::Features;
use crate::endpoint::{decode_endpoint, encode_endpoint};
use crate::{DecodeError, Identity, Reader};

/// HELLO (7.2). The moon section is masked on the wire: [`crate::SessionKeys::mask_hello_section`] is applied by the
/// caller to the bytes from the offset on that [`Hello::decode`] returns.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct Hello {
    pub protocol_version: u8,
    pub software_version: (u8, u8, u16),
    pub timestamp: u64,
    pub identity: Identity,
    pub sent_to: Option<SocketAddr>,
    pub planet_id: u64,
    pub planet_timestamp: u64,
}

/// A moon mentioned in a HELLO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct HelloMoon {
    pub id: u64,
    /// 0 if wanted but not held.
    pub timestamp: u64,
}

const TYPE_MOON: u8 = 127;

impl Hello {
    /// Reads the clear part; returns it and the offset in `payload` at which the masked section begins (equal to the
    /// payload's length for very old peers that send none).
    pub fn decode(payload: &[u8]) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader::new(payload);
        let mut hello = Self {
            protocol_version: reader.u8("protocol version")?,
            software_version: read_version(&mut reader)?,
            timestamp: reader.u64("timestamp")?,
            identity: Identity::decode(&mut reader)?,
            sent_to: None,
            planet_id: 0,
            planet_timestamp: 0,
        };
        if !reader.is_empty() {
            hello.sent_to = decode_endpoint(&mut reader)?;
        }
        if !reader.is_empty() {
            hello.planet_id = reader.u64("planet id")?;
            hello.planet_timestamp = reader.u64("planet timestamp")?;
        }
        Ok((hello, reader.position()))
    }

    /// Appends the clear part.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.protocol_version);
        write_version(self.software_version, out);
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.identity.to_bytes());
        encode_endpoint(self.sent_to, out);
        out.extend_from_slice(&self.planet_id.to_be_bytes());
        out.extend_from_slice(&self.planet_timestamp.to_be_bytes());
    }

    /// Reads the unmasked section: moons, and what another Hawser node says of itself behind them. Entries that are not moons
    /// are skipped. No section at all is no moons.
    pub fn decode_section(
        section: &[u8],
    ) -> Result<(Vec<HelloMoon>, Option<Features>), DecodeError> {
        let mut reader = Reader::new(section);
        let mut moons = Vec::new();
        if reader.is_empty() {
            return Ok((moons, None));
        }
        for _ in 0..reader.u16("number of moons")? {
            let kind = reader.u8("moon type")?;
            let id = reader.u64("moon id")?;
            let timestamp = reader.u64("moon timestamp")?;
            if kind == TYPE_MOON {
                moons.push(HelloMoon { id, timestamp });
            }
        }
        Ok((moons, Features::decode(reader.remaining())))
    }

    /// Appends the (still clear) section that is masked.
    pub fn encode_section(moons: &[HelloMoon], features: Option<Features>, out: &mut Vec<u8>) {
        let moons = &moons[..moons.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&(moons.len() as u16).to_be_bytes());
        for moon in moons {
            out.push(TYPE_MOON);
            out.extend_from_slice(&moon.id.to_be_bytes());
            out.extend_from_slice(&moon.timestamp.to_be_bytes());
        }
        if let Some(features) = features {
            features.encode(out);
        }
    }
}

/// Body of OK(HELLO).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "field names follow the specification")]
pub struct OkHello {
    pub timestamp_echo: u64,
    pub protocol_version: u8,
    pub software_version: (u8, u8, u16),
    pub received_from: Option<SocketAddr>,
    /// Concatenated serialized worlds, at most 65535 bytes; see [`crate::world::World::decode_all`].
    pub worlds: Vec<u8>,
    /// What another Hawser node says of itself.
    pub features: Option<Features>,
}

impl OkHello {
    /// Reads the body, which follows [`super::InReply`]. Address and worlds may be absent.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let mut ok = Self {
            timestamp_echo: reader.u64("echoed timestamp")?,
            protocol_version: reader.u8("protocol version")?,
            software_version: read_version(&mut reader)?,
            received_from: None,
            worlds: Vec::new(),
            features: None,
        };
        if !reader.is_empty() {
            ok.received_from = decode_endpoint(&mut reader)?;
        }
        if !reader.is_empty() {
            let length = reader.u16("length of worlds")?;
            ok.worlds = reader.bytes(usize::from(length), "worlds")?.to_vec();
            ok.features = Features::decode(reader.remaining());
        }
        Ok(ok)
    }

    /// Appends the body.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp_echo.to_be_bytes());
        out.push(self.protocol_version);
        write_version(self.software_version, out);
        encode_endpoint(self.received_from, out);
        let worlds = &self.worlds[..self.worlds.len().min(usize::from(u16::MAX))];
        out.extend_from_slice(&(worlds.len() as u16).to_be_bytes());
        out.extend_from_slice(worlds);
        if let Some(features) = self.features {
            features.encode(out);
        }
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<(u8, u8, u16), DecodeError> {
    const FIELD: &str = "software version";
    Ok((reader.u8(FIELD)?, reader.u8(FIELD)?, reader.u16(FIELD)?))
}

fn write_version((major, minor, revision): (u8, u8, u16), out: &mut Vec<u8>) {
    out.extend_from_slice(&[major, minor]);
    out.extend_from_slice(&revision.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_come_back_and_garbage_is_refused() {
        let moons = [
            HelloMoon {
                id: 1,
                timestamp: 2,
            },
            HelloMoon {
                id: 3,
                timestamp: 0,
            },
        ];
        let features = Features { bits: 6, lanes: 2 };
        for features in [None, Some(features)] {
            let mut section = Vec::new();
            Hello::encode_section(&moons, features, &mut section);
            let trailer = features.map_or(0, |_| Features::LENGTH);
            assert_eq!(section.len(), 2 + 2 * 17 + trailer);
            assert_eq!(
                Hello::decode_section(&section),
                Ok((moons.to_vec(), features))
            );
            section[2] = 1;
            assert_eq!(
                Hello::decode_section(&section),
                Ok((moons[1..].to_vec(), features))
            );
            section[0] = 0xff;
            assert!(Hello::decode_section(&section).is_err());
        }
        assert_eq!(Hello::decode_section(&[]), Ok((Vec::new(), None)));
    }

    #[test]
    fn answers_tell_features_behind_their_worlds_only() {
        let mut ok = OkHello {
            timestamp_echo: 1,
            protocol_version: 12,
            software_version: (1, 14, 1),
            received_from: None,
            worlds: vec![7; 3],
            features: Some(Features { bits: 2, lanes: 1 }),
        };
        let mut body = Vec::new();
        ok.encode(&mut body);
        assert_eq!(OkHello::decode(&body), Ok(ok.clone()));
        body.truncate(body.len() - 1);
        ok.features = None;
        assert_eq!(OkHello::decode(&body), Ok(ok));
    }
}
