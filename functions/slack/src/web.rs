//! Requests to Slack, and nothing but these: no redirect is followed, and no other host is asked.
//!
//! hyper with rustls is what the AWS SDK brings already.

use std::error::Error;
use std::sync::OnceLock;
use std::time::Duration;

use exuvia_core::slack::answer::{Answer, Failure};
use exuvia_core::slack::credential::{Bot, Secret};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

const CONNECT: Duration = Duration::from_secs(3);
/// From the look-up of its address to the end of its answer.
pub(crate) const WHOLE: Duration = Duration::from_secs(10);
/// An answer has a copy of the message.
const MOST_BYTES: usize = 256 * 1024;

type Https = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

pub(crate) struct Web {
    /// Made for the first request: it reads all certificates that the operating system trusts.
    client: OnceLock<Https>,
    /// In place of Slack's hosts.
    server: Option<String>,
}

impl Web {
    pub(crate) fn new(server: Option<String>) -> Self {
        Self {
            client: OnceLock::new(),
            server: server.map(|server| server.trim_end_matches('/').to_owned()),
        }
    }

    fn client(&self) -> Result<&Https, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.enforce_http(false);
        let provider = rustls::crypto::ring::default_provider();
        let builder = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| {
                unavailable(&format!(
                    "the certificates of this function's operating system cannot be read: {error}"
                ))
            })?;
        let builder = match self.server {
            Some(_) => builder.https_or_http(),
            None => builder.https_only(),
        };
        let connector = builder.enable_http1().wrap_connector(connector);
        // Between two invocations a process may stand still for hours, and a kept connection is dead then.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Ok(self.client.get_or_init(|| client))
    }

    /// Calls a method of the Web API.
    pub(crate) async fn call(
        &self,
        bot: &Bot,
        method: &str,
        arguments: &Value,
    ) -> Result<Answer, Failure> {
        let server = self.server.as_deref().unwrap_or(bot.server);
        let url = format!("{server}/api/{method}");
        self.post(&url, Some(&bot.token), arguments).await
    }

    pub(crate) async fn post_to_webhook(
        &self,
        webhook: &Secret,
        message: &Value,
    ) -> Result<Answer, Failure> {
        let url = match &self.server {
            None => webhook.expose().to_owned(),
            Some(server) => {
                let path = webhook.expose().splitn(4, '/').last().unwrap_or_default();
                format!("{server}/{path}")
            }
        };
        self.post(&url, None, message).await
    }

    async fn post(
        &self,
        url: &str,
        token: Option<&Secret>,
        body: &Value,
    ) -> Result<Answer, Failure> {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        let mut request = Request::post(url).header(CONTENT_TYPE, json);
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let mut value = value.map_err(|_| unavailable("its token is no header"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .body(Full::from(body.to_string()))
            .map_err(|_| unavailable("its address is none"))?;
        match tokio::time::timeout(WHOLE, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(unavailable(&format!(
                "it has not answered within {} s",
                WHOLE.as_secs()
            ))),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let response = self.client()?.request(request).await;
        let response = response.map_err(|error| unavailable(&chain(&error)))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let body = Limited::new(response.into_body(), MOST_BYTES)
            .collect()
            .await;
        let body = body.map_err(|error| unavailable(&chain(error.as_ref())))?;
        Ok(Answer {
            status,
            retry_after,
            body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        })
    }
}

fn unavailable(problem: &str) -> Failure {
    Failure::Unavailable(problem.to_owned())
}

/// An error with what caused it. hyper's tell of connections, never of the request.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
