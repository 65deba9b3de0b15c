//! The stacks, deployed by the AWS CLI from the templates that AWS gets as well.

use std::path::Path;

use anyhow::{Context as _, Result};
use aws_sdk_s3::types::{
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use serde::{Deserialize, Serialize};

use super::{LocalCloud, State, network};
use crate::{compile, image, process, tools};

/// The bucket that `aws cloudformation package` uploads the functions to.
const CODE_BUCKET: &str = "local-code";
/// The pipeline's template with its functions uploaded, in the local AWS's directory.
pub(crate) const PACKAGED: &str = "packaged.yaml";
/// This machine's, in the templates' words: functions and apps run on it.
pub(crate) const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};
const SLACK_PARAMETER: &str = "/slack/deploys";
pub(crate) const PIPELINE_STACK: &str = "exuvia";

/// The outputs of the pipeline's stack.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Pipeline {
    pub(crate) artifacts_bucket: String,
    pub(crate) ledger_bucket: String,
    pub(crate) topic_arn: String,
    pub(crate) state_machine_arn: String,
    pub(crate) build_state_machine_arn: String,
    key_arn: String,
}

/// An app in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) environment: String,
    /// The host name that it is reached by; none: any.
    pub(crate) host: Option<String>,
    pub(crate) priority: u16,
    /// Further parameters of its stack.
    pub(crate) parameters: Vec<(String, String)>,
}

impl App {
    /// The app that there is without asking for one.
    pub(crate) fn hello() -> Self {
        Self {
            name: "hello".to_owned(),
            environment: "qa".to_owned(),
            host: None,
            // Last, as it takes every request that no other rule takes.
            priority: 1000,
            parameters: Vec::new(),
        }
    }

    pub(crate) fn stack(&self) -> String {
        format!("exuvia-{}-{}", self.name, self.environment)
    }

    /// The parameters of its builder's stack.
    fn of_builder(&self, network: &network::Network) -> Vec<String> {
        vec![
            format!("App={}", self.name),
            format!("Environment={}", self.environment),
            format!("VpcId={}", network.vpc),
            format!("Subnets={}", network.subnets.join(",")),
            format!("AmiId={}", network.ami_parameter),
        ]
    }

    fn overrides(&self, network: &network::Network) -> Vec<String> {
        let mut parameters = vec![
            ("App", self.name.clone()),
            ("Environment", self.environment.clone()),
            ("VpcId", network.vpc.clone()),
            ("Subnets", network.subnets.join(",")),
            ("Architecture", ARCHITECTURE.to_owned()),
            ("AmiId", network.ami_parameter.clone()),
            ("HealthCheckPath", "/health".to_owned()),
        ];
        let is_worker = |(name, value): &(String, String)| name == "Worker" && !value.is_empty();
        if !self.parameters.iter().any(is_worker) {
            parameters.extend([
                ("ListenerArn", network.listener_arn.clone()),
                ("Priority", self.priority.to_string()),
                ("LoadBalancerSecurityGroup", network.security_group.clone()),
            ]);
        }
        if let Some(host) = &self.host {
            parameters.push(("HostNames", host.clone()));
        }
        parameters.extend(
            self.parameters
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone())),
        );
        parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}

/// Deploys the pipeline and, beside it, what a user has already.
pub(crate) async fn deploy_pipeline(cloud: &mut LocalCloud) -> Result<()> {
    let network = async {
        match cloud.state.network.clone() {
            Some(network) => Ok(network),
            None => network::create(&cloud.state).await,
        }
    };
    let (network, pipeline) = tokio::try_join!(network, pipeline(&cloud.state, cloud.directory()))?;
    cloud.state.network = Some(network);
    cloud.state.pipeline = Some(pipeline);
    cloud.save()
}

async fn pipeline(state: &State, directory: &Path) -> Result<Pipeline> {
    let bucket = aws_sdk_s3::Client::new(&state.sdk());
    let (template, bucket) = tokio::join!(
        built_template(directory),
        bucket.create_bucket().bucket(CODE_BUCKET).send()
    );
    bucket.context("cannot create the bucket for the functions' code")?;
    let built = template?;

    let packaged = directory.join(PACKAGED).to_string_lossy().into_owned();
    let built = built.to_string_lossy();
    let package = ["cloudformation", "package", "--s3-bucket", CODE_BUCKET];
    let package = state.aws(
        &[
            &package[..],
            &[
                "--template-file",
                &built,
                "--output-template-file",
                &packaged,
            ],
        ]
        .concat(),
    );
    process::output(package, "aws cloudformation package").await?;

    // What its stand-in takes.
    let bot = serde_json::json!({
        "botToken": exuvia_slack_stand_in::TOKEN, "channel": exuvia_slack_stand_in::CHANNEL,
    });
    let put = [
        "ssm",
        "put-parameter",
        "--overwrite",
        "--type",
        "SecureString",
    ];
    let bot = bot.to_string();
    let put = [&put[..], &["--name", SLACK_PARAMETER, "--value", &bot]].concat();
    process::output(state.aws(&put), "aws ssm put-parameter").await?;
    // ministack takes no alarms on expressions.
    let parameters = [
        format!("Architecture={ARCHITECTURE}"),
        "Alarms=false".to_owned(),
        format!("SlackParameter={SLACK_PARAMETER}"),
    ];
    deploy(state, PIPELINE_STACK, &packaged, &parameters).await?;
    let pipeline = outputs(state).await?;
    encrypt_buckets(state, &pipeline).await?;
    Ok(pipeline)
}

