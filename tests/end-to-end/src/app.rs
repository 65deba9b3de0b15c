//! An app in an environment: made, deployed to and looked at as its owner would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_autoscaling::types::Filter;
use aws_sdk_s3::primitives::ByteStream;
use exuvia_core::fleet::{FleetName, TAG_APP, TAG_ENVIRONMENT};
use exuvia_core::name::{Place, ReleaseNumber};
use serde_json::Value;
use tokio::process::Command;

use crate::execution::Execution;
use crate::image::Image;
use crate::{config, setting};

const ENVIRONMENT: &str = "test";

pub struct App {
    pub place: Place,
    pub host: String,
    pub sfn: aws_sdk_sfn::Client,
    pub s3: aws_sdk_s3::Client,
    pub ssm: aws_sdk_ssm::Client,
    sqs: aws_sdk_sqs::Client,
    autoscaling: aws_sdk_autoscaling::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    queue: String,
    heard: tokio::sync::Mutex<Vec<Value>>,
}

/// A notice that came out of the topic.
#[derive(Clone, Debug)]
pub struct Notice {
    pub kind: String,
    pub id: String,
    pub text: String,
}

impl App {
    /// A new app, from `infra/app.yaml`, that nothing has been deployed to. Time is compressed: what is given in
    /// seconds here is that of the cloud.
    pub async fn new(name: &str) -> Self {
        let config = config().await;
        let place = Place::new(name, ENVIRONMENT).unwrap();
        let host = format!("{name}.{ENVIRONMENT}.localhost");
        let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/app.yaml");
        // Before hello's rule, which matches every host; another for each name that the scenarios use.
        let priority = 1 + name
            .bytes()
            .fold(0, |sum, byte| (sum * 31 + u32::from(byte)) % 797);
        let deployed = Command::new("aws")
            .args([
                "cloudformation",
                "deploy",
                "--template-file",
                template,
                "--no-fail-on-empty-changeset",
            ])
            .args([
                "--stack-name",
                &format!("exuvia-{name}-{ENVIRONMENT}"),
                "--capabilities",
                "CAPABILITY_IAM",
            ])
            .arg("--parameter-overrides")
            .args([
                format!("App={name}"),
                format!("Environment={ENVIRONMENT}"),
                format!("HostNames={host}"),
            ])
            .arg(format!("Priority={priority}"))
            .arg(format!("ListenerArn={}", setting("EXUVIA_LISTENER_ARN")))
            .arg(format!("VpcId={}", setting("EXUVIA_VPC_ID")))
            .arg(format!("Subnets={}", setting("EXUVIA_SUBNETS")))
            .arg(format!("AmiId={}", setting("EXUVIA_AMI_ID")))
            .args([
                "HealthCheckPath=/health",
                "HealthCheckInterval=10",
                "HealthCheckTimeout=5",
            ])
            .args(["MinSize=2", "MaxSize=4", "InitialSize=2"])
            .args(["BakeSeconds=40", "BootSeconds=120", "DrainSeconds=20"])
            .output()
            .await
            .unwrap();
        assert!(
            deployed.status.success(),
            "{}",
            String::from_utf8_lossy(&deployed.stderr)
        );

        let sqs = aws_sdk_sqs::Client::new(&config);
        let queue = sqs
            .create_queue()
            .queue_name(format!("notices-{name}"))
            .send()
            .await
            .unwrap();
        let queue = queue.queue_url().unwrap().to_owned();
        let attributes = sqs
            .get_queue_attributes()
            .queue_url(&queue)
            .attribute_names(aws_sdk_sqs::types::QueueAttributeName::QueueArn)
            .send()
            .await
            .unwrap();
        let arn =
            &attributes.attributes().unwrap()[&aws_sdk_sqs::types::QueueAttributeName::QueueArn];
        aws_sdk_sns::Client::new(&config)
            .subscribe()
            .topic_arn(setting("EXUVIA_TOPIC_ARN"))
            .protocol("sqs")
            .endpoint(arn)
            .attributes("RawMessageDelivery", "true")
            .send()
            .await
            .unwrap();
        Self {
            place,
            host,
            sfn: aws_sdk_sfn::Client::new(&config),
            s3: aws_sdk_s3::Client::new(&config),
            ssm: aws_sdk_ssm::Client::new(&config),
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            sqs,
            queue,
            heard: tokio::sync::Mutex::default(),
        }
    }

    /// A new app with hello v1 live as its first release.
    pub async fn with_v1(name: &str) -> Self {
        let app = Self::new(name).await;
        let first = app.upload("v1", &Image::hello("v1", &[])).await;
        assert_eq!(first.end().await, "SUCCEEDED", "{:?}", first.path().await);
        app.serves("v1").await;
        app
    }

    /// Uploads an artifact; the execution that this starts.
    pub async fn upload(&self, version: &str, image: &Image) -> Execution {
        self.upload_to(&format!("{}/{version}.tar.gz", self.place), &image.bytes)
            .await
    }

