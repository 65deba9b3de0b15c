//! An app in an environment: made, deployed to and looked at as its owner would.

mod approvals;
mod builds;
mod seen;
mod simulated;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use exuvia_core::fleet::FleetName;
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::scaling::ALARM_PREFIX;
use serde_json::Value;
use tokio::process::Command;

pub use seen::Notice;

use crate::execution::Execution;
use crate::image::Image;
use crate::{config, setting};

const ENVIRONMENT: &str = "test";
/// This machine's, in the templates' words: instances run on it.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

pub struct App {
    pub place: Place,
    pub host: String,
    /// Whether no requests reach it.
    is_worker: bool,
    pub sfn: aws_sdk_sfn::Client,
    pub s3: aws_sdk_s3::Client,
    pub ssm: aws_sdk_ssm::Client,
    sqs: aws_sdk_sqs::Client,
    autoscaling: aws_sdk_autoscaling::Client,
    elb: aws_sdk_elasticloadbalancingv2::Client,
    queue: String,
    heard: tokio::sync::Mutex<Vec<Value>>,
}

impl App {
    /// A new app, from `infra/app.yaml`, that nothing has been deployed to. Time is compressed: what is given in
    /// seconds here is that of the cloud.
    pub async fn new(name: &str) -> Self {
        // When apps are renewed is no business of the other scenarios.
        Self::with_parameters(name, &["RenewalSchedule="]).await
    }

