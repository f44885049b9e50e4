//! Simulated networks on virtual time. Every run prints its seed; `HAWSER_SIM_SEED=<seed>` repeats it exactly.

mod adversity;
mod costs;
mod findings;
mod flows;
mod losses;
mod multipath;
mod outages;
mod settings;
mod world;

use std::time::Duration;

use node::testing::Conditions;
use world::{Members, ROOT};

/// 10 % lost, 5 % doubled, and up to 80 ms between the fastest and the slowest: constant reordering.
const HARSH: Conditions = Conditions {
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(80),
    loss_per_mille: 100,
    duplicate_per_mille: 50,
};

/// Fixed seeds that always run, and a fresh one.
fn seeds() -> Vec<u64> {
    if let Some(seed) = std::env::var("HAWSER_SIM_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
    {
        return vec![seed];
    }
    vec![1, 2, rand::random()]
}

#[test]
fn fifty_nodes_converge_in_harsh_conditions() {
    for seed in seeds() {
        println!("seed {seed} (HAWSER_SIM_SEED={seed} repeats this run)");
        // A root, a controller, 47 members, and one who is not authorised: fifty.
        let mut world = Members::new(seed, 47, HARSH);
        everyone_joins(&mut world, seed);
        everyone_reaches_a_neighbour(&mut world, seed);
        direct_paths_appear(&mut world, seed);
        members_talk_on_without_the_root(&mut world, seed);
        let outsider = world.outsider();
        assert!(
            !world.has_joined(outsider),
            "seed {seed}: the outsider has joined"
        );
        assert!(
            world.net.nodes[outsider].delivered.is_empty(),
            "seed {seed}: a frame reached the outsider"
        );
    }
}

#[test]
fn a_seed_decides_everything() {
    let run = || {
        let mut world = Members::new(42, 6, HARSH);
        world.run_for(Duration::from_secs(30));
        let sent: Vec<_> = world.net.nodes.iter().map(|n| n.sent.clone()).collect();
        (
            sent,
            world.net.nodes.iter().map(|n| n.turns).collect::<Vec<_>>(),
        )
    };
    assert!(run() == run(), "two runs of one seed differ");
}

fn everyone_joins(world: &mut Members, seed: u64) {
    let members = world.members();
    let joined = world.run_until(Duration::from_secs(300), |world| {
        members.clone().all(|index| world.has_joined(index))
    });
    let missing: Vec<_> = members.filter(|index| !world.has_joined(*index)).collect();
    assert!(
        joined,
        "seed {seed}: members {missing:?} did not join within 300 s"
    );
}

/// Pairs around a ring: each member and the next.
fn ring(world: &Members) -> Vec<(usize, usize)> {
    let members: Vec<_> = world.members().collect();
    members
        .iter()
        .copied()
        .zip(members.iter().copied().cycle().skip(1))
        .collect()
}

/// ARP finds the neighbour by multicast, then a unicast frame reaches it. Applications repeat what is lost.
fn everyone_reaches_a_neighbour(world: &mut Members, seed: u64) {
    let pairs = ring(world);
    let asked = world.run_until(Duration::from_secs(120), |world| {
        let open: Vec<_> = pairs
            .iter()
            .filter(|(a, b)| !world.was_asked(*a, *b))
            .collect();
        open.iter().for_each(|(a, b)| world.ask_by_arp(*a, *b));
        open.is_empty()
    });
    assert!(
        asked,
        "seed {seed}: some ARP request reached nobody within 120 s"
    );
    assert!(
        all_deliver(world, &pairs, b"neighbour", 120),
        "seed {seed}: some unicast frame got lost for 120 s"
    );
}

/// Repeats a frame along each pair each second until all have arrived.
fn all_deliver(world: &mut Members, pairs: &[(usize, usize)], mark: &[u8], seconds: u64) -> bool {
    // Experimental Ethertype (IEEE 802): neither ARP nor IP, so that nothing but the rules looks at it.
    const ETHERTYPE: u16 = 0x88b5;
    world.run_until(Duration::from_secs(seconds), |world| {
        let mut open = 0;
        for (from, to) in pairs {
            let payload = [mark, &from.to_be_bytes()].concat();
            if !world.has_received(*to, ETHERTYPE, &payload) {
                open += 1;
                let mac = world.mac(*to);
                world.send_frame(*from, mac, ETHERTYPE, &payload);
            }
        }
        open == 0
    })
}

fn direct_paths_appear(world: &mut Members, seed: u64) {
    let pairs = ring(world);
    let direct = |world: &Members, a: usize, b: usize| {
        let peer = world.net.nodes[b].address();
        !world.net.nodes[a]
            .live_paths(world.net.now(), peer)
            .is_empty()
    };
    let all = world.run_until(Duration::from_secs(300), |world| {
        // Traffic keeps the relay introducing the pair.
        for (a, b) in &pairs {
            let mac = world.mac(*b);
            world.send_frame(*a, mac, 0x88b5, b"knock");
        }
        pairs
            .iter()
            .all(|(a, b)| direct(world, *a, *b) && direct(world, *b, *a))
    });
    assert!(
        all,
        "seed {seed}: some neighbours have no direct path after 300 s"
    );
}

fn members_talk_on_without_the_root(world: &mut Members, seed: u64) {
    world.net.nodes[ROOT].running = false;
    world.run_for(Duration::from_secs(30));
    let pairs = ring(world);
    assert!(
        all_deliver(world, &pairs, b"rootless", 30),
        "seed {seed}: some pair with a direct path cannot talk while the root is down"
    );
}
