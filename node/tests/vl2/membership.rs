//! Who may take part: certificates, their renewal and revocation, tags.

use node::io::Command;
use protocol::controller::Effect;
use protocol::credential::{CredentialKind, REVOCATION_FAST_PROPAGATE, Revocation, Tag};
use protocol::rule::{Rule, RuleKind, TagValue};
use protocol::verb::ErrorCode;
use protocol::{NetworkId, Verb};

use crate::lab::{A, B, C, CONTROLLER, Lab, SECOND};

#[test]
fn a_stranger_is_told_what_it_lacks_and_its_frames_stay_out() {
    let mut lab = Lab::joined(3, |_, _| {});
    lab.run(SECOND);
    let network = lab.network;
    lab.net.command(C, Command::Leave(network));
    let mut payload = lab.network.0.to_be_bytes().to_vec();
    payload.extend([0x88, 0xb5]);
    payload.extend(b"let me in");
    // C was a member; nobody has seen its certificate.
    let b = lab.address(B);
    lab.net.send(C, b, Verb::Frame, &payload);
    lab.run(8 * SECOND);
    assert_eq!(lab.received(B, b"let me in"), 0);
    // Once for the packet, and again with each retry while it is held.
    let told = lab.errors(C, ErrorCode::NeedMembershipCertificate);
    assert!((2..=11).contains(&told), "told {told} times");
    assert!(lab.entry(B, C).is_none_or(|entry| !entry.admitted));
}

#[test]
fn a_member_that_is_asked_for_its_certificate_sends_it_and_the_held_frame_comes_through() {
    let mut lab = Lab::joined(2, |_, _| {});
    // As VL2 would send it, but without credentials in front.
    let mut payload = lab.network.0.to_be_bytes().to_vec();
    payload.extend([0x88, 0xb5]);
    payload.extend(b"certificate follows");
    let b = lab.address(B);
    lab.net.send(A, b, Verb::Frame, &payload);
    lab.run(3 * SECOND);
    assert!(lab.errors(A, ErrorCode::NeedMembershipCertificate) >= 1);
    assert_eq!(lab.received(B, b"certificate follows"), 1);
}

#[test]
fn members_in_conversation_keep_each_others_fresh_credentials() {
    let mut lab = Lab::joined(2, |_, _| {});
    let mut lapses = 0;
    for second in 0..200 {
        lab.send_to(A, B, b"a word");
        lab.send_to(B, A, b"an answer");
        lab.run(SECOND);
        if second > 5 {
            let entries = [lab.entry(A, B), lab.entry(B, A)];
            let fine = |e: &node::snapshot::MemberEntry| e.admitted && e.has_our_credentials;
            lapses += usize::from(!entries.iter().all(|e| e.is_some_and(fine)));
        }
    }
    assert_eq!(lapses, 0);
    assert_eq!(lab.received(B, b"a word"), 200);
    // About one push a minute.
    let pushes = lab.packets(B, Verb::NetworkCredentials);
    assert!((3..=6).contains(&pushes), "{pushes} pushes");
}

#[test]
fn workers_traffic_counts_as_conversation() {
    let mut lab = Lab::joined(2, |_, _| {});
    lab.send_to(A, B, b"first");
    lab.run(3 * SECOND);
    let pushes = lab.packets(B, Verb::NetworkCredentials);
    for _ in 0..300 {
        let entry = lab.entry(A, B).unwrap();
        assert!(entry.has_our_credentials);
        entry.activity.sent.set(lab.net.now());
        lab.run(SECOND);
    }
    let pushes = lab.packets(B, Verb::NetworkCredentials) - pushes;
    assert!((4..=6).contains(&pushes), "{pushes} pushes");
}

#[test]
fn silence_ends_the_pushes() {
    let mut lab = Lab::joined(2, |_, _| {});
    lab.send_to(A, B, b"only once");
    lab.run(200 * SECOND);
    let pushes = lab.packets(B, Verb::NetworkCredentials);
    lab.run(300 * SECOND);
    assert_eq!(lab.packets(B, Verb::NetworkCredentials), pushes);
    assert!(!lab.entry(A, B).unwrap().has_our_credentials);
    lab.send_to(A, B, b"once more");
    lab.run(2 * SECOND);
    assert_eq!(lab.received(B, b"once more"), 1);
}

#[test]
fn a_revoked_member_is_shut_out_and_the_news_travels_from_member_to_member() {
    let mut lab = Lab::joined(3, |_, _| {});
    for (from, to) in [(A, B), (B, A), (C, B), (B, C)] {
        lab.send_to(from, to, b"before");
        lab.run(2 * SECOND);
        assert!(lab.received(to, b"before") > 0);
    }
    // The controller tells only C; C knows B and tells it.
    let outcast = lab.address(A);
    lab.denied.insert(outcast);
    let revocation = Revocation::issue(
        &lab.controller,
        lab.network,
        outcast,
        CredentialKind::Membership,
        1,
        0,
        lab.net.wall(),
        REVOCATION_FAST_PROPAGATE,
    );
    let effect = Effect::Revoke {
        to: vec![lab.address(C)],
        revocation: Box::new(revocation),
    };
    lab.net.command(CONTROLLER, Command::Controller(effect));
    lab.run(2 * SECOND);
    assert!(!lab.entry(B, A).unwrap().admitted);
    lab.send_to(A, B, b"after");
    lab.run(6 * SECOND);
    assert_eq!(lab.received(B, b"after"), 0);
    lab.send_to(C, B, b"the others go on");
    lab.run(2 * SECOND);
    assert_eq!(lab.received(B, b"the others go on"), 1);
}

#[test]
fn tags_of_the_other_side_decide() {
    let mut lab = Lab::joined(3, |config, controller| {
        // C has another colour.
        let colour = u32::from(config.assigned_ips[0].ip == crate::lab::ip(C));
        let (network, to, time) = (config.network, config.issued_to, config.timestamp);
        config.tags = vec![Tag::issue(controller, network, to, time, 7, colour)];
        let same = RuleKind::TagsDifference(TagValue { id: 7, value: 0 });
        config.rules = vec![Rule::new(same), Rule::new(RuleKind::Accept)];
    });
    lab.send_to(A, B, b"same colour");
    lab.send_to(C, B, b"other colour");
    lab.run(3 * SECOND);
    assert_eq!(lab.received(B, b"same colour"), 1);
    assert_eq!(lab.received(B, b"other colour"), 0);
    let remote = &lab.entry(B, C).unwrap().remote;
    assert_eq!(*remote.tags, [(7, 1)]);
}

#[test]
fn credentials_of_two_networks_do_not_get_into_each_others_way() {
    let mut lab = Lab::joined(2, |_, _| {});
    let (first, second) = (lab.network, NetworkId(lab.network.0 + 1));
    lab.second = Some(second);
    lab.network = second;
    lab.join(A);
    lab.join(B);
    lab.run(5 * SECOND);
    // The receiver takes one packet of credentials a second: the second one waits for its turn, and its frame with it.
    for network in [first, second] {
        lab.network = network;
        lab.send_to(A, B, b"on both");
    }
    lab.run(2 * SECOND);
    for network in [first, second] {
        lab.network = network;
        assert_eq!(lab.received(B, b"on both"), 1, "{network}");
    }
    assert_eq!(lab.packets(B, Verb::NetworkCredentials), 2);
}
