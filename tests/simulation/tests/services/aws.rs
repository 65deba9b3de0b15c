//! The services behind the SDK's HTTP connector.

use std::sync::{Arc, Mutex, MutexGuard};

use aws_config::profile::ProfileFileCredentialsProvider;
#[allow(deprecated)]
use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use exuvia_simulation::services::{Kms, Request, S3, Sns, Ssm};
use jiff::Timestamp;

pub const LEDGER: &str = "ledger";
pub const ARTIFACTS: &str = "artifacts";
pub const KEY: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
pub const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:notices";

#[derive(Debug)]
pub struct Services {
    pub s3: S3,
    pub ssm: Ssm,
    pub kms: Kms,
    pub sns: Sns,
    pub now: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Aws(Arc<Mutex<Services>>);

impl Aws {
    pub fn new() -> Self {
        let buckets = [LEDGER, ARTIFACTS].map(ToOwned::to_owned);
        Self(Arc::new(Mutex::new(Services {
            s3: S3::new(buckets, KEY.to_owned()),
            ssm: Ssm::default(),
            kms: Kms::new([KEY.to_owned()]),
            sns: Sns::new([TOPIC.to_owned()], KEY.to_owned()),
            now: "2026-11-21T10:00:00.5Z".parse().unwrap(),
        })))
    }

    pub fn services(&self) -> MutexGuard<'_, Services> {
        self.0.lock().unwrap()
    }

    // The names that are not deprecated are those of another crate.
    #[allow(deprecated)]
    pub async fn config(&self) -> SdkConfig {
        let keys = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n";
        let files = ProfileFiles::builder().with_contents(ProfileFileKind::Credentials, keys);
        let credentials = ProfileFileCredentialsProvider::builder()
            .profile_files(files.build())
            .build();
        aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::from_static("us-east-1"))
            .endpoint_url("http://127.0.0.1:1")
            .credentials_provider(credentials)
            .http_client(self.clone())
            .load()
            .await
    }

    fn answer(&self, request: HttpRequest) -> HttpResponse {
        let (parts, body) = request.try_into_http1x().unwrap().into_parts();
        let body = body.bytes().expect("a body that is in memory").to_vec();
        let request = Request::from_parts(parts, body);
        let service = request.headers()["authorization"].to_str().unwrap();
        let service = service.split('/').nth(3).unwrap();
        if std::env::var("DUMP").is_ok() {
            println!("{service} {request:#?}");
        }
        let Services {
            s3,
            ssm,
            kms,
            sns,
            now,
        } = &mut *self.services();
        let answer = match service {
            "s3" => s3.answer(&request, *now, kms),
            "ssm" => ssm.answer(&request),
            "kms" => kms.answer(&request),
            "sns" => sns.answer(&request, *now, kms),
            other => panic!("no service {other}"),
        };
        answer.map(SdkBody::from).try_into().unwrap()
    }

    pub async fn dump(&self) {
        use exuvia_aws::{
            artifacts::Artifacts, keys::Keys, ledger::Ledger, targets::Targets, topic::Topic,
        };
        let config = self.config().await;
        let v = self.services().s3.put(
            ARTIFACTS,
            "a b+ü/c",
            b"hallo".to_vec(),
            Timestamp::UNIX_EPOCH,
        );
        let ledger = Ledger::new(&config, LEDGER.into());
        ledger.record("x/y z", 5).await.unwrap();
        ledger.record("x/y z", 5).await.unwrap();
        let place = exuvia_core::name::Place::new("a", "b").unwrap();
        println!("{:?}", ledger.releases_after(&place, None).await);
        println!(
            "{:?}",
            ledger.release_lock(&place, &"\"abc\"".to_owned()).await
        );
        println!("{:?}", Keys::new(&config).check_enabled(KEY).await);
        println!("{:?}", Targets::new(&config).get(&place).await);
        let a = Artifacts::new(&config, ARTIFACTS.into(), KEY.into());
        println!("{:?}", a.find("a b+ü/c", Some(&v)).await);
        let o = a.find("a b+ü/c", None).await.unwrap().unwrap();
        println!("{:?}", a.read_config(&o).await);
        let notice = exuvia_core::notice::Notice {
            kind: exuvia_core::notice::Kind::Succeeded,
            id: "1".into(),
            place: Some(place),
            title: "title".into(),
            description: "d & <e>".into(),
            next_steps: vec![],
            release: None,
            execution: "e".into(),
        };
        println!(
            "{:?}",
            Topic::new(&config, TOPIC.into()).publish(&notice).await
        );
        println!("{:?}", self.services().sns.published);
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
