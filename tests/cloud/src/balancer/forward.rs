//! A request on its way to a target, and the answer on its way back.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{
    CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::answer::{self, Body};
use super::choice::Choice;
use super::connections::{Connections, connect};
use super::{Timeouts, rules};
use crate::metrics::{Counts, Seat};
use crate::routes::{Action, Listener, Seated};

pub(super) struct Forwarder {
    timeouts: Timeouts,
    choice: Choice,
    connections: Arc<Connections>,
    pub(super) counts: Counts,
    /// The targets that there are; none: nobody has said yet.
    seated: watch::Sender<Option<Seated>>,
}

/// Why a target gave no answer.
enum Failure {
    /// The connection ended first: another one may be luckier.
    Closed,
    /// 502.
    Bad,
    /// 504.
    Slow,
}

impl Forwarder {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self {
            timeouts,
            choice: Choice::default(),
            connections: Arc::default(),
            counts: Counts::default(),
            seated: watch::Sender::default(),
        }
    }

    /// Cuts the connections that have become another's than HTTP's and whose target is gone.
    pub(super) fn cut_others(&self, seated: Seated) {
        self.seated.send_replace(Some(seated));
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.timeouts.idle
    }

    /// Forgets target groups and targets that no rule names any more.
    pub(super) fn forget_others(&self, (groups, targets): &(HashSet<String>, HashSet<SocketAddr>)) {
        self.choice.forget_others(groups);
        self.connections.forget_others(targets);
    }

    pub(super) async fn handle(
        &self,
        listener: &Listener,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let host = match (request.uri().host(), request.headers().get(HOST)) {
            (Some(host), _) => host.to_owned(),
            (None, Some(host)) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
            // RFC 9112, section 3.2.
            (None, None) if request.version() == Version::HTTP_11 => {
                return answer::error(StatusCode::BAD_REQUEST);
            }
            (None, None) => String::new(),
        };
        match rules::action(listener, &host, request.uri().path()) {
            Action::FixedResponse {
                status,
                content_type,
                body,
            } => answer::fixed(*status, content_type, body),
            Action::Forward(groups) => match self.choice.target(groups) {
                Some((group, target)) => {
                    let seat = Seat::of(&listener.load_balancer, group);
                    self.counts.requested(&seat);
                    self.forward((&seat, group, target), listener.port, peer, request)
                        .await
                }
                None => answer::error(StatusCode::SERVICE_UNAVAILABLE),
            },
        }
    }

    async fn forward(
        &self,
        (seat, group, target): (&Seat, &str, SocketAddr),
        port: u16,
        peer: IpAddr,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let upgrade = upgrade_of(request.headers());
        let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        rewrite(&mut parts, upgrade, port, peer);
        let began = Instant::now();
        let answered = if client.is_none() && body.is_end_stream() && parts.method.is_safe() {
            self.send_again_if_closed(target, &parts).await
        } else {
            self.send_once(target, parts, body).await
        };
        match answered {
            Ok(response) => {
                self.counts
                    .answered(seat, response.status(), began.elapsed());
                pass_back(response, client, self.until_gone(group, target))
            }
            Err(Failure::Closed | Failure::Bad) => answer::error(StatusCode::BAD_GATEWAY),
            Err(Failure::Slow) => answer::error(StatusCode::GATEWAY_TIMEOUT),
        }
    }

    /// Until its time to drain is over.
    fn until_gone(&self, group: &str, target: SocketAddr) -> impl Future<Output = ()> + use<> {
        let mut seated = self.seated.subscribe();
        let seat = (group.to_owned(), target);
        async move {
            let gone = |seated: &Option<Seated>| {
                seated
                    .as_ref()
                    .is_some_and(|seated| !seated.contains(&seat))
            };
            // Without a load balancer there are no connections either.
            let _ = seated.wait_for(gone).await;
        }
    }

    /// For a request that may be repeated: it may use a connection that was kept, which the target may be closing
    /// at this very moment, and then it is sent again on a new one.
    async fn send_again_if_closed(
        &self,
        target: SocketAddr,
        parts: &Parts,
    ) -> Result<Response<Incoming>, Failure> {
        let request = || {
            let mut request = Request::new(answer::body(Bytes::new()));
            request.method_mut().clone_from(&parts.method);
            request.uri_mut().clone_from(&parts.uri);
            request.headers_mut().clone_from(&parts.headers);
            request
        };
        if let Some(kept) = self.connections.idle(target, self.timeouts.idle) {
            match self
                .send(target, kept, request(), &Activity::default())
                .await
            {
                Err(Failure::Closed) => {}
                answered => return answered,
            }
        }
        let fresh = self.connect(target).await?;
        self.send(target, fresh, request(), &Activity::default())
            .await
    }

    /// For a request that may not be repeated, as it has a body or an effect: always on a new connection, which no
    /// keep-alive limit of the target's is about to close.
    async fn send_once(
        &self,
        target: SocketAddr,
        parts: Parts,
        body: Incoming,
    ) -> Result<Response<Incoming>, Failure> {
        let fresh = self.connect(target).await?;
        let activity = Activity::default();
        let body = Watched {
            body,
            activity: activity.clone(),
        };
        let request = Request::from_parts(parts, body.boxed());
        self.send(target, fresh, request, &activity).await
    }

    async fn connect(&self, target: SocketAddr) -> Result<SendRequest<Body>, Failure> {
        let connected = connect(target, self.timeouts.connect).await;
        connected.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Failure::Slow,
            _ => Failure::Bad,
        })
    }

    async fn send(
        &self,
        target: SocketAddr,
        mut sender: SendRequest<Body>,
        request: Request<Body>,
        activity: &Activity,
    ) -> Result<Response<Incoming>, Failure> {
        sender.ready().await.map_err(|_| Failure::Closed)?;
        let answered = {
            let answer = sender.send_request(request);
            tokio::pin!(answer);
            loop {
                let deadline = activity.last() + self.timeouts.idle;
                tokio::select! {
                    answered = &mut answer => break answered,
                    () = sleep_until(deadline) => {
                        if activity.last() + self.timeouts.idle <= Instant::now() {
                            return Err(Failure::Slow);
                        }
                    }
                }
            }
        };
        let response = answered.map_err(|error| {
            if error.is_parse() {
                Failure::Bad
            } else {
                Failure::Closed
            }
        })?;
        let connections = Arc::clone(&self.connections);
        tokio::spawn(async move {
            // When all of the answer has passed.
            if sender.ready().await.is_ok() {
                connections.keep(target, sender);
            }
        });
        Ok(response)
    }
}

