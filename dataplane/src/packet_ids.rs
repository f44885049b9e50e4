//! Packet ids: fresh, unpredictable bits for every packet (protocol specification 2.3), drawn in blocks.

use protocol::PacketId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const BLOCK: usize = 64;

/// One worker's source of packet ids: a cryptographic generator, so that no nonce can be foretold or repeats.
pub(crate) struct PacketIds {
    generator: StdRng,
    block: [u8; BLOCK * 8],
    used: usize,
}

impl PacketIds {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            generator: StdRng::from_seed(seed),
            block: [0; BLOCK * 8],
            used: BLOCK * 8,
        }
    }

    /// A fresh id.
    pub(crate) fn draw(&mut self) -> PacketId {
        PacketId(self.next())
    }

    /// Random bits for other uses.
    pub(crate) fn random_u32(&mut self) -> u32 {
        self.next() as u32
    }

    fn next(&mut self) -> u64 {
        loop {
            if let Some((bytes, _)) = self
                .block
                .get(self.used..)
                .and_then(|rest| rest.split_first_chunk::<8>())
            {
                self.used += 8;
                return u64::from_be_bytes(*bytes);
            }
            self.generator.fill_bytes(&mut self.block);
            self.used = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_do_not_repeat_and_depend_on_the_seed() {
        let mut first = PacketIds::new([1; 32]);
        let mut second = PacketIds::new([2; 32]);
        let ids: BTreeSet<_> = (0..1000)
            .flat_map(|_| [first.draw(), second.draw()])
            .collect();
        assert_eq!(ids.len(), 2000);
        let mut again = PacketIds::new([1; 32]);
        assert!(ids.contains(&again.draw()));
    }
}
