//! A host of the lab: a thread that lives in a network namespace of its own. Whatever it opens or spawns is there too.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;

use nix::sched::{CloneFlags, unshare};

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with a thread inside. The namespace goes when the thread and all processes spawned from it have.
pub struct Host {
    name: String,
    jobs: mpsc::Sender<Job>,
    namespace: OwnedFd,
}

impl Host {
    /// Makes a namespace whose only interface is a loopback that is up.
    pub fn new(name: &str) -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let (ready, started) = mpsc::channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let namespace = unshare(CloneFlags::CLONE_NEWNET)
                    .map_err(io::Error::from)
                    .and_then(|()| File::open("/proc/thread-self/ns/net"))
                    .and_then(|file| super::links::set_up("lo").map(|()| OwnedFd::from(file)));
                let failed = namespace.is_err();
                if ready.send(namespace).is_err() || failed {
                    return;
                }
                while let Ok(job) = inbox.recv() {
                    job();
                }
            })?;
        let namespace = started
            .recv()
            .map_err(|_| io::Error::other("the host's thread died"))??;
        Ok(Self {
            name: name.to_owned(),
            jobs,
            namespace,
        })
    }

    /// Its name in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace, to move interfaces into it.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.namespace.as_fd()
    }

    /// Runs `work` inside and waits for its result. Panics inside are reported as an error.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.start(work)?
            .recv()
            .map_err(|_| io::Error::other(format!("{}: work died", self.name)))
    }

    /// Starts `work` inside and returns at once; its result arrives at the receiver. A host does one thing at a time.
    pub fn start<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<mpsc::Receiver<T>> {
        let (done, result) = mpsc::channel();
        let job = Box::new(move || {
            // A failed send means that nobody waits any more.
            let _nobody_waits = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
                .map(|value| done.send(value));
        });
        self.jobs
            .send(job)
            .map_err(|_| io::Error::other(format!("{} is gone", self.name)))?;
        Ok(result)
    }

    /// Runs `work` on a fresh thread inside, so that the host stays free for other work.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<std::thread::JoinHandle<T>> {
        // A new thread inherits the namespace of the thread that creates it.
        self.run(move || std::thread::spawn(work))
    }
}
