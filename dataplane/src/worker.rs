//! A worker thread.
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use arc_swap::ArcSwap;
use node::snapshot::Snapshot;

use crate::Clock;
use crate::counters::CounterCells;
use crate::handover::HandoverSender;
use crate::mailbox::WorkerCommand;
use crate::reactor::Reactor;

pub(crate) struct WorkerParts {
    pub(crate) reactor: Reactor,
    pub(crate) commands: Receiver<WorkerCommand>,
    pub(crate) handover: HandoverSender,
    pub(crate) counters: Arc<CounterCells>,
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    pub(crate) clock: Clock,
    pub(crate) seed: [u8; 32],
}
pub(crate) struct Worker(WorkerParts);
impl Worker {
    pub(crate) fn new(parts: WorkerParts) -> Self {
        Self(parts)
    }
    pub(crate) fn run(mut self, pin: Option<usize>) {
        if let Some(index) = pin {
            crate::affinity::pin_current_thread(index);
        }
        loop {
            let _ = self.0.reactor.wait(None, |_| ());
            while let Ok(command) = self.0.commands.try_recv() {
                match command {
                    WorkerCommand::RemoveLink { done, .. }
                    | WorkerCommand::RemoveTap { done, .. } => {
                        let _ = done.send(());
                    }
                    WorkerCommand::Stop => return,
                    _ => {}
                }
            }
        }
    }
}
