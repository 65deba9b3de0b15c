//! `cargo xtask package`: the functions as Lambda runs them, a zip each, built by cargo-lambda with Zig as the
//! linker, so that the host's C library does not matter (<https://www.cargo-lambda.info>). `sam build` makes the
//! same binaries; this needs no SAM CLI and no cargo-lambda on the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::compile::FUNCTIONS;
use crate::tools;
use crate::ui::Ui;

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
enum Architecture {
    Arm64,
    #[value(name = "x86_64")]
    X86_64,
}

impl Architecture {
    fn target(self) -> &'static str {
        match self {
            Self::Arm64 => "aarch64-unknown-linux-gnu",
            Self::X86_64 => "x86_64-unknown-linux-gnu",
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let target = options.architecture.target();
    check_target(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(tools::python(&Ui::new()))?;
    let cargo_lambda = cargo_lambda()?;

    let mut functions: Vec<&str> = options.functions.iter().map(String::as_str).collect();
    if functions.is_empty() {
        functions.extend(FUNCTIONS);
    }
    let mut build = Command::new(cargo_lambda.join("bin/cargo-lambda"));
    build.current_dir(tools::root()).args([
        "lambda",
        "build",
        "--release",
        "--output-format",
        "zip",
    ]);
    build.args(["--target", target]);
    for function in &functions {
        build.args(["--package", &format!("exuvia-{function}")]);
    }
    // Where it finds Zig: `python -m ziglang`.
    build
        .env("CARGO_ZIGBUILD_PYTHON_PATH", tools::python_tool("python"))
        .env("PYTHONPATH", &cargo_lambda);
    let status = build.status().context("cannot run cargo-lambda")?;
    if !status.success() {
        bail!("cargo-lambda could not build the functions ({status})");
    }
    for function in functions {
        let zip = Path::new("target/lambda").join(format!("exuvia-{function}/bootstrap.zip"));
        let bytes = std::fs::metadata(tools::root().join(&zip))
            .with_context(|| format!("{} is missing", zip.display()))?
            .len();
        println!("  {:<50} {:>6} KiB", zip.display(), bytes.div_ceil(1024));
    }
    Ok(())
}

/// The standard library for the target comes with rustup, not with cargo.
fn check_target(target: &str) -> Result<()> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .context("cannot run rustc")?;
    let library = String::from_utf8_lossy(&output.stdout);
    if !Path::new(library.trim()).is_dir() {
        bail!("Rust cannot build for {target} here: run `rustup target add {target}`");
    }
    Ok(())
}

/// Installs it, unless what [`REQUIREMENTS`] pins is there.
fn cargo_lambda() -> Result<PathBuf> {
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
    let pip = Command::new(tools::python_tool("python"))
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
        .context("cannot run pip")?;
    if !pip.success() {
        bail!("cargo-lambda cannot be installed: is PyPI reachable from here?");
    }
    std::fs::write(stamp, wanted)?;
    Ok(directory)
}
