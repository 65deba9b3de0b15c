//! One HTTP endpoint for all of AWS: Auto Scaling and Elastic Load Balancing are answered here, everything else is
//! passed on as it comes.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri,
    body::{Bytes, Incoming},
    header,
    http::request::Parts,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::json;
use tokio::net::TcpListener;
use tracing::{debug, warn};

use crate::{
    ec2,
    runtime::Runtime,
    wire::{self, Answer, Service},
};

type Body = BoxBody<Bytes, hyper::Error>;

/// No request of the two services is larger.
const MOST_BYTES: usize = 1 << 20;

/// The way to the other local AWS.
struct Upstream {
    /// `http://127.0.0.1:4566`, without a slash at the end.
    url: String,
    client: Client<HttpConnector, Body>,
    tally: Tally,
}

/// How many requests there have been, for those who measure.
#[derive(Default)]
struct Tally {
    /// Of Auto Scaling and Elastic Load Balancing.
    answered: AtomicU64,
    passed_on: AtomicU64,
}

impl Tally {
    fn told(&self) -> String {
        let [answered, passed_on] =
            [&self.answered, &self.passed_on].map(|count| count.load(Ordering::Relaxed));
        format!("{}\n", json!({"answered": answered, "passedOn": passed_on}))
    }
}

/// Serves for as long as the process lives.
///
/// # Errors
/// If `listener` no longer accepts.
pub async fn serve(
    listener: TcpListener,
    runtime: Runtime,
    upstream: &str,
) -> std::io::Result<Infallible> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    // A kept connection that the other side is just closing loses a request; on loopback a new one costs nothing.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    let upstream = Arc::new(Upstream {
        url: upstream.trim_end_matches('/').to_owned(),
        client,
        tally: Tally::default(),
    });
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            // One connection that was given up before it was accepted is not the end.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let (runtime, upstream) = (runtime.clone(), Arc::clone(&upstream));
        tokio::spawn(async move {
            let service = service_fn(|request| handle(request, &runtime, &upstream));
            let connection = hyper::server::conn::http1::Builder::new();
            if let Err(error) = connection
                .serve_connection(TokioIo::new(stream), service)
                .await
            {
                debug!(%error, "connection ended");
            }
        });
    }
}

async fn handle(
    request: Request<Incoming>,
    runtime: &Runtime,
    upstream: &Upstream,
) -> Result<Response<Body>, Infallible> {
    Ok(match request.uri().path() {
        "/_exuvia/health" => respond(StatusCode::OK, "text/plain", "ready\n"),
        "/_exuvia/state" => {
            let summary = runtime.summary().await;
            respond(StatusCode::OK, "application/json", format!("{summary:#}\n"))
        }
        "/_exuvia/requests" => respond(StatusCode::OK, "application/json", upstream.tally.told()),
        _ => match scope(request.headers()).and_then(Service::from_scope) {
            Some(service) => {
                upstream.tally.answered.fetch_add(1, Ordering::Relaxed);
                ours(service, request, runtime).await
            }
            None if scope(request.headers()) == Some("ec2") => {
                of_ec2(request, runtime, upstream).await
            }
            None => forward(request.map(BodyExt::boxed), upstream).await,
        },
    })
}

/// The service in `Credential=<key>/<date>/<region>/<service>/aws4_request`.
fn scope(headers: &HeaderMap) -> Option<&str> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split([',', ' ']).next()?.split('/').nth(3)
}

/// Whose request it is: the first part of that.
fn access_key(headers: &HeaderMap) -> &str {
    let authorization = headers.get(header::AUTHORIZATION);
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let credential = authorization.and_then(|value| value.split_once("Credential="));
    let key = credential.and_then(|(_, credential)| credential.split('/').next());
    key.unwrap_or_default()
}

async fn ours(service: Service, request: Request<Incoming>, runtime: &Runtime) -> Response<Body> {
    let (Parts { uri, headers, .. }, body) = request.into_parts();
    let body = match whole(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    // The protocol allows parameters in either place.
    let query = uri.query().unwrap_or_default();
    let form = format!("{query}&{}", String::from_utf8_lossy(&body));
    let Answer { status, body } = runtime.answer(access_key(&headers), service, &form).await;
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(status, "text/xml", body)
}

/// EC2 is the other local AWS's, but for what only concerns the machines.
async fn of_ec2(
    request: Request<Incoming>,
    runtime: &Runtime,
    upstream: &Upstream,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = match whole(body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let form = String::from_utf8_lossy(&body);
    if wire::parameter(&form, "Action").as_deref() == Some("RebootInstances") {
        let ids: Vec<String> = (1..)
            .map_while(|n| wire::parameter(&form, &format!("InstanceId.{n}")))
            .collect();
        let Answer { status, body } = ec2::rebooted(runtime.reboot(&ids));
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return respond(status, "text/xml", body);
    }
    let body = Full::new(body).map_err(|never| match never {}).boxed();
    forward(Request::from_parts(parts, body), upstream).await
}

async fn whole(body: Incoming) -> Result<Bytes, Response<Body>> {
    match Limited::new(body, MOST_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(respond(
            StatusCode::BAD_REQUEST,
            "text/plain",
            format!("The request's body: {error}\n"),
        )),
    }
}

/// Passes a request on with all its headers, `Host` as well, because they are signed. Nothing is held back: both
/// bodies stream.
async fn forward(request: Request<Body>, upstream: &Upstream) -> Response<Body> {
    upstream.tally.passed_on.fetch_add(1, Ordering::Relaxed);
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let uri = match format!("{}{path}", upstream.url).parse::<Uri>() {
        Ok(uri) => uri,
        Err(error) => {
            return respond(
                StatusCode::BAD_REQUEST,
                "text/plain",
                format!("{path}: {error}\n"),
            );
        }
    };
    let (mut parts, body) = request.into_parts();
    parts.uri = uri;
    match upstream
        .client
        .request(Request::from_parts(parts, body))
        .await
    {
        Ok(response) => {
            let mut response = response.map(BodyExt::boxed);
            // It speaks of the other connection, not of this one.
            response.headers_mut().remove(header::CONNECTION);
            response
        }
        Err(error) => {
            warn!(?error, upstream = upstream.url, "no answer");
            let text = format!("exuvia-cloud: no answer from {}: {error}\n", upstream.url);
            respond(StatusCode::BAD_GATEWAY, "text/plain", text)
        }
    }
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into())
        .map_err(|never| match never {})
        .boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
