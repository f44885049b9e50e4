//! What a bond costs in time and memory, against the requirements on it: `cargo run --release -p bench --bin bond-costs`,
//! with row numbers (29 to 32) as arguments or without for all. Prints a line for each, as `hawser lab requirements` does
//! for the rows that need daemons; exits with 1 if one does not hold.

mod memory;
mod pick;
mod repoint;
mod settings;
mod soak;
mod world;

use std::alloc::System;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what everything here allocates.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are allocated now.
fn live_bytes() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Allocations so far.
fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// What was found.
struct Measurement {
    text: String,
    holds: bool,
}

/// A requirement.
struct Row {
    number: u8,
    quantity: &'static str,
    required: &'static str,
    measure: fn() -> Measurement,
}

const ROWS: [Row; 4] = [
    Row {
        number: 29,
        quantity: "path selection per packet, hash included",
        required: "p50 <= 25 ns, p99 <= 60 ns, no allocation, linear over workers",
        measure: pick::measure,
    },
    Row {
        number: 30,
        quantity: "memory per bonded peer",
        required: "<= 8 KiB",
        measure: memory::measure,
    },
    Row {
        number: 31,
        quantity: "all flows re-pointed after detection",
        required: "<= 1 ms, one plan",
        measure: repoint::measure,
    },
    Row {
        number: 32,
        quantity: "24 h of virtual time with flaps and reloads; wrong types of every key",
        required: "0 growth after 1 h, 0 crashes",
        measure: soak::measure,
    },
];

fn main() -> ExitCode {
    let mut wanted = Vec::new();
    for word in std::env::args().skip(1) {
        match word.parse::<u8>() {
            Ok(number) if ROWS.iter().any(|row| row.number == number) => wanted.push(number),
            _ => {
                eprintln!("bond-costs: rows are 29 to 32, not {word}");
                return ExitCode::from(2);
            }
        }
    }
    println!("row | peer | policy | quantity | requirement | measured | holds");
    let mut all_hold = true;
    for row in ROWS {
        if !wanted.is_empty() && !wanted.contains(&row.number) {
            continue;
        }
        let Measurement { text, holds } = (row.measure)();
        let verdict = if holds { "yes" } else { "NO" };
        println!(
            "{:3} | {:12} | {:13} | {} | {} | {text} | {verdict}",
            row.number, "hawser", "balance-aware", row.quantity, row.required
        );
        all_hold &= holds;
    }
    ExitCode::from(u8::from(!all_hold))
}
