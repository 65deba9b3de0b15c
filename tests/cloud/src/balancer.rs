//! The Application Load Balancer's data plane: real listeners on loopback that forward real requests.
//!
//! What it does with a request is in [`forward`]; where it sends it, in [`rules`] and [`choice`].

mod answer;
mod choice;
mod connections;
mod forward;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::metrics::Counts;
use crate::routes::{Action, Listener, Seated};
use forward::Forwarder;

/// The waits of an Application Load Balancer, in real time: a request takes as long as it takes, whatever the
/// cloud's clock does.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html>
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    /// For a connection to a target.
    connect: Duration,
    /// Without a byte in either direction.
    idle: Duration,
}

const ALB: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    idle: Duration::from_mins(1),
};

/// Ports that could not be opened; everything else was updated.
#[derive(Debug, thiserror::Error)]
#[error(
    "the listener's port {port} on 127.0.0.1 cannot be opened ({error}); stop what holds it, or choose another"
)]
pub struct PortTaken {
    pub port: u16,
    error: io::Error,
}

/// A load balancer without listeners, until [`Balancer::update`] gives it some.
pub struct Balancer {
    forwarder: Arc<Forwarder>,
    open: Mutex<HashMap<u16, Open>>,
}

/// A listener that is open; dropping `routes` closes it.
struct Open {
    routes: watch::Sender<Arc<Listener>>,
    accepting: Vec<JoinHandle<()>>,
}

impl Default for Balancer {
    fn default() -> Self {
        Self::new()
    }
}

impl Balancer {
    pub fn new() -> Self {
        Self::with(ALB)
    }

    fn with(timeouts: Timeouts) -> Self {
        Self {
            forwarder: Arc::new(Forwarder::new(timeouts)),
            open: Mutex::default(),
        }
    }

    /// What it has counted of its requests.
    pub fn counts(&self) -> Counts {
        self.forwarder.counts.clone()
    }

    /// Makes these the listeners. When this returns, every new request follows them; one that was sent to a
    /// target before finishes there. Connections of a listener that is gone close after the request in flight.
    ///
    /// # Errors
    /// If a port cannot be opened. All other listeners are as they should be.
    pub async fn update(&self, listeners: Vec<Listener>) -> Result<(), PortTaken> {
        let mut open = self.open.lock().await;
        let ports: HashSet<u16> = listeners.iter().map(|listener| listener.port).collect();
        let gone: Vec<u16> = open
            .keys()
            .filter(|port| !ports.contains(port))
            .copied()
            .collect();
        for listener in gone
            .iter()
            .filter_map(|port| open.remove(port))
            .collect::<Vec<_>>()
        {
            drop(listener.routes);
            // The port is free when its listener is dropped.
            for accepting in listener.accepting {
                let _ = accepting.await;
            }
        }
        self.forwarder.forget_others(&used(&listeners));
        let mut outcome = Ok(());
        for listener in listeners {
            let port = listener.port;
            if let Some(open) = open.get(&port) {
                open.routes.send_replace(Arc::new(listener));
                continue;
            }
            match self.listen(listener).await {
                Ok(listener) => {
                    open.insert(port, listener);
                }
                Err(error) => outcome = Err(PortTaken { port, error }),
            }
        }
        outcome
    }

    /// Makes these the targets that there are. What was upgraded, a `WebSocket` for instance, and is connected to another
    /// is cut.
    pub fn cut_others(&self, seated: Seated) {
        self.forwarder.cut_others(seated);
    }

    async fn listen(&self, listener: Listener) -> io::Result<Open> {
        let port = listener.port;
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let (routes, current) = watch::channel(Arc::new(listener));
        let mut accepting = vec![self.accept(v4, current.clone())];
        // `localhost` may mean this one first. Without IPv6, clients fall back to the other.
        if let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
            accepting.push(self.accept(v6, current));
        }
        Ok(Open { routes, accepting })
    }

    fn accept(
        &self,
        listener: TcpListener,
        mut routes: watch::Receiver<Arc<Listener>>,
    ) -> JoinHandle<()> {
        let forwarder = Arc::clone(&self.forwarder);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, peer)) => {
                            let served = serve(stream, peer.ip(), Arc::clone(&forwarder), routes.clone());
                            tokio::spawn(served);
                        }
                        // Out of file descriptors, say: it passes, and nothing else helps.
                        Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    },
                    () = closed(&mut routes) => return,
                }
            }
        })
    }
}

/// The target groups and targets that any rule names.
fn used(listeners: &[Listener]) -> (HashSet<String>, HashSet<SocketAddr>) {
    let actions = listeners.iter().flat_map(|listener| {
        listener
            .rules
            .iter()
            .map(|rule| &rule.action)
            .chain([&listener.default])
    });
    let groups = actions.flat_map(|action| match action {
        Action::Forward(groups) => groups.as_slice(),
        Action::FixedResponse { .. } => &[],
    });
    let (mut arns, mut targets) = (HashSet::new(), HashSet::new());
    for group in groups {
        arns.insert(group.target_group_arn.clone());
        targets.extend(&group.targets);
    }
    (arns, targets)
}

async fn closed(routes: &mut watch::Receiver<Arc<Listener>>) {
    while routes.changed().await.is_ok() {}
}

/// Serves one client, request after request, each by the routes of its moment.
async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    forwarder: Arc<Forwarder>,
    mut routes: watch::Receiver<Arc<Listener>>,
) {
    // Small answers are not to wait for more.
    let _ = stream.set_nodelay(true);
    let idle = forwarder.idle_timeout();
    let current = routes.clone();
    let service = service_fn(|request| {
        let listener = Arc::clone(&current.borrow());
        let forwarder = Arc::clone(&forwarder);
        async move { Ok::<_, Infallible>(forwarder.handle(&listener, peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    // How a client's connection ends is its own affair.
    tokio::select! {
        _ = &mut connection => {}
        () = closed(&mut routes) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
