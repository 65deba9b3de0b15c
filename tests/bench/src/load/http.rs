//! One request on a connection of its own.

use std::time::Duration;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Longer than anything here takes to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The status and the body.
pub(super) async fn get(url: &str, host: Option<&str>) -> Result<(StatusCode, String)> {
    let mut request = Request::get(url);
    if let Some(host) = host {
        request = request.header("host", host);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build_http();
    let answer = async {
        let response = client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .with_context(|| format!("{url} does not answer"))?
        .with_context(|| format!("{url} gives no answer"))
}