/// ministack applies a bucket's default encryption, but leaves it out where a stack makes the bucket: this
/// is the template's `BucketEncryption` again.
async fn encrypt_buckets(state: &State, pipeline: &Pipeline) -> Result<()> {
    let client = aws_sdk_s3::Client::new(&state.sdk());
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(&pipeline.key_arn)
        .build()?;
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(default)
        .bucket_key_enabled(true)
        .build();
    let configuration = ServerSideEncryptionConfiguration::builder()
        .rules(rule)
        .build()?;
    for bucket in [&pipeline.artifacts_bucket, &pipeline.ledger_bucket] {
        let put = client.put_bucket_encryption().bucket(bucket);
        put.server_side_encryption_configuration(configuration.clone())
            .send()
            .await
            .with_context(|| format!("cannot set the default encryption of {bucket}"))?;
    }
    Ok(())
}

async fn built_template(directory: &Path) -> Result<std::path::PathBuf> {
    let mut python = process::tied(tools::python_tool("python"));
    python.arg(tools::root().join("xtask/python/built_template.py"));
    python.arg(tools::root().join("infra/pipeline.yaml"));
    python.arg(
        compile::zip_path("")
            .parent()
            .context("the zips have no directory")?,
    );
    let built = directory.join("built.yaml");
    image::write_whole(
        &built,
        process::output(python, "built_template.py")
            .await?
            .as_bytes(),
    )?;
    Ok(built)
}

/// Deploys the stacks of an app and its builder, unless they are deployed like that already.
pub(crate) async fn deploy_app(cloud: &mut LocalCloud, app: &App) -> Result<()> {
    let network = cloud
        .state
        .network
        .as_ref()
        .context("there is no load balancer yet")?;
    let template = |name: &str| {
        let path = tools::root().join("infra").join(name);
        path.to_string_lossy().into_owned()
    };
    let (app_template, builder_template) = (template("app.yaml"), template("builder.yaml"));
    let (stack, builder) = (app.stack(), format!("{}-builder", app.stack()));
    let (of_app, of_builder) = (app.overrides(network), app.of_builder(network));
    tokio::try_join!(
        deploy(&cloud.state, &stack, &app_template, &of_app),
        deploy(&cloud.state, &builder, &builder_template, &of_builder),
    )?;
    if !cloud.state.apps.contains(app) {
        cloud.state.apps.push(app.clone());
    }
    cloud.save()
}

async fn deploy(state: &State, stack: &str, template: &str, parameters: &[String]) -> Result<()> {
    let mut arguments = vec![
        "cloudformation",
        "deploy",
        "--stack-name",
        stack,
        "--template-file",
        template,
    ];
    arguments.extend(["--s3-bucket", CODE_BUCKET, "--no-fail-on-empty-changeset"]);
    arguments.extend([
        "--capabilities",
        "CAPABILITY_IAM",
        "CAPABILITY_AUTO_EXPAND",
        "--parameter-overrides",
    ]);
    arguments.extend(parameters.iter().map(String::as_str));
    let deployed = process::output(
        state.aws(&arguments),
        &format!("aws cloudformation deploy (stack {stack})"),
    )
    .await;
    if let Err(error) = deployed {
        let why = "StackEvents[?contains(ResourceStatus, `FAILED`)].[LogicalResourceId, ResourceStatusReason]";
        let events = [
            "cloudformation",
            "describe-stack-events",
            "--stack-name",
            stack,
            "--query",
            why,
            "--output",
            "text",
        ];
        let events = process::output(
            state.aws(&events),
            "aws cloudformation describe-stack-events",
        )
        .await;
        return Err(match events {
            Ok(events) if !events.is_empty() => error.context(events),
            _ => error,
        });
    }
    Ok(())
}

async fn outputs(state: &State) -> Result<Pipeline> {
    let query = "Stacks[0].Outputs[].[OutputKey, OutputValue]";
    let describe = [
        "cloudformation",
        "describe-stacks",
        "--stack-name",
        PIPELINE_STACK,
        "--query",
        query,
    ];
    let text = process::output(state.aws(&describe), "aws cloudformation describe-stacks").await?;
    let pairs: std::collections::HashMap<String, String> = serde_json::from_str(&text)
        .map(|pairs: Vec<(String, String)>| pairs.into_iter().collect())
        .context("the outputs of the pipeline's stack are not as expected")?;
    serde_json::from_value(serde_json::to_value(pairs)?)
        .context("an output of the pipeline's stack is missing")
}
