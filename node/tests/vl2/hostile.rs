//! Members that send nonsense.

use protocol::Verb;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::lab::{A, B, Lab, SECOND};

const VERBS: [Verb; 10] = [
    Verb::Frame,
    Verb::ExtFrame,
    Verb::MulticastLike,
    Verb::NetworkCredentials,
    Verb::NetworkConfigRequest,
    Verb::NetworkConfig,
    Verb::MulticastGather,
    Verb::MulticastFrame,
    Verb::Ok,
    Verb::Error,
];

#[test]
fn nonsense_does_no_harm() {
    let mut lab = Lab::joined(2, |_, _| {});
    lab.send_to(A, B, b"first");
    lab.run(2 * SECOND);
    let b = lab.address(B);
    let mut rng = StdRng::seed_from_u64(3);
    for round in 0..3000 {
        let verb = VERBS[rng.next_u32() as usize % VERBS.len()];
        // Small numbers read as flags, counts and lengths that lead further than random ones do.
        let mut payload = vec![0; rng.next_u32() as usize % 200];
        for byte in &mut payload {
            let random = rng.next_u32();
            *byte = match random % 3 {
                0 => (random >> 8) as u8,
                _ => (random >> 8) as u8 % 4,
            };
        }
        let mut whole = match verb {
            Verb::NetworkCredentials => Vec::new(),
            _ => lab.network.0.to_be_bytes().to_vec(),
        };
        if matches!(verb, Verb::Ok | Verb::Error) {
            let about = VERBS[rng.next_u32() as usize % 8] as u8;
            let code = (rng.next_u32() % 10) as u8;
            whole = [&[about], &[0; 8][..], &[code], &whole].concat();
        }
        whole.extend(payload);
        lab.net.send(A, b, verb, &whole);
        if round % 50 == 0 {
            lab.run(SECOND);
        }
    }
    lab.run(8 * SECOND);
    lab.send_to(A, B, b"still here");
    lab.send_to(B, A, b"me too");
    lab.run(2 * SECOND);
    assert_eq!(lab.received(B, b"still here"), 1);
    assert_eq!(lab.received(A, b"me too"), 1);
}
