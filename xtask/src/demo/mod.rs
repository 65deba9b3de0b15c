//! `cargo xtask demo`: one upload is deployed, one replaces it, one is turned away, and a visitor notices
//! nothing but the new version.

mod fleet;
mod notices;
mod pages;
mod visitor;
mod watch;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cloud::network::Network;
use crate::cloud::stacks::{self, App, Pipeline};
use crate::cloud::{Instances, LocalCloud, State};
use crate::process::Lifetime;
use crate::ui::{Tone, Ui, seconds};
use crate::{compile, up};
use fleet::Observer;
use notices::Notices;
use visitor::Visitors;
use watch::clock;

/// In real time, for a notice that was published to arrive.
const NOTICE_ARRIVES_WITHIN: Duration = Duration::from_secs(5);

/// What the three deploys share.
pub(crate) struct Stage<'a> {
    ui: &'a Ui,
    state: &'a State,
    app: App,
    pipeline: Pipeline,
    s3: aws_sdk_s3::Client,
    sfn: aws_sdk_sfn::Client,
    observer: Observer,
    notices: Notices,
    visitors: Visitors,
}

impl<'a> Stage<'a> {
    async fn set(
        ui: &'a Ui,
        state: &'a State,
        app: App,
        network: &Network,
        pipeline: Pipeline,
    ) -> Result<Self> {
        let sdk = state.sdk();
        Ok(Self {
            ui,
            state,
            app,
            s3: aws_sdk_s3::Client::new(&sdk),
            sfn: aws_sdk_sfn::Client::new(&sdk),
            observer: Observer::new(state, network),
            notices: Notices::subscribe(state, &pipeline.topic_arn).await?,
            visitors: Visitors::send_to(&network.url()),
            pipeline,
        })
    }

    /// Prints what has arrived; returns how many.
    fn print_notices(&mut self) -> Result<usize> {
        let mut count = 0;
        while let Some(notice) = self.notices.next()? {
            let content = notice.content;
            let title = self.ui.paint(Tone::Bold, &content.title);
            self.ui.line(format!(
                "           {} {title}",
                self.ui.paint(Tone::Note, "✉")
            ));
            for line in content.lines() {
                self.ui
                    .line(format!("             {}", self.ui.paint(Tone::Dim, &line)));
            }
            count += 1;
        }
        Ok(count)
    }
}

/// A version of hello, and what is to become of it.
struct Act {
    version: &'static str,
    about: &'static str,
    /// The last state of its deploy.
    ends_as: &'static str,
    said: &'static str,
    serves_then: &'static str,
}

const ACTS: [Act; 3] = [
    Act {
        version: "v1",
        about: "the first deploy",
        ends_as: "Succeeded",
        said: "went live",
        serves_then: "v1",
    },
    Act {
        version: "v2",
        about: "replaces v1 while visitors use it",
        ends_as: "Succeeded",
        said: "replaced v1",
        serves_then: "v2",
    },
    Act {
        version: "v3",
        about: "answers its health check with 500",
        ends_as: "Rolled Back",
        said: "was rolled back",
        serves_then: "v2",
    },
];

/// Runs the demo in the directory; an error says what did not happen as it should.
pub(crate) async fn run(ui: &Ui, directory: &Path, speed: u32, instances: Instances) -> Result<()> {
    let began = Instant::now();
    ui.line(format!(
        "\n{}  one upload is deployed, replaced and rolled back, all for real, on this machine\n",
        ui.paint(Tone::Bold, "Exuvia")
    ));
    crate::prepare(ui).await?;
    instances.check().await?;
    up::install_cli()?;
    let logs = || {
        format!(
            "the demo broke off; its logs are in {}",
            directory.display()
        )
    };
    let (cloud, app) = start(ui, directory, speed, instances)
        .await
        .with_context(logs)?;
    let network = cloud
        .state
        .network
        .clone()
        .context("there is no load balancer")?;
    let pipeline = cloud
        .state
        .pipeline
        .clone()
        .context("there is no pipeline")?;
    let mut stage = Stage::set(ui, &cloud.state, app, &network, pipeline).await?;

    let mut problems = Vec::new();
    let mut lines = Vec::new();
    for act in &ACTS {
        let (line, wrong) = play(&mut stage, act).await.with_context(logs)?;
        lines.push(line);
        let is_wrong = !wrong.is_empty();
        problems.extend(wrong);
        if is_wrong {
            break;
        }
    }
    lines.push(visitors_line(&stage, &mut problems));
    let left = stage
        .observer
        .leftovers(&stage.pipeline, &stage.app)
        .await?;
    lines.push(line(
        ui,
        left.is_empty(),
        "leftovers",
        if left.is_empty() { "none" } else { "see below" },
    ));
    problems.extend(left.iter().map(|left| format!("left over: {left}")));

    // Beside the cloud's own files, which the next one begins without.
    let name = directory.file_name().unwrap_or_default().display();
    let kept = directory.with_file_name(format!("{name}-pages"));
    let pages = pages::keep(&stage, &kept).await.with_context(logs)?;
    for (name, file) in [("slack", &pages.slack), ("reports", &pages.reports)] {
        lines.push(line(ui, true, name, &format!("file://{}", file.display())));
    }

    let real = seconds(began.elapsed());
    let note =
        format!("times are the cloud's, {speed} times as fast as real ones; all this took {real}");
    ui.line(format!(
        "\n{}\n    {}\n",
        lines.join("\n"),
        ui.paint(Tone::Dim, &note)
    ));
    if !problems.is_empty() {
        bail!(
            "{}\n(logs: {})",
            problems.join("\n"),
            cloud.directory().display()
        );
    }
    Ok(())
}

