//! Compression of payloads (protocol specification 2.8): one raw LZ4 block, named by a flag of the verb byte.

use super::{FLAG_COMPRESSED, MAX_PACKET_LENGTH, PAYLOAD_OFFSET, VERB_OFFSET};
use crate::DecodeError;

/// Shorter payloads are never compressed.
const MIN_PAYLOAD: usize = 65;
const MAX_PAYLOAD: usize = MAX_PACKET_LENGTH - PAYLOAD_OFFSET;

/// Compresses the payload in place if that makes the packet shorter (specification 2.8); true if it did.
pub fn compress(packet: &mut Vec<u8>) -> bool {
    let Some(payload) = packet.get(PAYLOAD_OFFSET..) else {
        return false;
    };
    if payload.len() < MIN_PAYLOAD
        || payload.len() > MAX_PAYLOAD
        || packet[VERB_OFFSET] & FLAG_COMPRESSED != 0
    {
        return false;
    }
    let mut block = [0; lz4_flex::block::get_maximum_output_size(MAX_PAYLOAD)];
    match lz4_flex::block::compress_into(payload, &mut block) {
        Ok(length) if length < payload.len() => {
            packet.truncate(PAYLOAD_OFFSET);
            packet.extend_from_slice(&block[..length]);
            packet[VERB_OFFSET] |= FLAG_COMPRESSED;
            true
        }
        _ => false,
    }
}

/// Replaces an opened, compressed packet's payload by its decompressed form and clears the flag. Does nothing to an
/// uncompressed packet.
pub fn decompress(packet: &mut Vec<u8>) -> Result<(), DecodeError> {
    let Some(block) = packet.get(PAYLOAD_OFFSET..) else {
        return Err(DecodeError::Truncated("packet"));
    };
    if packet[VERB_OFFSET] & FLAG_COMPRESSED == 0 {
        return Ok(());
    }
    let mut payload = [0; MAX_PAYLOAD];
    let length = if block.is_empty() {
        0
    } else {
        lz4_flex::block::decompress_into(block, &mut payload)
            .map_err(|_| DecodeError::Invalid("compressed payload"))?
    };
    packet.truncate(PAYLOAD_OFFSET);
    packet.extend_from_slice(&payload[..length]);
    packet[VERB_OFFSET] &= !FLAG_COMPRESSED;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_compressed_is_restored(
            pattern in proptest::collection::vec(any::<u8>(), 1..40), repeat in 1usize..200, tail in 0usize..40,
        ) {
            let mut packet = vec![0x0e; PAYLOAD_OFFSET];
            packet.extend(pattern.repeat(repeat));
            packet.extend(pattern.iter().cycle().take(tail));
            let original = packet.clone();
            if compress(&mut packet) {
                prop_assert!(packet.len() < original.len());
                prop_assert_eq!(packet[VERB_OFFSET], 0x8e);
            } else {
                prop_assert_eq!(&packet, &original);
            }
            prop_assert_eq!(decompress(&mut packet), Ok(()));
            prop_assert_eq!(packet, original);
        }

        #[test]
        fn hostile_blocks_do_no_harm(block in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut packet = vec![0xff; PAYLOAD_OFFSET];
            packet.extend_from_slice(&block);
            if decompress(&mut packet).is_ok() {
                prop_assert!(packet.len() <= MAX_PACKET_LENGTH);
            }
        }
    }

    #[test]
    fn short_payloads_stay_as_they_are() {
        for (length, compressed) in [(64, false), (65, true)] {
            let mut packet = vec![0; PAYLOAD_OFFSET + length];
            assert_eq!(compress(&mut packet), compressed);
        }
        assert!(!compress(&mut vec![0; 5]));
        assert!(decompress(&mut vec![0; 5]).is_err());
    }
}
