//! What picking a path costs per packet, by kind of plan: `cargo bench -p bench --bench plan`.

use std::sync::Arc;

use bond::policy::allocation::Shares;
use bond::policy::slots::SlotTable;
use bond::{Cursor, HashPolicy, PathId, PathIndex, Plan, flow};
use divan::{Bencher, black_box};
use protocol::Instant;

fn main() {
    divan::main();
}

/// An IPv4 TCP packet with 1400 bytes and its Ethernet header.
fn frame() -> ([u8; 14], Vec<u8>) {
    let mut header = [0; 14];
    header[12] = 0x08;
    let mut payload = vec![0; 1400];
    payload[0] = 0x45;
    payload[9] = 6;
    payload[12..24].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0x14, 0x51]);
    (header, payload)
}

fn slots(hash: HashPolicy) -> Plan {
    Plan::Slots {
        slots: Arc::new(std::array::from_fn(|slot| (slot % 4) as u8)),
        paths: Box::new([0, 1, 2, 3]),
        hash,
    }
}

/// The flow hash, where the plan asks for it, and the pick.
fn pick(bencher: Bencher<'_, '_>, plan: &Plan) {
    let (header, payload) = frame();
    let mut cursor = Cursor::default();
    bencher.bench_local(|| {
        let plan = black_box(plan);
        let flow = plan.flow_of(black_box(&header), black_box(&payload));
        black_box(plan.pick(flow, &mut cursor));
    });
}

#[divan::bench]
fn single(bencher: Bencher<'_, '_>) {
    pick(bencher, &Plan::Single(0));
}

#[divan::bench]
fn every(bencher: Bencher<'_, '_>) {
    pick(bencher, &Plan::Every(Box::new([0, 1, 2, 3])));
}

/// Runs of 8 packets, and at random.
#[divan::bench(args = [8, 0])]
fn rotate(bencher: Bencher<'_, '_>, packets_per_path: u32) {
    let plan = Plan::Rotate {
        paths: Box::new([0, 1, 2, 3]),
        packets_per_path,
    };
    pick(bencher, &plan);
}

#[divan::bench]
fn slots_layer3_and_4(bencher: Bencher<'_, '_>) {
    pick(bencher, &slots(HashPolicy::Layer3And4));
}

#[divan::bench]
fn slots_layer2_and_3(bencher: Bencher<'_, '_>) {
    pick(bencher, &slots(HashPolicy::Layer2And3));
}

#[divan::bench]
fn slots_layer2(bencher: Bencher<'_, '_>) {
    pick(bencher, &slots(HashPolicy::Layer2));
}

/// The hash alone.
#[divan::bench]
fn flow_hash(bencher: Bencher<'_, '_>) {
    let (_, payload) = frame();
    bencher.bench_local(|| flow::flow_hash(0x0800, black_box(&payload)));
}

/// All flows of a path that failed get another, and the workers' plan follows.
#[divan::bench]
fn repoint_after_failure(bencher: Bencher<'_, '_>) {
    let shares = |paths: u32| -> Shares {
        (0..paths)
            .map(|path| (PathId(path), 1.0 / f64::from(paths)))
            .collect()
    };
    let mut table = SlotTable::default();
    table.retarget(&shares(4), Instant::from_millis(0));
    let rest = shares(3);
    bencher
        .with_inputs(|| table.clone())
        .bench_local_refs(|table| {
            table.retarget(&rest, Instant::from_millis(1000));
            let (paths, slots) = table.owners()?;
            let plan = Plan::Slots {
                slots: Arc::clone(slots),
                paths: paths.into(),
                hash: HashPolicy::default(),
            };
            Some(plan.map(|path| PathIndex::try_from(path.0).ok()))
        });
}

/// The pick alone, of a known flow.
#[divan::bench]
fn slots_known_flow(bencher: Bencher<'_, '_>) {
    let plan = slots(HashPolicy::Layer3And4);
    let mut cursor = Cursor::default();
    bencher.bench_local(|| {
        black_box(black_box(&plan).pick(black_box(12_345), &mut cursor));
    });
}
