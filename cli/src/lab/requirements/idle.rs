//! Row 3: a link fails while nothing is sent. What becomes of the first packet afterwards?

use std::io;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::bed::{Bed, Failure};
use super::outage::FAILING_OVER;
use super::row::{Case, Load, Measurement, Row};
use super::sample::Sample;
use super::trial::{link_in_use, wait_until_whole};
use crate::lab::links;
use crate::lab::stream::Pace;

const LINKS: u8 = 3;
const RATE: u32 = 100;
/// Default of `failoverInterval`, towards stock peers too.
const FAILOVER_INTERVAL: Duration = Duration::from_millis(1000);
/// Silence before the failure. Probes become rarer after 30 s.
const IDLE: Duration = Duration::from_secs(6);
const LONG_IDLE: Duration = Duration::from_secs(40);
/// One trial of so many is after a long silence, beginning with the first.
const LONG_ONE_OF: u32 = 10;
/// The members' systems ask for routers and for hardware addresses now and then. A bond that sent such a thing is not idle: nothing
/// must have been sent for so long before the failure. It is waited for that so many times.
const SILENT: Duration = Duration::from_secs(2);
const MOST_WAITS: u32 = 10;
/// From the failure to the first packet: less than the time between two probes, so that nobody knows yet.
const UNNOTICED: Duration = Duration::from_millis(50);

pub(super) fn rows() -> Vec<Row> {
    vec![Row {
        number: 3,
        quantity: "first packet after a failure of an idle bond",
        ours: "0 lost, delivered once; outage <= failover interval",
        towards_stock: Some("outage <= failover interval"),
        policies: FAILING_OVER,
        load: Load::Light,
        measure,
    }]
}

/// What became of one trial, in one direction.
struct FirstPacket {
    copies: usize,
    /// From the first packet until the last loss after it was sent.
    outage: Duration,
}

fn measure(case: &Case) -> io::Result<Measurement> {
    let bed = case.bed(LINKS)?;
    let judged = case.judged_directions();
    let mut firsts = Vec::new();
    for number in 0..case.options.trials {
        let idle = if number % LONG_ONE_OF == 0 {
            LONG_IDLE
        } else {
            IDLE
        };
        firsts.extend(trial(&bed, idle, judged)?);
    }
    let outages = Sample::new(firsts.iter().map(|first| first.outage));
    let lost = firsts.iter().filter(|first| first.copies == 0).count();
    let repeated = firsts.iter().filter(|first| first.copies > 1).count();
    let in_time = outages.largest() <= FAILOVER_INTERVAL;
    let all_once = lost == 0 && repeated == 0;
    Ok(Measurement {
        values: json!({
            "firstPackets": firsts.len(),
            "lost": lost,
            "deliveredMoreThanOnce": repeated,
            "outage": outages.to_json(),
        }),
        text: format!(
            "{lost} of {} first packets lost, {repeated} delivered twice; outage {outages}",
            firsts.len()
        ),
        holds: outages.len() > 0 && in_time && case.by_peer(all_once, true),
    })
}

/// Until neither member has sent anything into the network for [`SILENT`].
fn wait_for_silence(bed: &Bed) -> io::Result<()> {
    let sent = || -> io::Result<Vec<u64>> {
        let members = bed.lab.members.iter();
        let bytes = members.map(|member| member.host().run(links::sent_into_networks)?);
        bytes.collect()
    };
    for _ in 0..MOST_WAITS {
        let before = sent()?;
        thread::sleep(SILENT);
        if sent()? == before {
            return Ok(());
        }
    }
    Err(io::Error::other("the members' systems never stop sending"))
}

fn trial(bed: &Bed, idle: Duration, judged: &[usize]) -> io::Result<Vec<FirstPacket>> {
    let pace = Pace {
        rate: RATE,
        both_ways: true,
    };
    let stream = bed.stream(pace)?;
    let link = link_in_use(bed)?;
    stream.pause();
    thread::sleep(idle - SILENT);
    wait_for_silence(bed)?;
    bed.fail(link, Failure::BlackHole)?;
    thread::sleep(UNNOTICED);
    let resumed = stream.elapsed();
    let first = stream.resume();
    wait_until_whole(&stream, resumed, judged);
    let copies = [0, 1].map(|direction| stream.copies(direction, first[direction]));
    let deliveries = stream.finish(resumed)?;
    bed.heal(link, Failure::BlackHole)?;
    bed.recover(link)?;
    let result = judged.iter().map(|direction| FirstPacket {
        copies: copies[*direction],
        outage: deliveries[*direction].losses_lasted,
    });
    Ok(result.collect())
}
