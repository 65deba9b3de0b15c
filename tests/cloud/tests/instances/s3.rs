//! As much of S3 as an instance uses: objects by bucket, key and version id, in memory.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

/// The newest object as `bucket/key`, and each as `bucket/key@version`. A version id is a SHA-256 here.
type Objects = Arc<Mutex<HashMap<String, Vec<u8>>>>;

pub(crate) struct S3 {
    pub(crate) endpoint: String,
    objects: Objects,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let objects = Objects::default();
        let served = Arc::clone(&objects);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let objects = Arc::clone(&served);
                let service = service_fn(move |request| answer(Arc::clone(&objects), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Self { endpoint, objects }
    }

    /// Stores an object and pins it as a manifest does.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> Value {
        let (bucket, key) = path.split_once('/').unwrap();
        let sha256 = format!("{:x}", Sha256::digest(bytes));
        let mut objects = self.objects.lock().unwrap();
        objects.insert(format!("{path}@{sha256}"), bytes.to_vec());
        objects.insert(path.to_owned(), bytes.to_vec());
        json!({"bucket": bucket, "key": key, "versionId": sha256, "size": bytes.len(), "sha256": sha256,
               "uploadedAt": "2026-11-21T12:00:00Z"})
    }

    pub(crate) fn get(&self, path: &str) -> Option<Vec<u8>> {
        self.objects.lock().unwrap().get(path).cloned()
    }
}

async fn answer(
    objects: Objects,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut response = Response::default();
    if request.method() == Method::PUT {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        objects.lock().unwrap().insert(path, body.to_vec());
        return Ok(response);
    }
    let version = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("versionId="));
    let name = version.map_or(path.clone(), |version| format!("{path}@{version}"));
    let found = objects.lock().unwrap().get(&name).cloned();
    if found.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    let missing = b"<Error><Code>NoSuchVersion</Code><Message>It is not there.</Message></Error>";
    *response.body_mut() = Full::from(found.unwrap_or_else(|| missing.to_vec()));
    Ok(response)
}
