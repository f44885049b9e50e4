//! Planets and moons.

use node::io::{Command, StateObject};
use node::testing::{Conditions, Net};
use protocol::world::{World, WorldKind};

use crate::lab::{A, B, ROOT, SECOND, at, identity, planet_of, three};

#[test]
fn a_newer_planet_comes_with_the_answer_to_hello() {
    let root = identity(1);
    let mut net = Net::new(7, Conditions::default());
    net.add(root.clone(), &planet_of(&root, 2), &[at("10.0.0.1:9993")]);
    net.add(identity(2), &planet_of(&root, 1), &[at("10.0.1.1:9993")]);
    net.run_for(2 * SECOND);
    let leaf = &net.nodes[A];
    assert_eq!(leaf.node.status().planet_timestamp, 2);
    assert_eq!(
        leaf.files.get(&StateObject::Planet),
        Some(&Some(planet_of(&root, 2).to_bytes()))
    );
    assert!(!net.nodes[ROOT].files.contains_key(&StateObject::Planet));
}

#[test]
fn a_moon_is_learned_from_its_seed_kept_and_forgotten() {
    let mut net = three(8, Conditions::default());
    let moon_id = net.nodes[B].address().to_u64();
    let moon = World::of_root(WorldKind::Moon, moon_id, 5, &net.nodes[B].identity, vec![]);
    net.command(B, Command::LoadMoon(Box::new(moon.clone())));
    let seed = net.nodes[B].address();
    net.command(
        A,
        Command::Orbit {
            moon: moon_id,
            seed: Some(seed),
        },
    );
    net.run_for(15 * SECOND);
    assert_eq!(net.nodes[A].node.moons(), std::slice::from_ref(&moon));
    assert_eq!(
        net.nodes[A].files.get(&StateObject::Moon(moon_id)),
        Some(&Some(moon.to_bytes()))
    );
    net.command(A, Command::Deorbit(moon_id));
    assert!(net.nodes[A].node.moons().is_empty());
    assert_eq!(
        net.nodes[A].files.get(&StateObject::Moon(moon_id)),
        Some(&None)
    );
}
