//! A link that costs, as either end of it says, is left alone while others will do.

mod support;

use std::time::Duration;

use bond::attributes::LinkAttributes;
use bond::config::LinkSettings;
use bond::{BasePolicy, PathId, Plan, PolicySettings};
use support::World;

const METERED: PathId = PathId(2);

/// Four links, and who says that the second one costs.
fn worlds() -> [(&'static str, World); 2] {
    let mut settings = PolicySettings::standard(BasePolicy::ActiveBackup);
    for id in 1..=4 {
        settings.links.push(LinkSettings::new(&format!("wan{id}")));
    }
    let mut told = World::new(settings.clone(), 4, false);
    let attributes = LinkAttributes {
        is_metered: true,
        ..LinkAttributes::default()
    };
    told.bond.handle_attributes(METERED, attributes, told.now);
    settings.links[1].cost = 1;
    [("we", World::new(settings, 4, false)), ("the peer", told)]
}

#[test]
fn copies_of_the_first_packets_after_a_pause_go_out_elsewhere() {
    for (who, mut world) in worlds() {
        world.seconds(5);
        assert_eq!(world.active(), 1, "{who}");
        world.sending = 0;
        world.receiving = 0;
        world.seconds(5);
        let pair = Plan::Every(Box::new([PathId(1), PathId(3)]));
        assert_eq!(*world.bond.plan(), pair, "{who}");
    }
}

#[test]
fn witnesses_against_a_silent_link_are_asked_elsewhere() {
    for (who, mut world) in worlds() {
        world.seconds(10);
        let asked = |world: &World| [2, 3, 4].map(|id| world.wires[&PathId(id)].probes);
        let before = asked(&world);
        world.cut(1);
        while asked(&world) == before && world.uses(1) {
            world.run(Duration::from_millis(1));
        }
        assert!(world.uses(1), "{who}: left without a witness");
        let after = asked(&world);
        let more: Vec<u64> = (0..3).map(|link| after[link] - before[link]).collect();
        assert_eq!(more, [0, 1, 1], "{who}");
    }
}
