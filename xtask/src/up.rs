//! `cargo xtask up`, `env` and `down`: a local AWS that stays.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use exuvia_core::name::{AppName, Environment};

use crate::cloud::stacks::{self, App};
use crate::cloud::{self, Instances, LocalCloud, State};
use crate::process::{self, Lifetime};
use crate::tools;
use crate::ui::{Tone, Ui};

/// A deploy of some minutes is over in a good part of a minute: time enough to see it, no time to get bored.
const DEFAULT_SPEED: u32 = 10;
/// Of the first app that is added; those before it are for apps that are deployed by hand.
const FIRST_ADDED_PRIORITY: u16 = 501;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// One more app, beside hello in qa; goes with --environment, may be given again
    #[arg(long = "app", value_name = "NAME")]
    apps: Vec<AppName>,
    /// The environment of that app
    #[arg(long = "environment", value_name = "NAME")]
    environments: Vec<Environment>,
    /// How many times as fast as real time the local AWS's time runs (10 if not given)
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    speed: Option<u32>,
    /// Let instances boot by infra/boot.sh and run a docker engine; needs root
    #[arg(long)]
    docker: bool,
    /// Be what keeps the local AWS in this directory up
    #[arg(long, hide = true, value_name = "DIRECTORY")]
    keep: Option<PathBuf>,
}

pub(crate) fn directory() -> PathBuf {
    tools::local().join("up")
}

/// Starts it, or joins the one that runs, and deploys what is not deployed yet.
pub(crate) async fn up(ui: &Ui, options: &Options) -> Result<()> {
    if let Some(directory) = &options.keep {
        return cloud::keeper::keep(directory).await;
    }
    if options.apps.len() != options.environments.len() {
        bail!("give --app and --environment as often as each other: --app shop --environment qa");
    }
    ui.line("");
    crate::prepare(ui).await?;
    install_cli()?;

    let directory = directory();
    let mut cloud = if let Some(cloud) = LocalCloud::join(&directory).await? {
        if options
            .speed
            .is_some_and(|speed| speed != cloud.state.speed)
        {
            bail!(
                "the local AWS that runs has speed {}: `cargo xtask down` first",
                cloud.state.speed
            );
        }
        if options.docker && cloud.state.instances != Instances::Docker {
            bail!("the local AWS that runs has no docker: `cargo xtask down` first");
        }
        ui.line(format!(
            "  {} Cloud     it is running already",
            ui.mark(true)
        ));
        cloud
    } else {
        let instances = Instances::with(options.docker);
        instances.check().await?;
        let step = ui.step("Cloud", "starting the local AWS", None);
        let cloud = LocalCloud::start(
            &directory,
            options.speed.unwrap_or(DEFAULT_SPEED),
            instances,
            Lifetime::Detached,
        )
        .await?;
        step.done(&format!("a local AWS at {}", cloud.state.endpoint()));
        cloud
    };

    let step = ui.step(
        "Stacks",
        "deploying infra/pipeline.yaml and infra/app.yaml",
        Some("about 15 s"),
    );
    stacks::deploy_pipeline(&mut cloud).await?;
    let apps = apps(&cloud.state, options);
    for app in &apps {
        step.detail(&app.stack());
        stacks::deploy_app(&mut cloud, app).await?;
    }
    let deployed: Vec<String> = apps.iter().map(App::stack).collect();
    step.done(&format!(
        "{}, {} are deployed",
        stacks::PIPELINE_STACK,
        deployed.join(", ")
    ));
    cloud.keep();
    ui.line(what_next(ui, &cloud.state)?);
    Ok(())
}