    /// Uploads anything to any key; the execution that this starts.
    pub async fn upload_to(&self, key: &str, bytes: &[u8]) -> Execution {
        let before = self.executions().await;
        self.s3
            .put_object()
            .bucket(setting("EXUVIA_ARTIFACTS_BUCKET"))
            .key(key)
            .body(ByteStream::from(bytes.to_vec()))
            .send()
            .await
            .unwrap();
        let readable: String = key
            .trim_end_matches(".tar.gz")
            .trim_end_matches(".tar.zst")
            .trim_end_matches(".tar")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(40)
            .collect();
        let prefix = format!("upload-{readable}-");
        self.next_execution(&before, |name| {
            name.starts_with(&prefix) && name.len() == prefix.len() + 32
        })
        .await
    }

    /// Starts an execution as a person does in the console.
    pub async fn start(&self, input: Value) -> Execution {
        let started = self
            .sfn
            .start_execution()
            .state_machine_arn(setting("EXUVIA_STATE_MACHINE_ARN"))
            .input(input.to_string())
            .send()
            .await
            .unwrap();
        Execution {
            client: self.sfn.clone(),
            arn: started.execution_arn,
        }
    }

    /// An input for this app, with more fields.
    pub fn input(&self, more: &Value) -> Value {
        let mut input =
            serde_json::json!({"app": self.place.app, "environment": self.place.environment});
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        input
    }