/// What the client wants to speak instead of HTTP, such as `websocket`.
fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = connection_options(headers).any(|option| option == "upgrade");
    headers.get(UPGRADE).filter(|_| asked).cloned()
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
}

/// Takes out what concerns one connection only: RFC 9110, section 7.6.1.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<String> = connection_options(headers).collect();
    for name in named {
        headers.remove(name);
    }
    let more = ["keep-alive", "proxy-connection"].map(HeaderName::from_static);
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE]
        .into_iter()
        .chain(more)
    {
        headers.remove(name);
    }
}

/// Makes of the client's request the one that the target gets.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html>
fn rewrite(parts: &mut Parts, upgrade: Option<HeaderValue>, port: u16, peer: IpAddr) {
    let host = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().to_owned());
    let path = parts.uri.path_and_query().cloned();
    parts.uri = path.map_or_else(Uri::default, Uri::from);
    parts.version = Version::HTTP_11;
    let headers = &mut parts.headers;
    remove_hop_by_hop(headers);
    // This end has said 100 already, when it began to read the body.
    headers.remove(EXPECT);
    if let Some(host) = host.and_then(|host| HeaderValue::from_str(&host).ok()) {
        headers.insert(HOST, host);
    }
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
    let before = headers.get_all("x-forwarded-for").into_iter();
    let mut hops: Vec<String> = before
        .filter_map(|hop| hop.to_str().ok())
        .map(ToOwned::to_owned)
        .collect();
    hops.push(peer.to_string());
    if let Ok(hops) = HeaderValue::from_str(&hops.join(", ")) {
        headers.insert("x-forwarded-for", hops);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    headers.insert("x-forwarded-port", HeaderValue::from(port));
}

fn pass_back(
    mut response: Response<Incoming>,
    client: Option<OnUpgrade>,
    gone: impl Future<Output = ()> + Send + 'static,
) -> Response<Body> {
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let upgrade = response.headers().get(UPGRADE).cloned();
    remove_hop_by_hop(response.headers_mut());
    if switched {
        let Some(client) = client else {
            // Nobody had asked for it.
            return answer::error(StatusCode::BAD_GATEWAY);
        };
        let target = hyper::upgrade::on(&mut response);
        tokio::spawn(join(client, target, gone));
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(upgrade) = upgrade {
            headers.insert(UPGRADE, upgrade);
        }
    }
    response.map(BodyExt::boxed)
}

/// Passes bytes both ways until both ends are done, or one is gone. It stays with its target whatever the rules say, while
/// that drains as well, and no longer.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html#deregistration-delay>
async fn join(client: OnUpgrade, target: OnUpgrade, gone: impl Future<Output = ()>) {
    if let (Ok(client), Ok(target)) = tokio::join!(client, target) {
        let (mut client, mut target) = (TokioIo::new(client), TokioIo::new(target));
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut target) => {}
            () = gone => {}
        }
    }
}

/// When something last went by: a slow upload is not an idle connection.
#[derive(Clone, Debug)]
struct Activity(Arc<Mutex<Instant>>);

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Activity {
    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// A request's body that says when it moves.
struct Watched {
    body: Incoming,
    activity: Activity,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_ready() {
            self.activity.now();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
