//! Connections to targets, kept while idle.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::answer::Body;

/// As many idle connections to a target are worth keeping.
const KEPT: usize = 64;

#[derive(Default)]
pub(super) struct Connections {
    idle: Mutex<HashMap<SocketAddr, Vec<Idle>>>,
}

struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

impl Connections {
    /// The connection that was used last, of those that the target has not closed yet, as far as is known.
    pub(super) fn idle(&self, target: SocketAddr, timeout: Duration) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(&target)?;
        kept.retain(|idle| idle.sender.is_ready() && idle.since.elapsed() < timeout);
        Some(kept.pop()?.sender)
    }

    pub(super) fn keep(&self, target: SocketAddr, sender: SendRequest<Body>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(target).or_default();
        if kept.len() < KEPT {
            kept.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    pub(super) fn forget_others(&self, targets: &HashSet<SocketAddr>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|target, _| targets.contains(target));
    }
}

pub(super) async fn connect(
    target: SocketAddr,
    timeout: Duration,
) -> io::Result<SendRequest<Body>> {
    let stream = tokio::time::timeout(timeout, TcpStream::connect(target)).await??;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    // It ends when the target closes it, or when nobody holds the sender any more.
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}
