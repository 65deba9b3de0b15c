//! The workspace behind HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::view;
use crate::workspace::{Answer, Behaviour, Workspace};

const MOST_BYTES: usize = 1 << 20;

/// Serves until it is dropped.
pub struct Slack {
    address: SocketAddr,
    workspace: Arc<Mutex<Workspace>>,
    serving: AbortHandle,
}

impl Drop for Slack {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Slack {
    /// On a free port of loopback.
    pub async fn start() -> std::io::Result<Self> {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub async fn listen(address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let workspace = Arc::new(Mutex::new(Workspace::default()));
        let shared = workspace.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, shared.clone()));
            }
        });
        Ok(Self {
            address,
            workspace,
            serving: serving.abort_handle(),
        })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn workspace(&self) -> MutexGuard<'_, Workspace> {
        lock(&self.workspace)
    }
}

fn lock(workspace: &Mutex<Workspace>) -> MutexGuard<'_, Workspace> {
    workspace.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connection(stream: TcpStream, workspace: Arc<Mutex<Workspace>>) {
    let cut = Arc::new(Notify::new());
    let service = service_fn(|request| respond(request, workspace.clone(), cut.clone()));
    let serve =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = serve => {}
        // Without an answer, the stream is dropped.
        () = cut.notified() => {}
    }
}

async fn respond(
    request: Request<Incoming>,
    workspace: Arc<Mutex<Workspace>>,
    cut: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, MOST_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(response(413, None, String::new())),
    };
    let path = parts.uri.path();
    match (&parts.method, path) {
        (&Method::GET, "/conversation") => {
            let told = json!(lock(&workspace).messages).to_string();
            return Ok(response(200, None, told));
        }
        (&Method::GET, "/") => {
            let page = view::page(&lock(&workspace).messages);
            return Ok(response(200, None, page));
        }
        // {"always": {"slow": 5}}, {"next": ["down", {"error": "invalid_auth"}]}, {"always": null}
        (&Method::POST, "/behaviour") => return Ok(behave(&body, &mut lock(&workspace))),
        (&Method::POST, _) => {}
        _ => return Ok(response(405, None, "method_not_allowed".to_owned())),
    }
    let token = parts
        .headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    let answer = lock(&workspace).answer(path, token, &body, Instant::now());
    let Some(Answer {
        status,
        retry_after,
        body,
        delay_seconds,
    }) = answer
    else {
        cut.notify_one();
        return std::future::pending().await;
    };
    tokio::time::sleep(Duration::from_secs(delay_seconds)).await;
    Ok(response(status, retry_after, body))
}

fn behave(body: &[u8], workspace: &mut Workspace) -> Response<Full<Bytes>> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        #[serde(default)]
        always: Option<Behaviour>,
        #[serde(default)]
        next: Vec<Behaviour>,
    }
    match serde_json::from_slice::<Wanted>(body) {
        Ok(wanted) => {
            workspace.always = wanted.always;
            workspace.next = wanted.next.into();
            response(200, None, "ok".to_owned())
        }
        Err(error) => response(400, None, error.to_string()),
    }
}

fn response(status: u16, retry_after: Option<u64>, body: String) -> Response<Full<Bytes>> {
    let mut builder = Response::builder().status(status);
    if let Some(seconds) = retry_after {
        builder = builder.header("retry-after", seconds);
    }
    let kind = match body.chars().next() {
        Some('{' | '[') => "application/json",
        Some('<') => "text/html; charset=utf-8",
        _ => "text/plain",
    };
    builder
        .header("content-type", kind)
        .body(Full::from(body))
        .unwrap_or_default()
}