/// hello in qa, those that are there already, and those that were asked for.
fn apps(state: &State, options: &Options) -> Vec<App> {
    let mut apps = vec![App::hello()];
    apps.extend(
        state
            .apps
            .iter()
            .filter(|app| **app != App::hello())
            .cloned(),
    );
    for (name, environment) in options.apps.iter().zip(&options.environments) {
        let (name, environment) = (name.to_string(), environment.to_string());
        if apps
            .iter()
            .any(|app| app.name == name && app.environment == environment)
        {
            continue;
        }
        let highest = apps
            .iter()
            .filter(|app| app.host.is_some())
            .map(|app| app.priority)
            .max();
        apps.push(App {
            host: Some(format!("{name}.{environment}.localhost")),
            name,
            environment,
            priority: highest.map_or(FIRST_ADDED_PRIORITY, |priority| priority + 1),
            parameters: Vec::new(),
        });
    }
    apps
}

fn what_next(ui: &Ui, state: &State) -> Result<String> {
    let network = state
        .network
        .as_ref()
        .context("there is no load balancer")?;
    let address = |app: &App| {
        let url = app.host.as_ref().map_or(network.url(), |host| {
            format!("http://{host}:{}", network.port)
        });
        format!(
            "  {:<16}{url}\n",
            format!("{} in {}", app.name, app.environment)
        )
    };
    let addresses: String = state.apps.iter().map(address).collect();
    let bold = |text: &str| ui.paint(Tone::Bold, text);
    let dim = |text: &str| ui.paint(Tone::Dim, text);
    Ok(format!(
        r#"
{title} Its time runs {speed} times as fast as yours: a bake of 60 s is over in {bake} s.

{addresses}
{next}
  eval "$(cargo xtask env)"                        {env}
  aws s3 cp target/images/hello-v1.tar.gz "s3://$EXUVIA_ARTIFACTS_BUCKET/hello/qa/v1.tar.gz"
  curl "$EXUVIA_LOAD_BALANCER_URL"                 {curl}
  aws stepfunctions list-executions --state-machine-arn "$EXUVIA_STATE_MACHINE_ARN" \
    --output table --query "executions[].[name, status]"
  cargo xtask releases                             what was deployed; a page of each is in the ledger
  curl "$EXUVIA_SLACK_URL/conversation"            {slack}

  {versions}
  cargo xtask image --binary PROGRAM --version 1.0 --output shop.tar.gz    {image}

{another}
  cargo xtask up --app shop --environment qa
  aws cloudformation deploy --template-file infra/app.yaml --stack-name exuvia-shop-qa \
    --capabilities CAPABILITY_IAM --parameter-overrides App=shop Environment=qa HealthCheckPath=/health \
    Priority=100 HostNames=shop.qa.localhost ListenerArn="$EXUVIA_LISTENER_ARN" \
    VpcId="$EXUVIA_VPC_ID" Subnets="$EXUVIA_SUBNETS" AmiId="$EXUVIA_AMI_ID" \
    LoadBalancerSecurityGroup="$EXUVIA_LOAD_BALANCER_SECURITY_GROUP" Architecture={architecture}

{end}
  cargo xtask down                                 {logs}
"#,
        title = bold("A local AWS is up."),
        speed = state.speed,
        architecture = stacks::ARCHITECTURE,
        bake = 60 / state.speed,
        next = bold("Deploy something:"),
        env = dim("the AWS CLI, pointed here"),
        curl = dim("404 until a release is live"),
        slack = dim("what a channel in Slack would have heard"),
        versions = dim(
            "hello-v2 is there as well, and hello-v3, which fails its health check (GET /health)."
        ),
        image = dim("an image of a static program of yours"),
        another = bold("One more app, in either way:"),
        end = bold("End it:"),
        logs = dim("until then its logs are in .local/up"),
    ))
}

