//! One worker's epoll: which descriptors are ready, until when to sleep, and how to be woken.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

const WAKER: Token = Token(usize::MAX);

/// A readiness queue. Edge-triggered: whoever got `readable` must read until `WouldBlock` before it comes again.
pub(crate) struct Reactor {
    poll: Poll,
    events: Events,
    next: usize,
}

/// A registered descriptor. Never reused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Registration(Token);

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// A command waits.
    Mailbox,
    /// A descriptor can be read, or if that was asked for written.
    Ready {
        registration: Registration,
        readable: bool,
    },
}

impl Reactor {
    pub(crate) fn new() -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let reactor = Self {
            poll,
            events: Events::with_capacity(256),
            next: 0,
        };
        Ok((reactor, waker))
    }

    /// Reports when `fd` becomes readable.
    pub(crate) fn add(&mut self, fd: RawFd) -> io::Result<Registration> {
        let token = Token(self.next);
        self.next += 1;
        self.poll
            .registry()
            .register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        Ok(Registration(token))
    }

    /// Starts or stops to report when `fd` becomes writable. Only while something waits: a socket that is watched for
    /// writing wakes its worker for each datagram that leaves.
    pub(crate) fn watch_writable(
        &self,
        fd: RawFd,
        registration: Registration,
        watch: bool,
    ) -> io::Result<()> {
        let interest = if watch {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        self.poll
            .registry()
            .reregister(&mut SourceFd(&fd), registration.0, interest)
    }

    /// Forgets `fd`, which must still be open.
    pub(crate) fn remove(&self, fd: RawFd) {
        // It may have failed to register in the first place.
        let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
    }

    /// Sleeps until something is ready, or `timeout` is over, then tells what.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut tell: impl FnMut(Wake),
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            tell(if event.token() == WAKER {
                Wake::Mailbox
            } else {
                Wake::Ready {
                    registration: Registration(event.token()),
                    readable: event.is_readable() || event.is_error() || event.is_read_closed(),
                }
            });
        }
        Ok(())
    }
}
