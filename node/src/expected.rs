//! Which packets may be answered with OK (protocol specification 2.9).

use protocol::PacketId;

const BUCKETS: usize = 256;
const SLOTS: usize = 32;

/// The upper halves of the ids of sent packets. Nothing times out: entries are overwritten.
pub(crate) struct ExpectedReplies {
    buckets: Vec<Bucket>,
}

#[derive(Clone, Default)]
struct Bucket {
    slots: [Option<u32>; SLOTS],
    next: usize,
}

impl ExpectedReplies {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![Bucket::default(); BUCKETS],
        }
    }

    /// A packet was sent under this wire id.
    pub(crate) fn register(&mut self, id: PacketId) {
        let half = upper_half(id);
        let bucket = &mut self.buckets[half as usize % BUCKETS];
        bucket.slots[bucket.next] = Some(half);
        bucket.next = (bucket.next + 1) % SLOTS;
    }

    /// An OK for this id may be processed.
    pub(crate) fn is_expected(&self, id: PacketId) -> bool {
        let half = upper_half(id);
        self.buckets[half as usize % BUCKETS]
            .slots
            .contains(&Some(half))
    }
}

fn upper_half(id: PacketId) -> u32 {
    (id.0 >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_id_is_expected_until_32_others_of_its_bucket_follow() {
        let mut expected = ExpectedReplies::new();
        let first = PacketId(0x1122_3344_5566_7788);
        assert!(!expected.is_expected(first));
        expected.register(first);
        for n in 1..32_u64 {
            expected.register(PacketId(n << 40 | 0x44 << 32));
        }
        assert!(expected.is_expected(first));
        expected.register(PacketId(0xaaaa_bb44 << 32));
        assert!(!expected.is_expected(first));
    }
}
