//! The program, started on ports of its own, with an echo for the other AWS behind it.

use std::{
    collections::HashMap, convert::Infallible, net::SocketAddr, process::ExitStatus, time::Duration,
};

use aws_config::{BehaviorVersion, Region};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use nix::{sys::signal, unistd::Pid};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

pub(crate) struct Cloud {
    pub(crate) address: SocketAddr,
    pub(crate) scaling: aws_sdk_autoscaling::Client,
    pub(crate) balancing: aws_sdk_elasticloadbalancingv2::Client,
    process: Child,
    state_dir: std::path::PathBuf,
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        let upstream = serve(echo).await;
        Self::start_before(&format!("http://127.0.0.1:{upstream}")).await
    }

    /// At a speed at which nobody waits for a health check.
    pub(crate) async fn start_before(upstream: &str) -> Self {
        let state_dir = std::env::temp_dir().join(format!(
            "exuvia-front-{}-{}",
            std::process::id(),
            free_port()
        ));
        let mut process = Command::new(env!("CARGO_BIN_EXE_exuvia-cloud"))
            .args([
                "--listen",
                "127.0.0.1:0",
                "--speed",
                "100",
                "--upstream",
                upstream,
                "--state-dir",
            ])
            .arg(&state_dir)
            .env("RUST_LOG", "warn")
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let url = line.strip_prefix("exuvia-cloud ready on ").unwrap();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::new("us-east-1"))
            .credentials_provider(aws_sdk_s3::config::Credentials::new(
                "test", "test", None, None, "test",
            ))
            .load()
            .await;
        Self {
            address: url.strip_prefix("http://").unwrap().parse().unwrap(),
            scaling: aws_sdk_autoscaling::Client::new(&config),
            balancing: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            process,
            state_dir,
        }
    }

    pub(crate) async fn state(&self) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = "GET /_exuvia/state HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        read(stream).await.body
    }

    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.process.id().unwrap().try_into().unwrap());
        signal::kill(pid, signal::Signal::SIGTERM).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.process.wait())
            .await
            .unwrap()
            .unwrap()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.state_dir);
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits for something to hold, for 20 s at most.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not hold after 20 s");
}

/// A server that answers every request with its name; its port.
pub(crate) async fn server(name: &'static str) -> u16 {
    serve(move |_| async move { Ok(Response::new(Full::from(name))) }).await
}

/// Tells what it got.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let header = |name: &str| {
        parts
            .headers
            .get(name)
            .map_or("none", |value| value.to_str().unwrap())
            .to_owned()
    };
    let (host, auth) = (header("host"), header("authorization"));
    let length = body.collect().await.unwrap().to_bytes().len();
    let response = Response::builder().status(299).header("x-upstream", "yes");
    let text = format!(
        "{} {} host={host} body={length} auth={auth}",
        parts.method, parts.uri
    );
    Ok(response.body(Full::from(text)).unwrap())
}

async fn serve<F, R>(answer: F) -> u16
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(answer.clone());
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    port
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// One request byte by byte, as no client library would let it be.
pub(crate) async fn raw(address: SocketAddr, method: &str, head: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} /b/k?a=%2F&b HTTP/1.1\r\nhost: bucket.local\r\nconnection: close\r\n{head}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    read(stream).await
}

/// Status and body that a listener answers.
pub(crate) async fn get(port: u16) -> (u16, String) {
    let answer = raw(([127, 0, 0, 1], port).into(), "GET", "", b"").await;
    (answer.status, answer.body)
}

async fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let lines = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "));
    let headers = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Answer {
        status,
        headers: headers.collect(),
        body: body.to_owned(),
    }
}
