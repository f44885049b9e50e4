//! A device queue in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Mutex;

use super::Tap;

/// Keeps what is written, and gives out what a test puts in.
#[derive(Debug, Default)]
pub(crate) struct FakeTap {
    to_read: Mutex<VecDeque<Vec<u8>>>,
    written: Mutex<Vec<Vec<u8>>>,
}

impl FakeTap {
    /// The host sends a frame.
    pub(crate) fn emit(&self, frame: &[u8]) {
        self.to_read.lock().unwrap().push_back(frame.to_vec());
    }

    /// Takes the frames that the host got.
    pub(crate) fn take_written(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.written.lock().unwrap())
    }

    /// Frames that nobody has read yet.
    pub(crate) fn waiting(&self) -> usize {
        self.to_read.lock().unwrap().len()
    }
}

impl Tap for FakeTap {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let frame = self
            .to_read
            .lock()
            .unwrap()
            .pop_front()
            .ok_or(io::ErrorKind::WouldBlock)?;
        let length = frame.len().min(buffer.len());
        buffer[..length].copy_from_slice(&frame[..length]);
        Ok(length)
    }

    fn write(&self, frame: &[u8]) -> io::Result<()> {
        self.written.lock().unwrap().push(frame.to_vec());
        Ok(())
    }
}