    /// The execution that cleans up after another.
    pub async fn recovery_of(&self, execution: &Execution) -> Execution {
        let began = Instant::now();
        loop {
            for arn in self.executions().await {
                if !arn.contains(":recover-") {
                    continue;
                }
                let described = self
                    .sfn
                    .describe_execution()
                    .execution_arn(&arn)
                    .send()
                    .await
                    .unwrap();
                if described
                    .input()
                    .unwrap_or_default()
                    .contains(&execution.arn)
                {
                    return Execution {
                        client: self.sfn.clone(),
                        arn,
                    };
                }
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "no recovery was started"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn executions(&self) -> Vec<String> {
        let mut pages = self
            .sfn
            .list_executions()
            .state_machine_arn(setting("EXUVIA_STATE_MACHINE_ARN"))
            .into_paginator()
            .items()
            .send();
        let mut arns = Vec::new();
        while let Some(execution) = pages.next().await {
            arns.push(execution.unwrap().execution_arn);
        }
        arns
    }

    async fn next_execution(&self, before: &[String], is_it: impl Fn(&str) -> bool) -> Execution {
        let began = Instant::now();
        loop {
            let new = self
                .executions()
                .await
                .into_iter()
                .find(|arn| !before.contains(arn) && is_it(arn.rsplit(':').next().unwrap()));
            if let Some(arn) = new {
                return Execution {
                    client: self.sfn.clone(),
                    arn,
                };
            }
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the upload started no execution"
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Asserts that users get this version.
    pub async fn serves(&self, version: &str) {
        let (status, body) = crate::client::ask(&self.host).await;
        assert_eq!(status, 200, "{body}");
        assert!(
            body.contains(&format!("\"version\":\"{version}\"")),
            "{version} is not live: {body}"
        );
    }

    /// All notices about this app so far.
    pub async fn notices(&self) -> Vec<Notice> {
        let mut heard = self.heard.lock().await;
        loop {
            let received = self
                .sqs
                .receive_message()
                .queue_url(&self.queue)
                .max_number_of_messages(10)
                .send()
                .await
                .unwrap();
            if received.messages().is_empty() {
                break;
            }
            for message in received.messages() {
                heard.push(serde_json::from_str(message.body().unwrap()).unwrap());
                let handle = message.receipt_handle().unwrap();
                self.sqs
                    .delete_message()
                    .queue_url(&self.queue)
                    .receipt_handle(handle)
                    .send()
                    .await
                    .unwrap();
            }
        }
        let context = |message: &Value, name: &str| {
            message["metadata"]["additionalContext"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        heard
            .iter()
            .filter(|message| context(message, "app") == self.place.app.as_str())
            .map(|message| Notice {
                kind: context(message, "kind"),
                id: message["id"].as_str().unwrap().to_owned(),
                text: format!(
                    "{}: {}",
                    message["content"]["title"].as_str().unwrap(),
                    message["content"]["description"].as_str().unwrap()
                ),
            })
            .collect()
    }

    /// The one final outcome that was told of an execution.
    pub async fn outcome(&self, execution: &Execution) -> Notice {
        let id = format!("outcome-{}", execution.name());
        let told: Vec<Notice> = self
            .notices()
            .await
            .into_iter()
            .filter(|notice| notice.id == id)
            .collect();
        assert_eq!(
            told.len(),
            1,
            "{} has not exactly one outcome: {told:?}",
            execution.name()
        );
        told[0].clone()
    }

    /// Asserts that nothing is there besides the live release's fleet (or nothing at all), and that it is whole:
    /// the rule names it alone, nothing is held or locked, and the ledger says so.
    pub async fn is_clean(&self, live: Option<u32>) {
        let live: Vec<ReleaseNumber> = live
            .map(|n| ReleaseNumber::try_from(n).unwrap())
            .into_iter()
            .collect();
        let filter = |tag: &str, value: &str| {
            Filter::builder()
                .name(format!("tag:{tag}"))
                .values(value)
                .build()
        };
        let groups = self
            .autoscaling
            .describe_auto_scaling_groups()
            .filters(filter(TAG_APP, self.place.app.as_str()))
            .filters(filter(TAG_ENVIRONMENT, self.place.environment.as_str()))
            .send()
            .await
            .unwrap();
        let mut standing = Vec::new();
        for group in groups.auto_scaling_groups() {
            let name = group.auto_scaling_group_name().unwrap();
            standing.push(FleetName::of_name(&self.place, name).unwrap().release());
            assert!(
                group.suspended_processes().is_empty(),
                "{name} has suspended processes"
            );
            assert!(
                !group
                    .tags()
                    .iter()
                    .any(|tag| tag.key() == Some("exuvia:held")),
                "{name} is held"
            );
        }
        assert_eq!(standing, live, "groups");

        let target_groups = self.elb.describe_target_groups().send().await.unwrap();
        let target_groups: Vec<_> = target_groups
            .target_groups()
            .iter()
            .filter_map(|group| {
                FleetName::of_target_group(&self.place, group.target_group_arn().unwrap())
            })
            .map(|fleet| fleet.release())
            .collect();
        assert_eq!(target_groups, live, "target groups");

        let weights = self.weights().await;
        let wanted: BTreeMap<_, _> = live.iter().map(|release| (release.get(), 100)).collect();
        assert_eq!(weights, wanted, "weights");

        let ledger = setting("EXUVIA_LEDGER_BUCKET");
        for name in ["lock.json", "waiting.json"] {
            let head = self
                .s3
                .head_object()
                .bucket(&ledger)
                .key(format!("{}/{name}", self.place))
                .send()
                .await;
            assert!(head.is_err(), "{name} is left over");
        }
        if let [live] = live[..] {
            let record = self.ledger("live.json").await;
            assert_eq!(record["release"], live.get());
        }
    }

    /// The listener rule's weights, by release.
    pub async fn weights(&self) -> BTreeMap<u32, i32> {
        let rules = self
            .elb
            .describe_rules()
            .listener_arn(setting("EXUVIA_LISTENER_ARN"))
            .send()
            .await
            .unwrap();
        rules
            .rules()
            .iter()
            .flat_map(aws_sdk_elasticloadbalancingv2::types::Rule::actions)
            .filter_map(|action| action.forward_config())
            .flat_map(aws_sdk_elasticloadbalancingv2::types::ForwardActionConfig::target_groups)
            .filter_map(|group| {
                let fleet = FleetName::of_target_group(&self.place, group.target_group_arn()?)?;
                Some((fleet.release().get(), group.weight()?))
            })
            .collect()
    }

    /// An object of the app's ledger.
    pub async fn ledger(&self, name: &str) -> Value {
        let object = self
            .s3
            .get_object()
            .bucket(setting("EXUVIA_LEDGER_BUCKET"))
            .key(format!("{}/{name}", self.place))
            .send()
            .await
            .unwrap();
        let body = object.body.collect().await.unwrap();
        serde_json::from_slice(&body.into_bytes()).unwrap()
    }

    /// How many releases have been numbered.
    pub async fn releases(&self) -> usize {
        let listed = self
            .s3
            .list_objects_v2()
            .bucket(setting("EXUVIA_LEDGER_BUCKET"))
            .prefix(format!("{}/releases/", self.place))
            .send()
            .await
            .unwrap();
        listed.contents().len()
    }

    /// Sets the live group's desired capacity, as a policy or a person would.
    pub async fn scale(&self, release: u32, desired: i32) {
        let name =
            FleetName::new(&self.place, ReleaseNumber::try_from(release).unwrap()).to_string();
        self.autoscaling
            .set_desired_capacity()
            .auto_scaling_group_name(name)
            .desired_capacity(desired)
            .send()
            .await
            .unwrap();
    }

    pub async fn desired(&self, release: u32) -> i32 {
        let name =
            FleetName::new(&self.place, ReleaseNumber::try_from(release).unwrap()).to_string();
        let groups = self
            .autoscaling
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(name)
            .send()
            .await
            .unwrap();
        groups.auto_scaling_groups()[0].desired_capacity().unwrap()
    }

    /// Writes the target by hand, changed at one place.
    pub async fn break_target(&self, pointer: &str, value: Value) {
        let name = format!("/exuvia/{}", self.place);
        let parameter = self.ssm.get_parameter().name(&name).send().await.unwrap();
        let mut target: Value =
            serde_json::from_str(parameter.parameter().unwrap().value().unwrap()).unwrap();
        *target.pointer_mut(pointer).unwrap() = value;
        self.ssm
            .put_parameter()
            .name(&name)
            .value(target.to_string())
            .overwrite(true)
            .send()
            .await
            .unwrap();
    }
}
