//! In which order rows are measured, and which at the same time. Each job has a thread of its own.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use super::Options;
use super::report::Finding;
use super::row::{Case, Load, Measurement, Peer, Programs, Row};
use crate::lab::policy::Policy;

/// One row, peer and policy to measure.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) row: Row,
    pub(super) peer: Peer,
    pub(super) policy: Policy,
}

/// How to measure.
pub(super) struct Schedule {
    pub(super) programs: Programs,
    /// Where jobs put their files, each into a folder of its own.
    pub(super) folder: PathBuf,
    pub(super) options: Options,
    /// Light jobs that may run at the same time.
    pub(super) parallel: usize,
}

impl Schedule {
    /// Measures them all. `tell` hears of each finding in the order of the jobs, as soon as it and all before it are there.
    pub(super) fn run(
        &self,
        jobs: Vec<Job>,
        mut tell: impl FnMut(&Finding),
    ) -> io::Result<Vec<Finding>> {
        let mut findings: Vec<Option<Finding>> = vec![None; jobs.len()];
        let (mut told, mut running, mut heavy) = (0, 0, false);
        let (done, results) = mpsc::channel();
        let mut waiting = jobs.into_iter().enumerate().peekable();
        while told < findings.len() {
            while let Some((position, job)) = waiting.next_if(|(_, job)| {
                let alone = job.row.load == Load::Heavy;
                running == 0 || (!heavy && !alone && running < self.parallel)
            }) {
                heavy = job.row.load == Load::Heavy;
                running += 1;
                self.start(position, job, &done)?;
            }
            let (position, finding) = results
                .recv()
                .map_err(|_| io::Error::other("a measurement's thread died"))?;
            findings[position] = Some(finding);
            running -= 1;
            while let Some(Some(finding)) = findings.get(told) {
                tell(finding);
                told += 1;
            }
        }
        Ok(findings.into_iter().flatten().collect())
    }

    fn start(
        &self,
        position: usize,
        job: Job,
        done: &mpsc::Sender<(usize, Finding)>,
    ) -> io::Result<()> {
        let case = Case {
            peer: job.peer,
            policy: job.policy,
            options: self.options,
            programs: self.programs.clone(),
            folder: self.folder.join(position.to_string()),
        };
        let done = done.clone();
        thread::Builder::new()
            .name(format!("row{}", job.row.number))
            .spawn(move || {
                let measured = std::panic::catch_unwind(|| measure_alone(&job.row, &case));
                let result = match measured {
                    Ok(Ok(measurement)) => Ok(measurement),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("the measurement broke off".to_owned()),
                };
                let Job { row, peer, policy } = job;
                let finding = Finding {
                    row,
                    peer,
                    policy,
                    result,
                };
                // A failed send means that nobody waits any more.
                let _nobody_waits = done.send((position, finding));
            })
            .map(|_| ())
    }
}

/// With a folder of its own, which goes afterwards.
fn measure_alone(row: &Row, case: &Case) -> io::Result<Measurement> {
    fs::create_dir_all(&case.folder)?;
    let result = (row.measure)(case);
    fs::remove_dir_all(&case.folder)?;
    result
}
