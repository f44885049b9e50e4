//! What a bond takes of memory, and that picking a path takes none.

mod traffic;

use std::alloc::System;

use bond::{BasePolicy, Cursor, LinkEvent, PathId, PathIndex, Plan, PolicySettings};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use traffic::{Link, Network, Peer};

/// What a bond and the workers' plan may take together, in bytes, with so many paths.
const LIMITS: [(usize, usize); 3] = [(2, 7200), (3, 8192), (4, 9216)];

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Links fail, with notice and without, and come back.
fn flap(network: &mut Network) {
    let paths: Vec<PathId> = network.links.keys().copied().collect();
    for turn in 0..30 {
        let path = paths[turn % paths.len()];
        let loss = |network: &mut Network, loss| network.link(path.0).loss = loss;
        loss(network, 1.0);
        network.seconds(1.5);
        loss(network, 0.0);
        network.seconds(1.5);
        for event in [LinkEvent::Down, LinkEvent::Up] {
            let now = network.now;
            network.bond.handle_link_event(path, event, now);
            network.seconds(0.5);
        }
    }
}

/// One test, since all threads of a process share the counters.
#[test]
fn a_bond_takes_few_kilobytes_and_picking_allocates_nothing() {
    for base in [BasePolicy::BalanceXor, BasePolicy::BalanceAware] {
        for (links, limit) in LIMITS {
            let mut network = Network::new(
                PolicySettings::standard(base),
                Peer::Silent,
                &vec![Link::new(4.0); links],
                1,
            );
            network.start_iperf(20);
            network.seconds(6.0);
            flap(&mut network);
            // The workers' plan names paths by index, and shares the slots with the bond's.
            let region = Region::new(ALLOCATOR);
            let worker: Plan = network
                .bond
                .plan()
                .map(|path| PathIndex::try_from(path.0).ok());
            let plan = region.change();
            let plan = plan.bytes_allocated - plan.bytes_deallocated + size_of::<Plan>();
            // What is freed with the bond is what it took. Its plan and the worker's hold the slots together.
            drop(worker);
            let bond = network.take_bond();
            let inline = size_of_val(&bond);
            let region = Region::new(ALLOCATOR);
            drop(bond);
            let bond = region.change().bytes_deallocated + inline;
            println!("{base}, {links} paths: bond {bond} bytes, workers' plan {plan} bytes");
            // Slots and their load 4 KiB, about 1 KiB per path, and 1 KiB.
            assert!(bond + plan <= limit, "{links} paths: {bond} + {plan}");
        }
    }
    let network = Network::new(
        PolicySettings::standard(BasePolicy::BalanceAware),
        Peer::Silent,
        &[Link::new(4.0), Link::new(4.0)],
        1,
    );
    let worker: Plan = network
        .bond
        .plan()
        .map(|path| PathIndex::try_from(path.0).ok());
    assert!(matches!(worker, Plan::Slots { .. }));
    let (mut header, mut payload) = ([0; 14], [0; 1400]);
    (header[12], payload[0], payload[9]) = (8, 0x45, 6);
    let mut cursor = Cursor::default();
    let region = Region::new(ALLOCATOR);
    for port in 0..10_000u16 {
        payload[20..22].copy_from_slice(&port.to_be_bytes());
        let flow = worker.flow_of(&header, &payload);
        std::hint::black_box(worker.pick(flow, &mut cursor));
    }
    assert_eq!(region.change().allocations, 0);
}
