//! The local AWS that runs, found as `cargo xtask env` tells, and what the load needs of it.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use aws_config::BehaviorVersion;
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, FixedResponseActionConfig, ProtocolEnum,
};
use exuvia_core::target::Target;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::process::Command;

use super::http;

/// Of all apps of this part.
pub(super) const ENVIRONMENT: &str = "bench";
/// The app whose stack is deployed; nothing is ever uploaded to it.
const TEMPLATE: &str = "load";
/// This machine's, in the templates' words.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

pub(super) struct Site {
    pub(super) autoscaling: aws_sdk_autoscaling::Client,
    pub(super) elb: aws_sdk_elasticloadbalancingv2::Client,
    pub(super) s3: aws_sdk_s3::Client,
    pub(super) sfn: aws_sdk_sfn::Client,
    pub(super) ssm: aws_sdk_ssm::Client,
    pub(super) artifacts: String,
    pub(super) state_machine: String,
    /// Where AWS is.
    endpoint: String,
    /// What the stack has written; every app's target is a copy of it with other names and numbers.
    pub(super) target: Target,
    /// Tells this run's apps from those of an earlier one.
    pub(super) run: String,
}

/// A load balancer with one listener.
#[derive(Clone, Debug)]
pub(super) struct LoadBalancer {
    pub(super) arn: String,
    pub(super) listener: String,
    pub(super) port: u16,
}

/// What exuvia-cloud has been asked so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    /// Of Auto Scaling and Elastic Load Balancing, which it is itself.
    pub(super) answered: u64,
    /// Of everything else, which ministack is.
    pub(super) passed_on: u64,
}

impl Site {
    /// Deploys `infra/app.yaml` once, and lets its instances read what the other apps' instances would.
    pub(super) async fn open() -> Result<Self> {
        let speed = setting("EXUVIA_SPEED")?;
        ensure!(
            speed == "1",
            "the local AWS runs at speed {speed}, and this measures in real time: `cargo xtask down`, then `cargo xtask \
             up --speed 1`"
        );
        deploy_stack().await?;
        let config = aws_config::load_defaults(BehaviorVersion::latest()).await;
        let ssm = aws_sdk_ssm::Client::new(&config);
        let name = format!("/exuvia/{TEMPLATE}/{ENVIRONMENT}");
        let parameter = ssm.get_parameter().name(&name).send().await;
        let parameter = parameter.with_context(|| format!("{name} cannot be read"))?;
        let target = parameter.parameter().and_then(|found| found.value());
        let target = target.with_context(|| format!("{name} is empty"))?;
        Ok(Self {
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            elb: aws_sdk_elasticloadbalancingv2::Client::new(&config),
            s3: aws_sdk_s3::Client::new(&config),
            sfn: aws_sdk_sfn::Client::new(&config),
            ssm,
            artifacts: setting("EXUVIA_ARTIFACTS_BUCKET")?,
            state_machine: setting("EXUVIA_STATE_MACHINE_ARN")?,
            endpoint: setting("AWS_ENDPOINT_URL")?,
            target: serde_json::from_str(target)?,
            run: format!("{:x}", Timestamp::now().as_second() & 0xff_ffff),
        })
    }

    /// One more load balancer, in the same network; its listener answers 404 until it has rules.
    pub(super) async fn load_balancer(&self, number: usize) -> Result<LoadBalancer> {
        let made = self
            .elb
            .create_load_balancer()
            .name(format!("load-{}-{number}", self.run))
            .set_subnets(Some(self.target.subnets.clone()))
            .security_groups(setting("EXUVIA_LOAD_BALANCER_SECURITY_GROUP")?)
            .send()
            .await
            .context("cannot create a load balancer")?;
        let arn = made.load_balancers().first();
        let arn = arn.and_then(|made| made.load_balancer_arn());
        let arn = arn.context("the load balancer has no ARN")?.to_owned();
        let nothing = FixedResponseActionConfig::builder()
            .status_code("404")
            .build();
        let action = Action::builder()
            .r#type(ActionTypeEnum::FixedResponse)
            .fixed_response_config(nothing)
            .build();
        let port = free_port()?;
        let made = self
            .elb
            .create_listener()
            .load_balancer_arn(&arn)
            .protocol(ProtocolEnum::Http)
            .port(i32::from(port))
            .default_actions(action)
            .send()
            .await
            .context("cannot create a listener")?;
        let listener = made.listeners().first();
        let listener = listener.and_then(|made| made.listener_arn());
        let listener = listener.context("the listener has no ARN")?.to_owned();
        Ok(LoadBalancer {
            arn,
            listener,
            port,
        })
    }