/// Prints what a shell is to evaluate.
pub(crate) fn env() -> Result<()> {
    let directory = directory();
    let state = cloud::running(&directory)?.with_context(|| {
        let why = cloud::why_it_ended(&directory).map_or_else(String::new, |why| {
            format!("\nthe last one ended by itself: {why}")
        });
        format!("no local AWS is running: `cargo xtask up` starts one{why}")
    })?;
    let network = state
        .network
        .as_ref()
        .context("the local AWS is not complete: `cargo xtask up` goes on")?;
    let pipeline = state
        .pipeline
        .as_ref()
        .context("the local AWS is not complete: `cargo xtask up` goes on")?;
    println!("unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SESSION_TOKEN AWS_SECURITY_TOKEN");
    for (name, value) in environment(&state, network, pipeline) {
        println!("export {name}={}", quoted(&value));
    }
    for name in process::NO_PROXY {
        if let Ok(exempt) = std::env::var(name) {
            println!("export {name}={}", quoted(&exempt));
        }
    }
    println!(
        "export PATH={}:\"$PATH\"",
        quoted(&cli_directory().to_string_lossy())
    );
    Ok(())
}

/// What clients and the end-to-end tests find the local AWS by.
pub(crate) fn environment(
    state: &State,
    network: &cloud::network::Network,
    pipeline: &stacks::Pipeline,
) -> Vec<(&'static str, String)> {
    let mut variables = state.client_environment();
    variables.extend([
        ("EXUVIA_ARTIFACTS_BUCKET", pipeline.artifacts_bucket.clone()),
        ("EXUVIA_LEDGER_BUCKET", pipeline.ledger_bucket.clone()),
        ("EXUVIA_TOPIC_ARN", pipeline.topic_arn.clone()),
        (
            "EXUVIA_STATE_MACHINE_ARN",
            pipeline.state_machine_arn.clone(),
        ),
        (
            "EXUVIA_BUILD_STATE_MACHINE_ARN",
            pipeline.build_state_machine_arn.clone(),
        ),
        ("EXUVIA_LOAD_BALANCER_URL", network.url()),
        ("EXUVIA_LISTENER_ARN", network.listener_arn.clone()),
        ("EXUVIA_VPC_ID", network.vpc.clone()),
        ("EXUVIA_SUBNETS", network.subnets.join(",")),
        (
            "EXUVIA_LOAD_BALANCER_SECURITY_GROUP",
            network.security_group.clone(),
        ),
        ("EXUVIA_AMI_ID", network.ami_parameter.clone()),
        ("EXUVIA_SLACK_URL", state.slack()),
        ("EXUVIA_SPEED", state.speed.to_string()),
    ]);
    variables
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Where `aws` is, and nothing else: a shell wants it on its PATH, and not all of the Python environment.
fn cli_directory() -> PathBuf {
    tools::local().join("bin")
}

/// The PATH of this process, with the pinned AWS CLI in front.
pub(crate) fn path_with_cli() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", cli_directory().display())
}

/// The same for machines, with the Python that the AWS CLI runs on: another may be a script that looks for one.
pub(crate) fn path_of_machines() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let python = tools::local().join("python/bin");
    format!("{}:{}:{path}", cli_directory().display(), python.display())
}

/// Puts `aws` into its directory.
pub(crate) fn install_cli() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = cli_directory();
    std::fs::create_dir_all(&directory)?;
    let python = quoted(&tools::python_tool("python").to_string_lossy());
    let cli = quoted(
        &tools::root()
            .join("xtask/python/aws_quickly.py")
            .to_string_lossy(),
    );
    let path = directory.join("aws");
    crate::image::write_whole(
        &path,
        format!("#!/bin/sh\nexec {python} {cli} \"$@\"\n").as_bytes(),
    )?;
    Ok(std::fs::set_permissions(
        &path,
        std::fs::Permissions::from_mode(0o755),
    )?)
}

/// Ends it.
pub(crate) fn down(ui: &Ui) -> Result<()> {
    if LocalCloud::stop_in(&directory())? {
        ui.line("The local AWS has ended, and everything in it.");
    } else {
        ui.line("No local AWS is running.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        for value in ["plain", "two words", "it's", "$HOME `id` \"x\"", ""] {
            let script = format!("printf %s {}", quoted(value));
            let shell = std::process::Command::new("sh")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&shell.stdout), value);
        }
    }
}
