//! The directory that a machine's boot and container use.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use super::rootfs;

/// A handle of it; the directory is removed when the last one is dropped, which a boot that was cut off may be.
#[derive(Clone, Debug)]
pub(super) struct Work(Arc<Directory>);

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    stopped: AtomicBool,
    /// Dropped with the rest, after the directory is removed.
    _gone: oneshot::Sender<()>,
}

impl Work {
    /// With what tells (by an error, as it is never sent to) that the directory is gone.
    pub(super) fn create(path: PathBuf) -> io::Result<(Self, oneshot::Receiver<()>)> {
        fs::create_dir_all(&path)?;
        let (gone, when_gone) = oneshot::channel();
        let directory = Directory {
            path,
            stopped: AtomicBool::new(false),
            _gone: gone,
        };
        Ok((Self(Arc::new(directory)), when_gone))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.path.join(name)
    }

    /// Opens a file whose reading fails once the machine is stopped: so every long step of a boot ends soon.
    pub(super) fn open(&self, name: &str) -> io::Result<Source> {
        Ok(Source {
            file: File::open(self.path(name))?,
            work: self.clone(),
        })
    }

    pub(super) fn stop(&self) {
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = rootfs::remove_all(&self.path) {
            tracing::warn!("{} stays behind: {error}", self.path.display());
        }
    }
}

pub(super) struct Source {
    file: File,
    work: Work,
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.work.0.stopped.load(Ordering::Relaxed) {
            return Err(io::Error::other("the machine was terminated"));
        }
        self.file.read(buf)
    }
}
