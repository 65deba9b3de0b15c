//! What stands in for AWS: HTTPS, with a port for each service, as each has a host and so connections of its own.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use exuvia_slack_stand_in::Slack;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::recordings::Recorded;
use super::replay::{Made, Replay};

/// The services by what the SDK calls them in environment variables:
/// <https://docs.aws.amazon.com/sdkref/latest/guide/ss-endpoints-table.html>.
const SERVICES: [&str; 9] = [
    "AUTO_SCALING",
    "CLOUDWATCH",
    "ELASTIC_LOAD_BALANCING_V2",
    "KMS",
    "S3",
    "SFN",
    "SNS",
    "SQS",
    "SSM",
];

/// It ends when this is dropped.
pub(crate) struct Endpoint {
    replay: Arc<Mutex<Replay>>,
    slack: Arc<Mutex<Option<Slack>>>,
    ports: Vec<(&'static str, u16)>,
    slack_port: u16,
    answers_in: Duration,
    serving: Vec<AbortHandle>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        for one in &self.serving {
            one.abort();
        }
    }
}

impl Endpoint {
    pub(crate) async fn start(server: &Arc<ServerConfig>, answers_in: Duration) -> Result<Self> {
        let mut endpoint = Self {
            replay: Arc::default(),
            slack: Arc::default(),
            ports: Vec::new(),
            slack_port: 0,
            answers_in,
            serving: Vec::new(),
        };
        for service in SERVICES {
            let port = endpoint.listen(server).await?;
            endpoint.ports.push((service, port));
        }
        endpoint.slack_port = endpoint.listen(server).await?;
        Ok(endpoint)
    }

