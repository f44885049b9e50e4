//! Members that send nonsense.

use protocol::Verb;
use protocol::verb::ExtFrame;
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

#[test]
fn after_a_forged_certificate_a_sender_is_not_verified_for_a_second() {
    let mut lab = Lab::new(2);
    lab.join(B);
    lab.run(5 * SECOND);
    // A, which sends nothing by itself, shows a certificate of its own making, then the true one.
    let a = lab.net.nodes[A].identity.public().clone();
    let b = lab.address(B);
    let config = lab.config(&a, lab.net.wall());
    let genuine = config.membership.unwrap();
    let mut forged = genuine.clone();
    forged.qualifiers[0].value += 1;
    let frame = |membership, payload: &[u8]| {
        let frame = ExtFrame {
            network: lab.network,
            flags: 0,
            membership: Some(membership),
            destination: lab.mac(B),
            source: lab.mac(A),
            ethertype: 0x88b5,
            payload,
        };
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        bytes
    };
    let (bad, good) = (frame(forged, b"forged"), frame(genuine, b"genuine"));
    lab.net.send(A, b, Verb::ExtFrame, &bad);
    lab.net.send(A, b, Verb::ExtFrame, &good);
    lab.net.run_for(SECOND / 10);
    assert_eq!(lab.received(B, b"genuine"), 0);
    // What waited is over after five seconds, and the pause one later.
    lab.run(7 * SECOND);
    let before = lab.received(B, b"genuine");
    lab.net.send(A, b, Verb::ExtFrame, &good);
    lab.net.run_for(SECOND / 10);
    assert_eq!(lab.received(B, b"genuine"), before + 1);
}
