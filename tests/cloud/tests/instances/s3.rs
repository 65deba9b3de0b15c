//! As much of S3 and KMS as an instance uses: objects by bucket, key and version id, in memory, and signatures.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use aws_smithy_types::base64;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

/// The newest object as `bucket/key`, and each as `bucket/key@version`. A version id is a SHA-256 here.
type Objects = Arc<Mutex<HashMap<String, Object>>>;

#[derive(Clone, Default)]
struct Object {
    bytes: Vec<u8>,
    /// The user metadata `signature`.
    signature: Option<String>,
}

/// The key that signs here. What it signs is no ECDSA: that is for the end-to-end tests, which have a real KMS.
pub(crate) const SIGNING_KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/signs";

/// A signature, as base64, of a digest.
fn sign(key: &str, digest: &[u8]) -> String {
    base64::encode(Sha256::digest([key.as_bytes(), digest].concat()))
}

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
        let object = Object {
            bytes: bytes.to_vec(),
            signature: None,
        };
        let mut objects = self.objects.lock().unwrap();
        objects.insert(format!("{path}@{sha256}"), object.clone());
        objects.insert(path.to_owned(), object);
        json!({"bucket": bucket, "key": key, "versionId": sha256, "size": bytes.len(), "sha256": sha256,
               "uploadedAt": "2026-11-21T12:00:00Z"})
    }

    pub(crate) fn get(&self, path: &str) -> Option<Vec<u8>> {
        let objects = self.objects.lock().unwrap();
        objects.get(path).map(|object| object.bytes.clone())
    }

    /// Stores an object with the signature of some bytes: its own, or others'.
    pub(crate) fn put_signed(&self, path: &str, bytes: &[u8], signed: &[u8]) {
        let object = Object {
            bytes: bytes.to_vec(),
            signature: Some(sign(SIGNING_KEY, &Sha256::digest(signed))),
        };
        let mut objects = self.objects.lock().unwrap();
        objects.insert(path.to_owned(), object);
    }
}

/// KMS's `Verify`.
fn verify(asked: &Value) -> Response<Full<Bytes>> {
    let text = |name: &str| asked[name].as_str().unwrap();
    assert_eq!(text("MessageType"), "DIGEST");
    assert_eq!(text("SigningAlgorithm"), "ECDSA_SHA_256");
    let digest = base64::decode(text("Message")).unwrap();
    let (status, answer) = if text("KeyId") != SIGNING_KEY {
        let problem = json!({"__type": "NotFoundException", "message": "no such key"});
        (StatusCode::BAD_REQUEST, problem)
    } else if text("Signature") == sign(SIGNING_KEY, &digest) {
        (StatusCode::OK, json!({"SignatureValid": true}))
    } else {
        let problem = json!({"__type": "KMSInvalidSignatureException"});
        (StatusCode::BAD_REQUEST, problem)
    };
    let mut response = Response::new(Full::from(answer.to_string()));
    *response.status_mut() = status;
    response
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
        let object = Object {
            bytes: body.to_vec(),
            signature: None,
        };
        objects.lock().unwrap().insert(path, object);
        return Ok(response);
    }
    if path == "_exuvia/instance-credentials" {
        let role = json!({"role": "instance", "accessKeyId": "key", "secretAccessKey": "secret", "token": "token"});
        *response.body_mut() = Full::from(role.to_string());
        return Ok(response);
    }
    if request.method() == Method::POST {
        assert_eq!(request.headers()["x-amz-target"], "TrentService.Verify");
        let body = request.into_body().collect().await.unwrap().to_bytes();
        return Ok(verify(&serde_json::from_slice(&body).unwrap()));
    }
    let version = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("versionId="));
    let name = version.map_or(path.clone(), |version| format!("{path}@{version}"));
    let found = objects.lock().unwrap().get(&name).cloned();
    if found.is_none() {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    if let Some(signature) = found.as_ref().and_then(|found| found.signature.as_ref()) {
        let headers = response.headers_mut();
        headers.insert("x-amz-meta-signature", signature.parse().unwrap());
    }
    let missing = b"<Error><Code>NoSuchVersion</Code><Message>It is not there.</Message></Error>";
    *response.body_mut() = Full::from(found.map_or(missing.to_vec(), |found| found.bytes));
    Ok(response)
}