    async fn listen(&mut self, server: &Arc<ServerConfig>) -> Result<u16> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(Arc::clone(server));
        let (replay, slack) = (Arc::clone(&self.replay), Arc::clone(&self.slack));
        let answers_in = self.answers_in;
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = Connection {
                    replay: Arc::clone(&replay),
                    slack: Arc::clone(&slack),
                    answers_in,
                };
                tokio::spawn(connection.serve(acceptor.clone(), stream));
            }
        });
        self.serving.push(serving.abort_handle());
        Ok(port)
    }

    /// The environment variables by which a function finds it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        let url = |port: u16| format!("https://127.0.0.1:{port}");
        let services = self.ports.iter();
        let services =
            services.map(move |(name, port)| (format!("AWS_ENDPOINT_URL_{name}"), url(*port)));
        let slack = (exuvia_core::slack::SERVER.to_owned(), url(self.slack_port));
        services.chain([slack])
    }

    /// Begins a recording from its first answer, with a workspace in Slack that nothing was said in.
    pub(crate) async fn begin(&self, recorded: &Recorded) -> Result<()> {
        *lock(&self.replay) = Replay::of(&recorded.exchanges);
        let slack = if recorded.asks_slack {
            Some(Slack::start().await?)
        } else {
            None
        };
        *lock(&self.slack) = slack;
        Ok(())
    }

    /// What came since then.
    pub(crate) fn end(&self) -> Replay {
        std::mem::take(&mut *lock(&self.replay))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Connection {
    replay: Arc<Mutex<Replay>>,
    slack: Arc<Mutex<Option<Slack>>>,
    answers_in: Duration,
}

impl Connection {
    async fn serve(self, acceptor: TlsAcceptor, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(stream) = acceptor.accept(stream).await else {
            return;
        };
        let service = service_fn(|request| self.respond(request));
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn respond(
        &self,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
        let began = Instant::now();
        let response = self.answer(request).await.unwrap_or_else(|error| {
            let mut response = hyper::Response::new(Full::from(format!("{error:#}")));
            *response.status_mut() = hyper::StatusCode::NOT_IMPLEMENTED;
            response
        });
        tokio::time::sleep(self.answers_in.saturating_sub(began.elapsed())).await;
        lock(&self.replay).made.push(Made {
            began,
            ended: Instant::now(),
        });
        Ok(response)
    }

    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Full<Bytes>>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        if parts.uri.path().starts_with("/api/") {
            let request = hyper::Request::from_parts(parts, Full::from(body));
            return self.ask_slack(request).await;
        }
        let request = hyper::Request::from_parts(parts, body.to_vec());
        let answer = lock(&self.replay).answer(&request);
        let answer = answer.context("nothing was recorded for this")?;
        Ok(answer.map(Full::from))
    }

    async fn ask_slack(
        &self,
        mut request: hyper::Request<Full<Bytes>>,
    ) -> Result<hyper::Response<Full<Bytes>>> {
        let url = lock(&self.slack).as_ref().map(Slack::url);
        let url = url.context("Slack was not asked when this was recorded")?;
        *request.uri_mut() = format!("{url}{}", request.uri().path()).parse()?;
        let client: Client<HttpConnector, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).build_http();
        let (parts, body) = client.request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(hyper::Response::from_parts(parts, Full::from(body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::authority::Authority;
    use exuvia_simulation::recording::Exchange;
    use hyper::{Method, Request};
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use serde_json::json;
    use tokio_rustls::TlsConnector;

    struct Stage {
        endpoint: Endpoint,
        connector: TlsConnector,
        directory: std::path::PathBuf,
    }

    impl Drop for Stage {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    /// With a client that trusts what `SSL_CERT_FILE` would say.
    async fn stage(name: &str) -> Stage {
        let directory = std::env::temp_dir().join(format!("exuvia-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let authority = Authority::new(&directory).unwrap();
        let endpoint = Endpoint::start(&authority.server, Duration::ZERO)
            .await
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let known = CertificateDer::pem_file_iter(&authority.roots).unwrap();
        roots.add_parsable_certificates(known.map(Result::unwrap));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Stage {
            endpoint,
            connector: TlsConnector::from(Arc::new(client)),
            directory,
        }
    }

    impl Stage {
        async fn ask(&self, variable: &str, method: Method, path: &str) -> (u16, String) {
            let mut variables = self.endpoint.variables();
            let (_, url) = variables.find(|(name, _)| name == variable).unwrap();
            let stream = TcpStream::connect(url.strip_prefix("https://").unwrap());
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let stream = self.connector.connect(name, stream.await.unwrap());
            let stream = TokioIo::new(stream.await.unwrap());
            let handshake = hyper::client::conn::http1::handshake(stream);
            let (mut sender, connection) = handshake.await.unwrap();
            tokio::spawn(connection);
            let credential = "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/s3/aws4_request, y";
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", "127.0.0.1")
                .header("authorization", credential)
                .header("content-type", "application/json; charset=utf-8")
                .body(Full::<Bytes>::from("{}"))
                .unwrap();
            let answer = sender.send_request(request).await.unwrap();
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    }

    fn recorded(exchanges: &[&str], asks_slack: bool) -> Recorded {
        let exchanges = exchanges.iter().map(|body| Exchange {
            service: "s3".to_owned(),
            operation: "GetObject".to_owned(),
            method: "GET".to_owned(),
            path: "/ledger/live.json".to_owned(),
            answer: hyper::Response::new((*body).into()),
        });
        Recorded {
            input: json!({}),
            exchanges: exchanges.collect(),
            asks_slack,
        }
    }

    #[tokio::test]
    async fn what_was_recorded_is_answered_again_for_each_invocation() {
        let stage = stage("answered").await;
        let recorded = recorded(&["first", "second"], false);
        for _ in 0..2 {
            stage.endpoint.begin(&recorded).await.unwrap();
            for expected in ["first", "second"] {
                let answer = stage.ask("AWS_ENDPOINT_URL_S3", Method::GET, "/ledger/live.json");
                assert_eq!(answer.await, (200, expected.to_owned()));
            }
            assert_eq!(stage.endpoint.end().made.len(), 2);
        }
    }

    #[tokio::test]
    async fn whatever_differs_from_the_recording_is_an_error() {
        let stage = stage("differs").await;
        stage
            .endpoint
            .begin(&recorded(&["one"], false))
            .await
            .unwrap();
        let fewer = stage.endpoint.end();
        assert!(fewer.as_recorded(false).is_ok());
        let missing = fewer.as_recorded(true).err().unwrap().to_string();
        assert!(missing.contains("did not call"), "{missing}");

        stage.endpoint.begin(&recorded(&[], false)).await.unwrap();
        let answer = stage.ask("AWS_ENDPOINT_URL_S3", Method::PUT, "/ledger/lock.json");
        assert_eq!(answer.await.0, 501);
        let more = stage.endpoint.end().as_recorded(false);
        let more = more.err().unwrap().to_string();
        assert!(more.contains("s3:PutObject /ledger/lock.json"), "{more}");
    }

    #[tokio::test]
    async fn slack_is_asked_only_by_what_was_recorded_with_it() {
        let stage = stage("slack").await;
        let variable = exuvia_core::slack::SERVER;
        let path = "/api/chat.postMessage";
        stage.endpoint.begin(&recorded(&[], true)).await.unwrap();
        let (status, body) = stage.ask(variable, Method::POST, path).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("\"ok\":false"), "{body}");
        assert_eq!(stage.endpoint.end().made.len(), 1);

        stage.endpoint.begin(&recorded(&[], false)).await.unwrap();
        assert_eq!(stage.ask(variable, Method::POST, path).await.0, 501);
    }
}
