//! What a bond takes of memory, and that picking a path takes none.

mod traffic;

use std::alloc::System;

use bond::{BasePolicy, Cursor, PathIndex, Plan, PolicySettings};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use traffic::{Link, Network};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One test, since all threads of a process share the counters.
#[test]
fn a_bond_takes_few_kilobytes_and_picking_allocates_nothing() {
    for base in [BasePolicy::BalanceXor, BasePolicy::BalanceAware] {
        for links in [2, 4] {
            let mut network = Network::new(
                PolicySettings::standard(base),
                true,
                &vec![Link::new(4.0); links],
                1,
            );
            network.start_iperf(20);
            network.seconds(6.0);
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
            // Slots and their load 5 KiB, and some 2 KiB per path.
            assert!(bond + plan <= 6144 + 2300 * links, "{bond} + {plan}");
        }
    }
    let network = Network::new(
        PolicySettings::standard(BasePolicy::BalanceAware),
        true,
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
