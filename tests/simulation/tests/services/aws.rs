//! The services behind the SDK's HTTP connector.

use std::sync::{Arc, Mutex, MutexGuard};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use exuvia_aws::artifacts::Artifacts;
use exuvia_aws::ledger::Ledger;
use exuvia_aws::{Region, SdkConfig};
use exuvia_core::name::Place;
use exuvia_simulation::services::{Kms, Request, Response, S3, Sns, Ssm};
use jiff::Timestamp;

pub(crate) const LEDGER: &str = "ledger";
pub(crate) const ARTIFACTS: &str = "artifacts";
pub(crate) const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd";
pub(crate) const SIGNING_KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/signs";
pub(crate) const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:notices";

#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) s3: S3,
    pub(crate) ssm: Ssm,
    pub(crate) kms: Kms,
    pub(crate) sns: Sns,
    pub(crate) now: Timestamp,
    /// What was asked for: method, path and query.
    pub(crate) asked: Vec<String>,
}

impl Services {
    /// Asks without an SDK, from a path and its query.
    pub(crate) fn ask_s3(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Told {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(b"{}".to_vec()).unwrap();
        Told::read(&self.s3.answer(&request, self.now, &self.kms))
    }
}

/// An answer, as it is compared.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) body: String,
}

impl Told {
    pub(crate) fn read(answer: &Response) -> Self {
        let body = String::from_utf8(answer.body().clone()).unwrap();
        let code = body.split_once("<Code>").map_or("", |(_, code)| code);
        Self {
            status: answer.status().as_u16(),
            code: code.split('<').next().unwrap_or_default().to_owned(),
            body,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Aws(Arc<Mutex<Services>>);

impl Aws {
    pub(crate) fn new() -> Self {
        let buckets = [LEDGER, ARTIFACTS].map(ToOwned::to_owned);
        Self(Arc::new(Mutex::new(Services {
            s3: S3::new(buckets, KEY.to_owned()),
            ssm: Ssm::default(),
            kms: Kms::new([KEY.to_owned()]).with_signing_key(SIGNING_KEY),
            sns: Sns::new([TOPIC.to_owned()], KEY.to_owned()),
            now: "2026-11-21T10:00:00.5Z".parse().unwrap(),
            asked: Vec::new(),
        })))
    }

    pub(crate) fn services(&self) -> MutexGuard<'_, Services> {
        self.0.lock().unwrap()
    }

    pub(crate) async fn config(&self) -> SdkConfig {
        exuvia_aws::loader()
            .http_client(self.clone())
            .test_credentials()
            .region(Region::from_static("us-east-1"))
            .endpoint_url("http://127.0.0.1:1")
            .load()
            .await
    }

    pub(crate) async fn ledger(&self) -> Ledger {
        Ledger::new(&self.config().await, LEDGER.to_owned())
    }

    pub(crate) async fn artifacts(&self) -> Artifacts {
        Artifacts::new(&self.config().await, ARTIFACTS.to_owned(), KEY.to_owned())
    }

    fn answer(&self, request: HttpRequest) -> HttpResponse {
        let (parts, body) = request.try_into_http1x().unwrap().into_parts();
        let body = body.bytes().expect("a body that is in memory").to_vec();
        let request = Request::from_parts(parts, body);
        let authorization = request.headers()["authorization"].to_str().unwrap();
        // Credential=<key>/<date>/<region>/<service>/aws4_request
        let service = authorization.split('/').nth(3).unwrap();
        let mut services = self.services();
        let asked = format!("{} {}", request.method(), request.uri());
        services.asked.push(asked);
        let Services {
            s3,
            ssm,
            kms,
            sns,
            now,
            ..
        } = &mut *services;
        let answer = match service {
            "s3" => s3.answer(&request, *now, kms),
            "ssm" => ssm.answer(&request),
            "kms" => kms.answer(&request),
            "sns" => sns.answer(&request, *now, kms),
            other => panic!("no service {other}"),
        };
        answer.map(SdkBody::from).try_into().unwrap()
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(Ok(self.answer(request)))
    }
}

impl HttpClient for Aws {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

pub(crate) fn place() -> Place {
    Place::new("hello", "prod").unwrap()
}
