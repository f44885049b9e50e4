//! Pinning workers to processors.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Pins the calling thread to the `index`-th of the processors that it may run on (round robin). Failure is logged and
/// harmless.
pub(crate) fn pin_current_thread(index: usize) {
    let pinned = sched_getaffinity(None).and_then(|allowed| {
        let processors: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|&processor| allowed.is_set(processor))
            .collect();
        let Some(&processor) = processors.get(index % processors.len().max(1)) else {
            return Ok(());
        };
        let mut wanted = CpuSet::new();
        wanted.set(processor);
        sched_setaffinity(None, &wanted)
    });
    if let Err(error) = pinned {
        tracing::warn!(worker = index, %error, "worker not pinned");
    }
}