    /// As [`App::new`], with parameters of the template.
    pub async fn with_parameters(name: &str, parameters: &[&str]) -> Self {
        let config = config().await;
        let place = Place::new(name, ENVIRONMENT).unwrap();
        let host = host(name);
        deploy_template(name, parameters).await;

        let sqs = aws_sdk_sqs::Client::new(&config);
        let topic = setting("EXUVIA_TOPIC_ARN");
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": "*", "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }]});
        let queue = sqs
            .create_queue()
            .queue_name(format!("notices-{name}"))
            .attributes(
                aws_sdk_sqs::types::QueueAttributeName::Policy,
                policy.to_string(),
            )
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
            .topic_arn(topic)
            .protocol("sqs")
            .endpoint(arn)
            .attributes("RawMessageDelivery", "true")
            .send()
            .await
            .unwrap();
        Self {
            place,
            host,
            is_worker: parameters.iter().any(|given| {
                given
                    .strip_prefix("Worker=")
                    .is_some_and(|order| !order.is_empty())
            }),
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
        self.put(key, bytes).await;
        self.started_by(key, &before).await
    }

    /// The deploy of a version that somebody else has uploaded, as a builder does.
    pub async fn deploy_of(&self, version: &str) -> Execution {
        self.started_by(&format!("{}/{version}.tar.gz", self.place), &[])
            .await
    }

    async fn put(&self, key: &str, bytes: &[u8]) {
        self.s3
            .put_object()
            .bucket(setting("EXUVIA_ARTIFACTS_BUCKET"))
            .key(key)
            .body(ByteStream::from(bytes.to_vec()))
            .send()
            .await
            .unwrap();
    }

    /// The execution that the upload to this key starts, or has started.
    async fn started_by(&self, key: &str, before: &[String]) -> Execution {
        let readable: String = key
            .trim_end_matches(".tar.gz")
            .trim_end_matches(".tar.zst")
            .trim_end_matches(".tar")
            .chars()
            .map(|c| match c {
                '/' => '_',
                c if c.is_ascii_alphanumeric() => c,
                _ => '-',
            })
            .take(52)
            .collect();
        let prefix = format!("upload-{readable}-");
        self.next_execution(before, |name| {
            name.starts_with(&prefix) && name.len() == prefix.len() + 20
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

    /// What the app's stack is called.
    pub fn stack(&self) -> String {
        stack(self.place.app.as_str())
    }

    /// Updates the app's stack.
    pub async fn update_stack(&self, parameters: &[&str]) {
        deploy_template(self.place.app.as_str(), parameters).await;
    }

    /// The next execution that is started with this input by somebody else.
    pub async fn started_with(&self, input: &Value, within: Duration) -> Execution {
        let (before, began) = (self.executions().await, Instant::now());
        loop {
            for arn in self.executions().await {
                let execution = Execution {
                    client: self.sfn.clone(),
                    arn,
                };
                if !before.contains(&execution.arn) && execution.input().await == *input {
                    return execution;
                }
            }
            assert!(began.elapsed() < within, "nothing was started with {input}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
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
        self.executions_of("EXUVIA_STATE_MACHINE_ARN").await
    }

    /// The executions of the state machine that a setting names.
    async fn executions_of(&self, state_machine: &str) -> Vec<String> {
        let mut pages = self
            .sfn
            .list_executions()
            .state_machine_arn(setting(state_machine))
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

    /// The name of a release's group.
    pub fn group(&self, release: u32) -> String {
        FleetName::new(&self.place, ReleaseNumber::try_from(release).unwrap()).to_string()
    }

    /// Sets the live group's desired capacity, as a policy or a person would.
    pub async fn scale(&self, release: u32, desired: i32) {
        let name = self.group(release);
        self.autoscaling
            .set_desired_capacity()
            .auto_scaling_group_name(name)
            .desired_capacity(desired)
            .send()
            .await
            .unwrap();
    }

    pub async fn desired(&self, release: u32) -> i32 {
        let name = self.group(release);
        let groups = self
            .autoscaling
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(name)
            .send()
            .await
            .unwrap();
        groups.auto_scaling_groups()[0].desired_capacity().unwrap()
    }

    /// The names of the policies of a release's group, in order.
    pub async fn policies(&self, release: u32) -> Vec<String> {
        let asked = self
            .autoscaling
            .describe_policies()
            .auto_scaling_group_name(self.group(release));
        let found = asked.send().await.unwrap();
        let policies = found.scaling_policies().iter();
        let mut names: Vec<String> = policies
            .map(|policy| policy.policy_name().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// The names of the policies that alarms watch for, of all releases, in order.
    pub async fn alarms(&self) -> Vec<String> {
        let asked = Command::new("aws")
            .args(["cloudwatch", "describe-alarms", "--output", "json"])
            .args(["--alarm-name-prefix", ALARM_PREFIX])
            .output()
            .await
            .unwrap();
        let found: Value = serde_json::from_slice(&asked.stdout).unwrap();
        let alarms = found["MetricAlarms"].as_array().unwrap().iter();
        let names = alarms.map(|alarm| alarm["AlarmName"].as_str().unwrap());
        let mut names: Vec<String> = names
            .filter_map(|name| name.strip_prefix(ALARM_PREFIX)?.split_once('/'))
            .filter(|(fleet, _)| FleetName::of_name(&self.place, fleet).is_some())
            .map(|(_, policy)| policy.to_owned())
            .collect();
        names.sort();
        names
    }

    /// Deletes the app's listener rule, as somebody might by mistake.
    pub async fn delete_rule(&self) {
        let rules = self.rules().await;
        let arn = rules.first().and_then(|rule| rule.rule_arn()).unwrap();
        self.elb.delete_rule().rule_arn(arn).send().await.unwrap();
    }

    /// Deletes a release's group with all its instances, as somebody might by mistake.
    pub async fn delete_group(&self, release: u32) {
        let name = self.group(release);
        let delete = self
            .autoscaling
            .delete_auto_scaling_group()
            .auto_scaling_group_name(name);
        delete.force_delete(true).send().await.unwrap();
    }

    /// The instances that the app has now.
    pub async fn instances(&self) -> Vec<String> {
        let by_release = self.lifecycles().await;
        let all = by_release.into_values().flat_map(BTreeMap::into_keys);
        all.collect()
    }

    /// The life cycle states of the instances that there are, by release and id.
    pub async fn lifecycles(&self) -> BTreeMap<u32, BTreeMap<String, String>> {
        let groups = self
            .autoscaling
            .describe_auto_scaling_groups()
            .send()
            .await
            .unwrap();
        let ours = groups.auto_scaling_groups().iter().filter_map(|group| {
            let name = group.auto_scaling_group_name().unwrap();
            let release = FleetName::of_name(&self.place, name)?.release().get();
            let instances = group.instances().iter().map(|instance| {
                let state = instance.lifecycle_state().unwrap();
                let id = instance.instance_id().unwrap();
                (id.to_owned(), state.as_str().to_owned())
            });
            Some((release, instances.collect()))
        });
        ours.collect()
    }

    /// The target, as its SSM parameter says it.
    pub async fn target(&self) -> Value {
        let name = format!("/exuvia/{}", self.place);
        let parameter = self.ssm.get_parameter().name(&name).send().await.unwrap();
        serde_json::from_str(parameter.parameter().unwrap().value().unwrap()).unwrap()
    }

    /// Writes the target by hand, changed at one place.
    pub async fn change_target(&self, pointer: &str, value: Value) {
        let mut target = self.target().await;
        *target.pointer_mut(pointer).unwrap() = value;
        let put = self
            .ssm
            .put_parameter()
            .name(format!("/exuvia/{}", self.place));
        put.value(target.to_string())
            .overwrite(true)
            .send()
            .await
            .unwrap();
    }
}

fn stack(name: &str) -> String {
    format!("exuvia-{name}-{ENVIRONMENT}")
}

fn host(name: &str) -> String {
    format!("{name}.{ENVIRONMENT}.localhost")
}

/// Deploys `infra/app.yaml`, or updates what was deployed of it.
async fn deploy_template(name: &str, more: &[&str]) {
    // Before hello's rule, which matches every host; another for each name that the scenarios use.
    let priority = 1 + name
        .bytes()
        .fold(0, |sum, byte| (sum * 31 + u32::from(byte)) % 797);
    let fixed = [
        "HealthCheckPath=/health",
        "HealthCheckInterval=10",
        "HealthCheckTimeout=5",
        "MinSize=2",
        "MaxSize=4",
        "InitialSize=2",
        "BakeSeconds=40",
        "BootSeconds=120",
        "DrainSeconds=20",
    ];
    let mut parameters = vec![
        format!("App={name}"),
        format!("Environment={ENVIRONMENT}"),
        format!("HostNames={}", host(name)),
        format!("Priority={priority}"),
        format!("ListenerArn={}", setting("EXUVIA_LISTENER_ARN")),
        format!("VpcId={}", setting("EXUVIA_VPC_ID")),
        format!("Subnets={}", setting("EXUVIA_SUBNETS")),
        format!(
            "LoadBalancerSecurityGroup={}",
            setting("EXUVIA_LOAD_BALANCER_SECURITY_GROUP")
        ),
        format!("AmiId={}", setting("EXUVIA_AMI_ID")),
        format!("Architecture={ARCHITECTURE}"),
    ];
    parameters.extend(fixed.iter().chain(more).map(|more| (*more).to_owned()));
    deploy_stack("app.yaml", &stack(name), &parameters).await;
}

/// Deploys a template of `infra/`, as its owner would.
async fn deploy_stack(template: &str, stack: &str, parameters: &[String]) {
    let infra = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra");
    let deployed = Command::new("aws")
        .args(["cloudformation", "deploy", "--no-fail-on-empty-changeset"])
        .args(["--template-file", &format!("{infra}/{template}")])
        .args(["--stack-name", stack, "--capabilities", "CAPABILITY_IAM"])
        .arg("--parameter-overrides")
        .args(parameters)
        .output()
        .await
        .unwrap();
    assert!(
        deployed.status.success(),
        "{}",
        String::from_utf8_lossy(&deployed.stderr)
    );
}
