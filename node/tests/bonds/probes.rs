//! When paths are asked.

use std::time::Duration;

use bond::{BasePolicy, PolicySettings};
use node::io::Input;
use node::testing::Net;
use protocol::Verb;

use crate::lab::{
    A, B, ECHO_LENGTH, SECOND, TICK, entry, exchange, policy, probe_pauses, two, two_with,
};

#[test]
fn probes_are_never_denser_than_a_stock_peer_answers() {
    let bonding = [Some(policy(BasePolicy::ActiveBackup)), None];
    let mut net = two_with(11, bonding, &[B]);
    let pauses = probe_pauses(&mut net);
    assert!(pauses.len() >= 10, "{}", pauses.len());
    let shortest = pauses.iter().min().unwrap();
    assert!(*shortest >= Duration::from_millis(166), "{shortest:?}");
}

#[test]
fn peers_of_our_kind_are_asked_more_often_and_answer_each_time() {
    // Probes a quarter of the failover interval apart, three times as many as a stock peer answers.
    let settings = PolicySettings {
        failover_interval: Duration::from_millis(200),
        ..policy(BasePolicy::ActiveBackup)
    };
    let mut net = two(11, [Some(settings), None]);
    let answered = |net: &Net| net.nodes[A].received(Verb::Ok);
    let before = answered(&net);
    let pauses = probe_pauses(&mut net);
    let shortest = pauses.iter().min().unwrap();
    // No unmodified node would answer that.
    assert!(*shortest < Duration::from_millis(166), "{shortest:?}");
    let answers = answered(&net) - before;
    assert!(
        answers + 4 >= pauses.len() as u64,
        "{answers} {}",
        pauses.len()
    );
}

/// Workers tell of the first packet of an idle bond, whatever it is; the bond asks its paths at once.
#[test]
fn the_first_packet_of_an_idle_bond_starts_a_probe() {
    for plain in [&[][..], &[B][..]] {
        let mut net = two_with(23, [Some(policy(BasePolicy::ActiveBackup)), None], plain);
        exchange(&mut net, 3 * SECOND);
        assert!(!entry(&net, A, B).idle);
        // Probes are rare by now: unmodified nodes answer no second one within 170 ms.
        net.run_for(100 * SECOND);
        let shown = entry(&net, A, B);
        assert!(shown.idle);
        let used = usize::from(shown.plan.paths()[0]);
        shown.paths[used].activity.packets_sent.add(1);
        let (peer, from) = (net.nodes[B].address(), net.nodes[A].sent.len());
        let sent = [peer];
        net.handle(
            A,
            Input::Lanes {
                arrivals: &[],
                sent: &sent,
            },
        );
        let mut sent = net.nodes[A].sent[from..].iter();
        let asks = sent.any(|transmit| transmit.bytes.len() == ECHO_LENGTH);
        assert!(asks, "{plain:?}");
        net.run_for(TICK);
        assert!(!entry(&net, A, B).idle);
    }
}
