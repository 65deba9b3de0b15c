//! `cargo xtask bench`: what deploys take and cost, measured, and docs/performance.md made of it.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::cloud::Instances;
use crate::package::{self, Architecture};
use crate::process;
use crate::simulate::PROFILE;
use crate::ui::Ui;
use crate::{compile, test, tools};

const BINARY: &str = "exuvia-bench";
/// The one that is built and measured where little will do.
const QUICK_FUNCTION: &str = "recover";

#[derive(clap::Args, Debug)]
#[command(after_help = "\
What was found is kept as JSON in target/bench, so parts can be measured one after the other; docs/performance.md has what is
there. What the program that measures takes besides, by part: target/simulation/exuvia-bench PART --help.")]
pub(crate) struct Options {
    /// What to measure; everything, if it is not given
    #[arg(long = "part", value_name = "PART", value_enum)]
    parts: Vec<Part>,
    /// Little of each, to see whether it works; docs/performance.md stays as it is
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// In virtual time: overhead, rollbacks, growth, many at once, costs; half an hour
    Deploys,
    /// As Lambda starts them: the functions' size, start, first call, overhead and memory; half an hour to build them, and ten
    /// minutes. Needs root, to limit the processor
    Functions,
    /// In a local AWS, in real time: lost requests, overhead, many deploys at once; half an hour
    Load,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Deploys => "deploys",
            Self::Functions => "functions",
            Self::Load => "load",
        }
    }

    /// What of the part is measured where little will do.
    fn quickly(self) -> &'static [&'static str] {
        match self {
            Self::Deploys => &[
                "--deploys",
                "3",
                "--instances",
                "1,10",
                "--apps",
                "1,10",
                "--uploads",
                "2",
            ],
            Self::Functions => &["--starts", "1", "--warm", "1", "--function", QUICK_FUNCTION],
            Self::Load => &["--quick"],
        }
    }
}

pub(crate) async fn run(ui: &Ui, options: &Options) -> Result<()> {
    let step = ui.step("Build", "what measures", Some("ten minutes the first time"));
    let mut cargo = compile::cargo();
    cargo.args(["build", "--profile", PROFILE, "--bin", BINARY]);
    compile::build(cargo, &step).await?;
    step.done("what measures");

    let found = if options.quick {
        tools::local().join("bench-quick")
    } else {
        tools::root().join("target/bench")
    };
    std::fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    let parts = match &options.parts[..] {
        [] => Part::value_variants(),
        parts => parts,
    };
    for part in parts {
        let output = found.join(format!("{}.json", part.name()));
        let mut arguments = vec![
            part.name().into(),
            "--output".into(),
            output.into_os_string(),
        ];
        if options.quick {
            arguments.extend(part.quickly().iter().map(Into::into));
        }
        match part {
            Part::Deploys => measure(arguments, Vec::new()).await?,
            Part::Functions => {
                let this = Architecture::of_this_machine();
                let functions: &[&str] = if options.quick {
                    &[QUICK_FUNCTION]
                } else {
                    &compile::FUNCTIONS
                };
                package::functions(ui, this, functions).await?;
                package::baselines(ui, this).await?;
                measure(arguments, Vec::new()).await?;
            }
            Part::Load => {
                crate::prepare(ui).await?;
                let cloud = test::cloud(ui, "bench", 1, Instances::Processes).await?;
                measure(arguments, test::environment(&cloud)?).await?;
            }
        }
    }
    if options.quick {
        return Ok(());
    }
    measure(vec!["page".into()], Vec::new()).await?;
    ui.line("\n  docs/performance.md");
    Ok(())
}

async fn measure(
    arguments: Vec<std::ffi::OsString>,
    environment: Vec<(&'static str, String)>,
) -> Result<()> {
    let program: PathBuf = tools::root().join("target").join(PROFILE).join(BINARY);
    let mut measuring = process::tied(&program);
    measuring
        .current_dir(tools::root())
        .args(&arguments)
        .envs(environment);
    let status = measuring
        .status()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !status.success() {
        let what = arguments.first().map(|part| part.to_string_lossy());
        bail!("measuring {} failed ({status})", what.unwrap_or_default());
    }
    Ok(())
}
