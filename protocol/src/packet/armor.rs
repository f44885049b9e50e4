//! Sealing and opening packets by suite (protocol specification 2.4 to 2.6, and 7.2 for HELLO).

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::header::{FLAG_ENCRYPTED, FLAGS, HOPS_MASK, SUITE_MASK};
use super::{PAYLOAD_OFFSET, PacketId, Suite, VERB_OFFSET};
use crate::SharedKey;
use crate::crypto::aes_gmac_siv::AesGmacSiv;
use crate::crypto::kdf;
use crate::crypto::poly1305;
use crate::crypto::salsa20::{BLOCK, Salsa20};

/// Where suites 0 and 1 put the tag, suite 2 its id, suite 3 half of the opaque tag.
const MAC: core::ops::Range<usize> = 19..27;
/// The packet's id comes first.
const ID_END: usize = 8;

/// Everything needed to seal and open packets of one pair of nodes, expanded once.
#[derive(Clone)]
pub struct SessionKeys {
    salsa: Zeroizing<[u8; 32]>,
    aes: AesGmacSiv,
}

/// Why a packet could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// Too short to be a packet.
    #[error("packet too short")]
    TooShort,
    /// The suite cannot be opened with keys (2, 4 to 7).
    #[error("unsupported cipher suite")]
    UnsupportedSuite,
    /// The tag does not match.
    #[error("authentication failed")]
    BadTag,
}

impl SessionKeys {
    /// Expands the keys of all suites from a shared key.
    pub fn new(key: &SharedKey) -> Self {
        let derive = |label| {
            let mut output = kdf::derive(&key.0, label, 0, 0);
            let mut key = Zeroizing::new([0; 32]);
            key.copy_from_slice(&output[..32]);
            output.zeroize();
            key
        };
        let mut salsa = Zeroizing::new([0; 32]);
        salsa.copy_from_slice(&key.0[..32]);
        Self {
            salsa,
            aes: AesGmacSiv::new(&derive(kdf::LABEL_GMAC), &derive(kdf::LABEL_CTR)),
        }
    }

    /// Encrypts and authenticates `packet` in place. With [`Suite::AesGmacSiv`] the packet id changes: returns the id
    /// on the wire. The compression and fragmentation flags must be final, and the hop count zero: suite 3
    /// authenticates it as it stands, though receivers take it for zero.
    ///
    /// Panics on [`Suite::TrustedPath`], which needs no keys, and below 28 bytes.
    pub fn seal(&self, packet: &mut [u8], suite: Suite) -> PacketId {
        self.seal_as(packet, suite, None)
    }

    /// As [`Self::seal`], with an id on the wire that is odd or even as `odd` says, if it does: by that both ends tell which
    /// packets a bond of 1.14.1 samples (specification 15.1). The inner id of suite 3 may be one of those that follow the
    /// packet's, so that this is for receivers that do not read it.
    pub fn seal_as(&self, packet: &mut [u8], suite: Suite, odd: Option<bool>) -> PacketId {
        make_odd(packet, odd);
        packet[FLAGS] = packet[FLAGS] & !(FLAG_ENCRYPTED | SUITE_MASK) | (suite as u8) << 3;
        match suite {
            Suite::Poly1305 => {
                let tag = self.tag_of_clear(packet);
                packet[MAC].copy_from_slice(&tag);
            }
            Suite::Salsa20Poly1305 => {
                packet[FLAGS] |= FLAG_ENCRYPTED;
                let mut stream =
                    PacketStream::new(self.packet_stream(packet), packet.len() - VERB_OFFSET);
                let body = &mut packet[VERB_OFFSET..];
                stream.apply(body);
                let tag = stream.tag(body);
                packet[MAC].copy_from_slice(&tag);
            }
            Suite::AesGmacSiv => {
                let associated = associated(packet, packet[FLAGS]);
                let iv = id_bytes(packet);
                let text = &mut packet[VERB_OFFSET..];
                let tag = match odd {
                    None => self.aes.seal(iv, &associated, text),
                    Some(odd) => self.aes.seal_as(iv, &associated, text, odd),
                };
                packet[..ID_END].copy_from_slice(&tag[..ID_END]);
                packet[MAC].copy_from_slice(&tag[ID_END..]);
            }
            Suite::TrustedPath => panic!("a trusted path is sealed without keys"),
        }
        PacketId::of(packet)
    }

    /// Authenticates and decrypts `packet` in place under the suite that it names (0, 1 or 3); on failure the contents
    /// from the verb byte on are undefined.
    pub fn open(&self, packet: &mut [u8]) -> Result<(), OpenError> {
        self.open_with_inner_id(packet).map(|_| ())
    }

