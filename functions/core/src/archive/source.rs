//! The two readers around the decoder: one counts and hashes what comes in, one bounds what comes out. Both
//! remember how they ended, so that an error that surfaces three layers up can be blamed on the right thing.

use std::fmt::Write as _;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// The archive's bytes as they come from outside.
pub(super) struct Raw<R> {
    inner: R,
    hash: Sha256,
    size: u64,
    ended: bool,
    failure: Option<io::Error>,
}

impl<R: Read> Raw<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            size: 0,
            ended: false,
            failure: None,
        }
    }

    /// Whether somebody asked for more than there was.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// How many bytes were read and their SHA-256, or the error that the reader itself had.
    pub(super) fn finish(self) -> io::Result<(u64, String)> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let mut hex = String::with_capacity(64);
        for byte in self.hash.finalize() {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Ok((self.size, hex))
    }
}

impl<R: Read> Read for Raw<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::Error::other("the reader has failed before"));
        }
        match self.inner.read(buf) {
            Ok(read) => {
                self.ended |= read == 0 && !buf.is_empty();
                self.hash.update(&buf[..read]);
                self.size += read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let passed_on = io::Error::new(error.kind(), error.to_string());
                self.failure = Some(error);
                Err(passed_on)
            }
        }
    }
}

/// How a [`Bounded`] reader stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Ended,
    Exceeded,
    Failed(String),
}

/// The unpacked archive, up to a limit.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
    state: State,
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            left: limit,
            state: State::Open,
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if matches!(self.state, State::Exceeded | State::Failed(_)) {
            return Err(io::Error::other("the archive has failed before"));
        }
        match self.inner.read(buf) {
            Ok(0) if !buf.is_empty() => {
                self.state = State::Ended;
                Ok(0)
            }
            Ok(read) => {
                let Some(left) = self.left.checked_sub(read as u64) else {
                    self.state = State::Exceeded;
                    return Err(io::Error::other("the archive is larger than the limit"));
                };
                self.left = left;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                self.state = State::Failed(error.to_string());
                Err(error)
            }
        }
    }
}

/// Reads up to `buf.len()` bytes, fewer only at the end.
pub(super) fn read_full(reader: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buf.len() {
        match reader.read(&mut buf[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
