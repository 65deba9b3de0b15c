//! Little servers to stand behind the load balancer, and a client that sends what it is told, byte by byte.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode};

use super::*;
use crate::balancer::answer::Body;

/// A target; its server ends with the test.
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    connections: Arc<AtomicUsize>,
}

fn text(text: String) -> Response<Body> {
    Response::new(
        Full::new(Bytes::from(text))
            .map_err(|never: Infallible| match never {})
            .boxed(),
    )
}

impl Target {
    /// How many connections it got.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    async fn serving<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(handle(stream));
            }
        });
        Self { addr, connections }
    }

    async fn http<F>(
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::serving(move |stream| {
            let answer = answer.clone();
            async move {
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let _ = connection.with_upgrades().await;
            }
        })
        .await
    }

    /// Says its name and what was asked.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::slow(name, Duration::ZERO).await
    }

    pub(crate) async fn slow(name: &'static str, delay: Duration) -> Self {
        Self::http(move |request| async move {
            tokio::time::sleep(delay).await;
            text(format!("{name} {}", request.uri()))
        })
        .await
    }

    pub(crate) async fn echoing_headers() -> Self {
        Self::http(|request| async move {
            let lines = request.headers().iter();
            let lines = lines.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            text(lines.collect::<Vec<_>>().join("\n"))
        })
        .await
    }

    /// Begins to answer before the request is all there.
    pub(crate) async fn echoing_bodies() -> Self {
        Self::http(|request| async move { Response::new(request.into_body().boxed()) }).await
    }

    pub(crate) async fn upgrading() -> Self {
        Self::http(|mut request| async move {
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut stream = TokioIo::new(upgraded.await.unwrap());
                let mut buffer = [0; 100];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    stream.write_all(b"you said ").await.unwrap();
                    stream.write_all(&buffer[..read]).await.unwrap();
                }
            });
            let mut response = text(String::new());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            for name in ["connection", "upgrade"] {
                let value = request.headers()[name].clone();
                response.headers_mut().insert(name, value);
            }
            response
        })
        .await
    }

    pub(crate) async fn closing_on_the_second_request() -> Self {
        Self::serving(|mut stream| async move {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap_or(0);
            if buffer[..read].starts_with(b"POST") && !buffer[..read].ends_with(b"abc") {
                let _ = stream.read(&mut buffer).await;
            }
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            let _ = stream.read(&mut buffer).await;
        })
        .await
    }

    /// Answers every connection with these bytes and closes it, or never.
    pub(crate) async fn answering(answer: Option<&'static str>) -> Self {
        Self::serving(move |mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                None => tokio::time::sleep(Duration::from_mins(1)).await,
            }
        })
        .await
    }

    /// An address at which nobody listens.
    pub(crate) async fn gone() -> Self {
        let addr = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        Self {
            addr,
            connections: Arc::default(),
        }
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// One connection to the load balancer.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
}

pub(crate) async fn get(port: u16, path: &str) -> Answer {
    Client::connect(port).await.get("x", path).await
}

impl Client {
    pub(crate) async fn connect(port: u16) -> Self {
        Self {
            stream: TcpStream::connect(("127.0.0.1", port)).await.unwrap(),
            unread: Vec::new(),
        }
    }

    pub(crate) async fn get(&mut self, host: &str, path: &str) -> Answer {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await
    }

    /// Sends this and reads an answer that has a Content-Length.
    pub(crate) async fn request(&mut self, request: &str) -> Answer {
        self.write(request).await;
        let head = self.read_until("\r\n\r\n").await;
        let mut headers = HeaderMap::new();
        for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap();
            let name: hyper::header::HeaderName = name.parse().unwrap();
            headers.insert(name, value.parse().unwrap());
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = if headers.contains_key("content-length") {
            let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
            while self.unread.len() < length {
                self.read().await;
            }
            String::from_utf8(self.unread.drain(..length).collect()).unwrap()
        } else {
            let body = self.read_until("\r\n0\r\n\r\n").await;
            unchunked(&body)
        };
        Answer {
            status,
            headers,
            body,
        }
    }

    pub(crate) async fn write(&mut self, bytes: &str) {
        // The target may answer while it is being asked.
        let (mut reader, mut writer) = self.stream.split();
        let mut buffer = vec![0; 1 << 16];
        let mut left = bytes.as_bytes();
        while !left.is_empty() {
            tokio::select! {
                wrote = writer.write(left) => left = &left[wrote.unwrap()..],
                read = reader.read(&mut buffer) => self.unread.extend(&buffer[..read.unwrap()]),
            }
        }
    }

    /// Reads up to this, and including it.
    pub(crate) async fn read_until(&mut self, end: &str) -> String {
        let mut seen = 0;
        loop {
            let found = self.unread[seen..]
                .windows(end.len())
                .position(|part| part == end.as_bytes());
            if let Some(found) = found {
                let read = self.unread.drain(..seen + found + end.len()).collect();
                return String::from_utf8(read).unwrap();
            }
            seen = self.unread.len().saturating_sub(end.len());
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let mut buffer = vec![0; 1 << 16];
        let reading = tokio::time::timeout(Duration::from_secs(10), self.stream.read(&mut buffer));
        let read = reading.await.expect("an answer is due").unwrap();
        assert!(
            read > 0,
            "the load balancer closed the connection after {:?}",
            self.unread
        );
        self.unread.extend(&buffer[..read]);
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        let read = tokio::time::timeout(Duration::from_secs(5), self.stream.read(&mut [0])).await;
        matches!(read, Ok(Ok(0)))
    }
}

fn unchunked(body: &str) -> String {
    let mut plain = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        plain += &after[..size];
        rest = &after[(size + 2).min(after.len())..];
    }
    plain
}

/// A header of a head as it was read.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}