/// Deploys one version; returns the summary's line, and what did not happen as it should.
async fn play(stage: &mut Stage<'_>, act: &Act) -> Result<(String, Vec<String>)> {
    let name = format!("hello {}", act.version);
    stage.ui.line(format!(
        "\n  {}  {}",
        stage.ui.paint(Tone::Bold, &name),
        act.about
    ));
    let ending = watch::deploy(stage, act.version, &compile::hello_image(act.version)).await?;
    last_notice(stage).await?;

    let mut problems = Vec::new();
    if ending.state != act.ends_as {
        let why = ending
            .cause
            .as_deref()
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        problems.push(format!(
            "{} ended as `{}`, not as `{}`{why}",
            act.version, ending.state, act.ends_as
        ));
    }
    let seen = stage
        .visitors
        .visits()
        .latest
        .map_or("nothing".to_owned(), |answer| answer.version);
    if seen != act.serves_then {
        problems.push(format!(
            "{} should serve after {}, and visitors see {seen}",
            act.serves_then, act.version
        ));
    }
    let good = problems.is_empty();
    let said = if good {
        act.said
    } else {
        "did not end as it should"
    };
    let took = clock(ending.took.as_secs());
    Ok((
        line(
            stage.ui,
            good,
            &name,
            &format!("{said} in {}", took.trim_start()),
        ),
        problems,
    ))
}

fn visitors_line(stage: &Stage<'_>, problems: &mut Vec<String>) -> String {
    let visits = stage.visitors.visits();
    let versions: Vec<String> = visits
        .versions
        .iter()
        .map(|(version, count)| format!("{version} {count}"))
        .collect();
    if visits.failed > 0 {
        problems.push(format!(
            "{} requests failed, for instance: {}",
            visits.failed,
            visits.reasons.join("; ")
        ));
    }
    let text = format!(
        "{} answers ({}), {} failed",
        visits.answered,
        versions.join(", "),
        visits.failed
    );
    line(
        stage.ui,
        visits.failed == 0 && visits.answered > 0,
        "visitors",
        &text,
    )
}

fn line(ui: &Ui, good: bool, name: &str, text: &str) -> String {
    format!("  {} {name:<10}{text}", ui.mark(good))
}

async fn start(
    ui: &Ui,
    directory: &Path,
    speed: u32,
    instances: Instances,
) -> Result<(LocalCloud, App)> {
    let step = ui.step("Cloud", "starting the local AWS", None);
    let mut cloud = LocalCloud::start(directory, speed, instances, Lifetime::Tied).await?;
    step.done(&format!(
        "a local AWS at {}, where time runs {speed} times as fast",
        cloud.state.endpoint()
    ));

    let step = ui.step(
        "Stacks",
        "deploying infra/pipeline.yaml and infra/app.yaml",
        Some("about 15 s"),
    );
    stacks::deploy_pipeline(&mut cloud).await?;
    // Shorter than for a real app, so that the demo is worth watching.
    // A machine takes real seconds for what the cloud's clock calls minutes.
    let boot = match instances {
        Instances::Processes => 120,
        Instances::Docker => 30 * speed.max(10),
    };
    let boot = boot.to_string();
    let parameters = [
        ("BakeSeconds", "30"),
        ("BootSeconds", boot.as_str()),
        ("DrainSeconds", "30"),
    ];
    let app = App {
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..App::hello()
    };
    stacks::deploy_app(&mut cloud, &app).await?;
    step.done(&format!(
        "{} and {} are deployed",
        stacks::PIPELINE_STACK,
        app.stack()
    ));
    Ok((cloud, app))
}

/// The notice of how a deploy ended is on its way when the execution ends.
async fn last_notice(stage: &mut Stage<'_>) -> Result<()> {
    let began = Instant::now();
    let mut quiet = Duration::ZERO;
    while began.elapsed() < NOTICE_ARRIVES_WITHIN && quiet < Duration::from_millis(500) {
        let pause = Duration::from_millis(100);
        tokio::time::sleep(pause).await;
        quiet = if stage.print_notices()? > 0 {
            Duration::ZERO
        } else {
            quiet + pause
        };
    }
    Ok(())
}
