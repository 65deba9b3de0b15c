//! What the load is put on: an application that answers at once, late and by `WebSocket`, and that can turn unhealthy while
//! it goes on serving.
//!
//! | request | answer |
//! | --- | --- |
//! | `/` | its version |
//! | `/health` | whether it is well |
//! | `/slow?millis=4000` | its version, so much later |
//! | `/echo?seconds=10` | a `WebSocket` that says everything again; after so many seconds it is closed behind an answer. Without `seconds` it stays |
//!
//! `LOAD_START_AFTER` makes it listen that many seconds late; `LOAD_SICK_AFTER` makes its health check fail after that many
//! requests, all of which it answers as before.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

type Answer = Response<Full<Bytes>>;

/// Requests so far, but for health checks.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut stopped = signal(SignalKind::terminate())?;
    tokio::select! {
        served = serve() => served,
        // As the first process of a container it would not end by itself.
        _ = stopped.recv() => Ok(()),
    }
}

async fn serve() -> std::io::Result<()> {
    tokio::time::sleep(Duration::from_secs(number("LOAD_START_AFTER").unwrap_or(0))).await;
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).await?;
    println!("version {} listens on port {port}", version());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream));
    }
}

async fn connection(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    // A client that goes away is its own business.
    let _ = served.await;
}

async fn answer(request: Request<Incoming>) -> Result<Answer, Infallible> {
    if request.uri().path() == "/health" {
        let sick = number("LOAD_SICK_AFTER")
            .is_some_and(|after| REQUESTS.load(Ordering::Relaxed) >= after);
        let status = if sick {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::OK
        };
        return Ok(with_status(status));
    }
    REQUESTS.fetch_add(1, Ordering::Relaxed);
    Ok(match request.uri().path() {
        "/" => about(),
        "/slow" => {
            let millis = queried(&request, "millis").unwrap_or(1000);
            tokio::time::sleep(Duration::from_millis(millis)).await;
            about()
        }
        "/echo" => upgrade(request),
        _ => with_status(StatusCode::NOT_FOUND),
    })
}

/// The server's part of the opening handshake: RFC 6455, section 4.2.2.
fn upgrade(mut request: Request<Incoming>) -> Answer {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return with_status(StatusCode::BAD_REQUEST);
    };
    let Ok(accepted) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) else {
        return with_status(StatusCode::BAD_REQUEST);
    };
    let seconds = queried(&request, "seconds");
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(&mut request).await {
            let stream = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
            echo(socket, seconds.map(Duration::from_secs)).await;
        }
    });
    let mut response = with_status(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    response
}

async fn echo<S>(mut socket: WebSocketStream<S>, at_most: Option<Duration>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let opened = Instant::now();
    while let Some(Ok(message)) = socket.next().await {
        if !message.is_text() {
            continue;
        }
        if socket.send(message).await.is_err() {
            return;
        }
        // Right behind an answer nothing of the client's is under way, so nothing is lost.
        if at_most.is_some_and(|most| opened.elapsed() >= most) {
            let _ = socket.close(None).await;
        }
    }
}

fn about() -> Answer {
    let body = serde_json::json!({"version": version()});
    Response::new(Full::from(format!("{body}\n")))
}

fn with_status(status: StatusCode) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn version() -> String {
    std::env::var("VERSION").unwrap_or_else(|_| "unversioned".to_owned())
}

fn queried(request: &Request<Incoming>, name: &str) -> Option<u64> {
    let pairs = request.uri().query()?.split('&');
    let mut values = pairs.filter_map(|pair| pair.split_once('='));
    values.find(|(key, _)| *key == name)?.1.parse().ok()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