    /// As [`Self::open`]; also returns the inner id of suite 3 (see [`Self::inner_id`]), which costs nothing here.
    pub fn open_with_inner_id(&self, packet: &mut [u8]) -> Result<Option<PacketId>, OpenError> {
        if packet.len() < PAYLOAD_OFFSET {
            return Err(OpenError::TooShort);
        }
        let mut inner = None;
        let authentic = match Suite::of(packet[FLAGS]) {
            Some(Suite::Poly1305) => self.tag_of_clear(packet).ct_eq(&packet[MAC]).into(),
            Some(Suite::Salsa20Poly1305) => {
                let mut stream =
                    PacketStream::new(self.packet_stream(packet), packet.len() - VERB_OFFSET);
                let authentic = stream
                    .tag(&packet[VERB_OFFSET..])
                    .ct_eq(&packet[MAC])
                    .into();
                if authentic {
                    stream.apply(&mut packet[VERB_OFFSET..]);
                }
                authentic
            }
            Some(Suite::AesGmacSiv) => {
                let associated = associated(packet, packet[FLAGS] & !HOPS_MASK);
                let tag = opaque_tag(packet);
                let iv = self.aes.open(&tag, &associated, &mut packet[VERB_OFFSET..]);
                inner = iv.map(|iv| PacketId(u64::from_be_bytes(iv)));
                inner.is_some()
            }
            Some(Suite::TrustedPath) | None => return Err(OpenError::UnsupportedSuite),
        };
        if authentic {
            Ok(inner)
        } else {
            Err(OpenError::BadTag)
        }
    }

    /// The random id that the sender of a suite 3 packet chose before sealing changed it. Sealing the opened packet
    /// under this id gives the same bytes again. Panics below 28 bytes.
    pub fn inner_id(&self, packet: &[u8]) -> PacketId {
        PacketId(u64::from_be_bytes(self.aes.recover_iv(&opaque_tag(packet))))
    }

    /// XORs the keystream that hides the tail of a HELLO (specification 7.2) over `section`.
    pub fn mask_hello_section(&self, id: PacketId, section: &mut [u8]) {
        let nonce = (id.0 & !0x07).to_be_bytes();
        Salsa20::<12>::new(&self.salsa, &nonce).apply(section);
    }

    /// The key stream of a packet in suite 0 or 1: under the pair's key, mixed with the header and the length.
    fn packet_stream(&self, packet: &[u8]) -> Salsa20<12> {
        let mut key = self.salsa.clone();
        for (key, byte) in key.iter_mut().zip(&packet[..FLAGS]) {
            *key ^= byte;
        }
        key[FLAGS] ^= packet[FLAGS] & !HOPS_MASK;
        let [low, high, ..] = packet.len().to_le_bytes();
        key[19] ^= low;
        key[20] ^= high;
        Salsa20::new(&key, &id_bytes(packet))
    }

    fn tag_of_clear(&self, packet: &[u8]) -> [u8; 8] {
        let mut one_time_key = Zeroizing::new([0; 32]);
        self.packet_stream(packet).write(&mut *one_time_key);
        truncated_tag(&one_time_key, &packet[VERB_OFFSET..])
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(…)")
    }
}

/// Bytes of key stream made at once: as many blocks as the widest vectors take.
const FIRST: usize = 16 * BLOCK;

/// The key stream of a suite 1 packet with its first blocks made: tag first and text first both start with block 0,
/// and computing it together with the next ones costs nothing.
struct PacketStream {
    first: [u8; FIRST],
    rest: Salsa20<12>,
}

impl PacketStream {
    fn new(mut stream: Salsa20<12>, body_length: usize) -> Self {
        let mut first = [0; FIRST];
        stream.write(&mut first[..FIRST.min(BLOCK + body_length)]);
        Self {
            first,
            rest: stream,
        }
    }

    fn tag(&self, body: &[u8]) -> [u8; 8] {
        let mut one_time_key = [0; 32];
        one_time_key.copy_from_slice(&self.first[..32]);
        truncated_tag(&one_time_key, body)
    }

    /// XORs the stream from block 1 on. Once only.
    fn apply(&mut self, body: &mut [u8]) {
        let (front, back) = body.split_at_mut(body.len().min(FIRST - BLOCK));
        for (byte, key) in front.iter_mut().zip(&self.first[BLOCK..]) {
            *byte ^= key;
        }
        self.rest.apply(back);
    }
}

