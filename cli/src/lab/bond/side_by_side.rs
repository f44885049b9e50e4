//! Failing links of several columns at the same time, each column in a lab of its own: there is little traffic, and much time
//! passes while nothing happens.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use nix::sched::{CloneFlags, unshare};

use super::column::{Column, Plan, Software};
use super::failover::Trial;
use super::{Arguments, build_lab};
use crate::lab::policy::Policy;
use crate::lab::{Story, say};

/// Adds the trials of `plan` to columns that were measured without, as many columns at a time as the arguments say. Labs are
/// made in `folder`.
pub(super) fn add_trials(
    arguments: &Arguments,
    plan: &Plan,
    story: &Story,
    software: &[Software],
    folder: &Path,
    columns: &mut [Column],
) -> io::Result<()> {
    let trials_alone = Plan {
        connections: Vec::new(),
        ..plan.clone()
    };
    // Steps of several columns would run into each other: each tells its result in one line.
    let quiet = Story {
        quiet: true,
        start: story.start,
    };
    let measure = |number: usize, software: &Software, policy: Policy| -> io::Result<Column> {
        // Names of interfaces are those of the thread's namespace.
        unshare(CloneFlags::CLONE_NEWNET)?;
        let folder = folder.join(format!("trials{number}"));
        fs::create_dir_all(&folder)?;
        let mut lab = build_lab(arguments, software, folder)?;
        Column::measure(&trials_alone, &quiet, &mut lab, software, policy)
    };
    let waiting: VecDeque<(usize, &mut Column)> = columns.iter_mut().enumerate().collect();
    let waiting = Mutex::new(waiting);
    let next = || waiting.lock().ok()?.pop_front();
    let work = || {
        while let Some((number, column)) = next() {
            let known = software.iter().find(|known| known.name == column.software);
            let Some(software) = known.filter(|_| column.problem.is_none()) else {
                continue;
            };
            let measured = thread::scope(|scope| {
                let thread = scope.spawn(|| measure(number, software, column.policy));
                thread.join()
            });
            let broke_off = |_| Err(io::Error::other("a measurement broke off"));
            match measured.unwrap_or_else(broke_off) {
                Ok(measured) => column.add(measured),
                Err(error) => column.problem = Some(error.to_string()),
            }
            if !story.quiet {
                tell(story, column);
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.parallel).map(|_| scope.spawn(work)).collect();
        // What a trial breaks off with is told in its column.
        let broke_off = |_| Err(io::Error::other("a measurement broke off"));
        let mut ended = threads.into_iter().map(|thread| thread.join());
        ended.try_for_each(|ended| ended.or_else(broke_off))
    })
}

fn tell(story: &Story, column: &Column) {
    let worst = column
        .trials
        .iter()
        .map(Trial::gap)
        .max()
        .unwrap_or_default();
    say(&format!(
        "{:6.1} s  {} {}: {} failovers … {:.0} ms at worst\n",
        story.start.elapsed().as_secs_f64(),
        column.software,
        column.policy,
        column.trials.len(),
        worst.as_secs_f64() * 1e3
    ));
}
