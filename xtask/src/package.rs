//! `cargo xtask package`: the functions as Lambda runs them, a zip each, built by cargo-lambda with Zig as the
//! linker, so that the host's C library does not matter (<https://www.cargo-lambda.info>). `sam build` makes the
//! same binaries; this needs no SAM CLI and no cargo-lambda on the machine.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::compile::FUNCTIONS;
use crate::ui::Ui;
use crate::{process, tools};

const REQUIREMENTS: &str = "xtask/python/package.txt";

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// The processor they are to run on: the Architecture of infra/pipeline.yaml
    #[arg(long, value_enum, default_value_t = Architecture::Arm64)]
    architecture: Architecture,
    /// The functions, by their directories; all, if none is named
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(FUNCTIONS))]
    functions: Vec<String>,
}

/// In Lambda's words.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Architecture {
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    pub(crate) fn of_this_machine() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Arm64
        } else {
            Self::X86_64
        }
    }

    fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }
}

pub(crate) async fn run(ui: &Ui, options: &Options) -> Result<()> {
    let mut named: Vec<&str> = options.functions.iter().map(String::as_str).collect();
    if named.is_empty() {
        named.extend(FUNCTIONS);
    }
    functions(ui, options.architecture, &named).await?;
    for function in named {
        let zip = Path::new("target/lambda").join(format!("exuvia-{function}/bootstrap.zip"));
        let bytes = std::fs::metadata(tools::root().join(&zip))
            .with_context(|| format!("{} is missing", zip.display()))?
            .len();
        println!("  {:<50} {:>6} KiB", zip.display(), bytes.div_ceil(1024));
    }
    Ok(())
}

/// Each function's zip, `target/lambda/exuvia-<function>/bootstrap.zip`.
pub(crate) async fn functions(
    ui: &Ui,
    architecture: Architecture,
    functions: &[&str],
) -> Result<()> {
    let packages: Vec<String> = functions
        .iter()
        .map(|function| format!("--package=exuvia-{function}"))
        .collect();
    let arguments = ["--release"]
        .into_iter()
        .chain(packages.iter().map(String::as_str));
    build(ui, architecture, "", "target", arguments).await
}

/// What the functions are measured beside, `target/baselines/lambda/<baseline>/bootstrap.zip`: by the profiles that
/// `tests/bench/baselines/Cargo.toml` tells.
pub(crate) async fn baselines(ui: &Ui, architecture: Architecture) -> Result<()> {
    for arguments in [
        ["--profile=product", "--package=baseline-empty"],
        ["--release", "--package=baseline-default-sdk"],
    ] {
        let workspace = "tests/bench/baselines";
        build(ui, architecture, workspace, "target/baselines", arguments).await?;
    }
    Ok(())
}

/// Builds what the arguments name, of the workspace in a directory of the checkout.
async fn build(
    ui: &Ui,
    architecture: Architecture,
    workspace: &str,
    target_directory: &str,
    arguments: impl IntoIterator<Item = &str>,
) -> Result<()> {
    let target = architecture.target();
    check_target(target).await?;
    tools::python(ui).await?;
    let cargo_lambda = cargo_lambda().await?;
    let mut build = process::tied(cargo_lambda.join("bin/cargo-lambda"));
    build
        .current_dir(tools::root().join(workspace))
        .args(["lambda", "build", "--output-format", "zip"])
        .args(["--target", target])
        .args(arguments)
        .env("CARGO_TARGET_DIR", tools::root().join(target_directory))
        // Where it finds Zig: `python -m ziglang`.
        .env("CARGO_ZIGBUILD_PYTHON_PATH", tools::python_tool("python"))
        .env("PYTHONPATH", &cargo_lambda);
    let status = build.status().await.context("cannot run cargo-lambda")?;
    if !status.success() {
        bail!("cargo-lambda could not build it ({status})");
    }
    Ok(())
}

/// The standard library for the target comes with rustup, not with cargo.
async fn check_target(target: &str) -> Result<()> {
    let mut rustc = process::tied("rustc");
    rustc.args(["--print", "target-libdir", "--target", target]);
    let library = process::output(rustc, "rustc").await?;
    if !Path::new(library.trim()).is_dir() {
        bail!("Rust cannot build for {target} here: run `rustup target add {target}`");
    }
    Ok(())
}

/// Installs it, unless what [`REQUIREMENTS`] pins is there.
async fn cargo_lambda() -> Result<PathBuf> {
    let requirements = tools::root().join(REQUIREMENTS);
    let wanted = std::fs::read(&requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let directory = tools::local().join("cargo-lambda");
    let stamp = directory.join("package.txt");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(directory);
    }
    println!("  installing cargo-lambda and Zig into .local/cargo-lambda (100 MB, once)");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    let mut pip = process::tied(tools::python_tool("python"));
    let status = pip
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
        ])
        .arg("--require-hashes")
        .arg("--target")
        .arg(&directory)
        .arg("--requirement")
        .arg(&requirements)
        .status()
        .await
        .context("cannot run pip")?;
    if !status.success() {
        bail!("cargo-lambda cannot be installed: is PyPI reachable from here?");
    }
    std::fs::write(stamp, wanted)?;
    Ok(directory)
}