fn truncated_tag(one_time_key: &[u8; 32], body: &[u8]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = poly1305::tag(one_time_key, body);
    [a, b, c, d, e, f, g, h]
}

/// What suite 3 authenticates besides the text: addresses and byte 18.
fn associated(packet: &[u8], flags: u8) -> [u8; 11] {
    let mut associated = [flags; 11];
    associated[..10].copy_from_slice(&packet[8..FLAGS]);
    associated
}

/// The encrypted IV and tag of suite 3.
fn opaque_tag(packet: &[u8]) -> [u8; 16] {
    let mut tag = [0; 16];
    tag[..8].copy_from_slice(&packet[..8]);
    tag[8..].copy_from_slice(&packet[MAC]);
    tag
}

fn id_bytes(packet: &[u8]) -> [u8; 8] {
    PacketId::of(packet).0.to_be_bytes()
}

/// Makes the packet's id odd or even, if it is to be that.
fn make_odd(packet: &mut [u8], odd: Option<bool>) {
    if let Some(odd) = odd {
        packet[ID_END - 1] = packet[ID_END - 1] & !1 | u8::from(odd);
    }
}

/// Seals for a trusted path: suite 2 with `trusted_path_id` in the MAC field, and an id that is odd or even as `odd` says, if it
/// does (see [`SessionKeys::seal_as`]); returns that. Panics below 28 bytes.
pub fn seal_trusted(packet: &mut [u8], trusted_path_id: u64, odd: Option<bool>) -> PacketId {
    make_odd(packet, odd);
    packet[FLAGS] =
        packet[FLAGS] & !(FLAG_ENCRYPTED | SUITE_MASK) | (Suite::TrustedPath as u8) << 3;
    packet[MAC].copy_from_slice(&trusted_path_id.to_be_bytes());
    PacketId::of(packet)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUITES: [Suite; 3] = [Suite::Poly1305, Suite::Salsa20Poly1305, Suite::AesGmacSiv];

    fn keys() -> SessionKeys {
        let mut key = [0; 48];
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = index as u8 * 5;
        }
        SessionKeys::new(&SharedKey(key))
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened(
            header: [u8; 18],
            body in proptest::collection::vec(any::<u8>(), 1..2000),
            fragmented: bool,
        ) {
            let mut plain = header.to_vec();
            plain.push(if fragmented { 0x40 } else { 0 });
            plain.extend_from_slice(&[0; 8]);
            plain.extend_from_slice(&body);
            for suite in SUITES {
                let mut packet = plain.clone();
                let id = keys().seal(&mut packet, suite);
                prop_assert_eq!(id, PacketId::of(&packet));
                packet[FLAGS] |= 3;
                let inner = (suite == Suite::AesGmacSiv).then_some(PacketId::of(&plain));
                prop_assert_eq!(keys().open_with_inner_id(&mut packet), Ok(inner));
                prop_assert_eq!(&packet[VERB_OFFSET..], &body[..]);
            }
        }

        #[test]
        fn ids_on_the_wire_are_odd_or_even_as_asked(
            header: [u8; 18],
            body in proptest::collection::vec(any::<u8>(), 1..200),
        ) {
            let mut plain = header.to_vec();
            plain.extend_from_slice(&[0; 9]);
            plain.extend_from_slice(&body);
            for (suite, odd) in SUITES.iter().flat_map(|s| [(*s, false), (*s, true)]) {
                let mut packet = plain.clone();
                let id = keys().seal_as(&mut packet, suite, Some(odd));
                prop_assert_eq!(id, PacketId::of(&packet));
                prop_assert_eq!(id.0 % 2 == 1, odd);
                prop_assert_eq!(keys().open(&mut packet), Ok(()));
                prop_assert_eq!(&packet[VERB_OFFSET..], &body[..]);
            }
        }

        #[test]
        fn hostile_bytes_are_refused(mut packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(keys().open(&mut packet).is_err());
        }
    }

    #[test]
    fn no_bit_but_the_hops_may_change() {
        for suite in SUITES {
            let mut sealed = vec![7; 60];
            sealed[FLAGS] = 0;
            keys().seal(&mut sealed, suite);
            for bit in 0..8 * sealed.len() {
                let mut packet = sealed.clone();
                packet[bit / 8] ^= 1 << (bit % 8);
                let is_hops = bit / 8 == FLAGS && bit % 8 < 3;
                assert_eq!(
                    keys().open(&mut packet).is_ok(),
                    is_hops,
                    "{suite:?} bit {bit}"
                );
            }
        }
    }
}
