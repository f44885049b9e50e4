//! Row 29: what a worker does per packet to find its path.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use bond::{Cursor, HashPolicy, Plan};
use rustix::time::{ClockId, clock_gettime};

use crate::{Measurement, allocations};

const MEDIAN: f64 = 25.0;
const NEARLY_ALL: f64 = 60.0;
/// Of what so many workers together could do, if they hindered each other in nothing.
const LINEAR: f64 = 0.85;

/// Different flows, more than a core's first cache remembers the branches of.
const FLOWS: usize = 1024;
/// Packets between two looks at the clock, which costs as much as a pick.
const BATCH: usize = 64;
const BATCHES: usize = 50_000;
/// How long workers run side by side.
const SIDE_BY_SIDE: Duration = Duration::from_millis(500);

type Frame = ([u8; 14], Vec<u8>);

/// IPv4 TCP packets of so many flows.
fn frames() -> Vec<Frame> {
    (0..FLOWS as u16)
        .map(|flow| {
            let mut header = [0; 14];
            header[12] = 0x08;
            let mut payload = vec![0; 64];
            payload[0] = 0x45;
            payload[9] = 6;
            payload[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
            payload[20..22].copy_from_slice(&(32_768 + 2 * flow).to_be_bytes());
            payload[22..24].copy_from_slice(&[0x14, 0x51]);
            (header, payload)
        })
        .collect()
}

fn plan() -> Plan {
    Plan::Slots {
        slots: Arc::new(std::array::from_fn(|slot| (slot % 4) as u8)),
        paths: Box::new([0, 1, 2, 3]),
        hash: HashPolicy::Layer3And4,
    }
}

fn pick(plan: &Plan, (header, payload): &Frame, cursor: &mut Cursor) {
    let flow = plan.flow_of(black_box(header), black_box(payload));
    black_box(plan.pick(flow, cursor));
}

/// Nanoseconds per pick, of each batch, in ascending order; and allocations meanwhile.
fn batches() -> (Vec<f64>, usize) {
    let (plan, frames) = (plan(), frames());
    let mut cursor = Cursor::default();
    let mut times = Vec::with_capacity(BATCHES);
    let before = allocations();
    let mut frames = frames.iter().cycle();
    for _ in 0..BATCHES {
        let start = Instant::now();
        for frame in frames.by_ref().take(BATCH) {
            pick(black_box(&plan), frame, &mut cursor);
        }
        times.push(start.elapsed().as_nanos() as f64 / BATCH as f64);
    }
    let allocated = allocations() - before;
    times.sort_by(f64::total_cmp);
    (times, allocated)
}

/// CPU time of the calling thread.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Picks per second of CPU time, of `workers` threads that share one plan, in all. Not of time: a machine that does other
/// things as well takes the CPU away from them, while what they wait for each other in memory is CPU time.
fn side_by_side(workers: usize) -> f64 {
    let (plan, frames, barrier) = (plan(), frames(), Barrier::new(workers));
    let count = || {
        let mut cursor = Cursor::default();
        barrier.wait();
        let (start, cpu) = (Instant::now(), cpu_seconds());
        let mut picks = 0;
        while start.elapsed() < SIDE_BY_SIDE {
            for frame in &frames {
                pick(black_box(&plan), frame, &mut cursor);
            }
            picks += frames.len();
        }
        picks as f64 / (cpu_seconds() - cpu)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(count)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(0.0))
            .sum()
    })
}

pub(crate) fn measure() -> Measurement {
    let (times, allocated) = batches();
    let (median, nearly_all) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let alone = side_by_side(1);
    let linear = side_by_side(workers) / (workers as f64 * alone);
    Measurement {
        text: format!(
            "p50 {median:.1} ns, p99 {nearly_all:.1} ns ({BATCHES} batches of {BATCH}), {allocated} allocations, \
             {workers} workers do {linear:.2} of {workers} times one"
        ),
        holds: median <= MEDIAN && nearly_all <= NEARLY_ALL && allocated == 0 && linear >= LINEAR,
    }
}