    /// Groups, target groups and rules as they stand.
    pub(super) async fn state(&self) -> Result<Value> {
        self.told("state").await
    }

    pub(super) async fn requests(&self) -> Result<Requests> {
        let told = self.told("requests").await?;
        let count = |name: &str| told[name].as_u64().context("exuvia-cloud does not count");
        Ok(Requests {
            answered: count("answered")?,
            passed_on: count("passedOn")?,
        })
    }

    async fn told(&self, what: &str) -> Result<Value> {
        let url = format!("{}/_exuvia/{what}", self.endpoint);
        let (_, body) = http::get(&url, None).await?;
        serde_json::from_str(&body).with_context(|| format!("{url} answers {body}"))
    }
}

fn setting(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| {
        format!("{name} is not set: `cargo xtask up --speed 1`, then eval \"$(cargo xtask env)\"")
    })
}

/// Nothing listens on it, and it is above those of instances and below those of outgoing connections.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let port = fastrand::u16(32_000..32_768);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port from 32000 to 32767 is free on 127.0.0.1")
}

async fn deploy_stack() -> Result<()> {
    let template = super::root().join("infra/app.yaml");
    let template = template.to_string_lossy();
    let stack = format!("exuvia-{TEMPLATE}-{ENVIRONMENT}");
    let parameters = [
        format!("App={TEMPLATE}"),
        format!("Environment={ENVIRONMENT}"),
        format!("HostNames={TEMPLATE}.{ENVIRONMENT}.localhost"),
        format!("ListenerArn={}", setting("EXUVIA_LISTENER_ARN")?),
        format!("VpcId={}", setting("EXUVIA_VPC_ID")?),
        format!("Subnets={}", setting("EXUVIA_SUBNETS")?),
        format!(
            "LoadBalancerSecurityGroup={}",
            setting("EXUVIA_LOAD_BALANCER_SECURITY_GROUP")?
        ),
        format!("AmiId={}", setting("EXUVIA_AMI_ID")?),
        format!("Architecture={ARCHITECTURE}"),
        "HealthCheckPath=/health".to_owned(),
        "RenewalSchedule=".to_owned(),
    ];
    let deploy = ["cloudformation", "deploy", "--no-fail-on-empty-changeset"];
    let what = [
        "--template-file",
        &template,
        "--stack-name",
        &stack,
        "--capabilities",
        "CAPABILITY_IAM",
        "--parameter-overrides",
    ];
    let parameters: Vec<&str> = parameters.iter().map(String::as_str).collect();
    aws(&[&deploy[..], &what, &parameters].concat()).await?;

    let role = "Stacks[0].Outputs[?OutputKey=='InstanceRoleArn'].OutputValue | [0]";
    let describe = ["cloudformation", "describe-stacks", "--stack-name", &stack];
    let role = aws(&[&describe[..], &["--query", role, "--output", "text"]].concat()).await?;
    let (_, role) = role
        .trim()
        .rsplit_once('/')
        .context("the stack has no instance role")?;
    // What each app's stack would give its own instances.
    let [artifacts, ledger] = ["EXUVIA_ARTIFACTS_BUCKET", "EXUVIA_LEDGER_BUCKET"].map(setting);
    let (artifacts, ledger) = (artifacts?, ledger?);
    let policy = json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObjectVersion", "Resource": format!("arn:aws:s3:::{artifacts}/*")},
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": format!("arn:aws:s3:::{ledger}/*")},
    ]});
    let put = ["iam", "put-role-policy", "--role-name", role];
    let policy = policy.to_string();
    let what = [
        "--policy-name",
        "EveryAppOfTheBench",
        "--policy-document",
        &policy,
    ];
    aws(&[&put[..], &what].concat()).await.map(drop)
}

/// The AWS CLI.
async fn aws(arguments: &[&str]) -> Result<String> {
    let output = Command::new("aws")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run the AWS CLI")?;
    ensure!(
        output.status.success(),
        "aws {}: {}",
        arguments.get(..2).unwrap_or_default().join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
