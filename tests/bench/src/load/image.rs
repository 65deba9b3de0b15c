//! Images to upload: of the app of the load, and of hello.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::root;

const PROGRAM: &str = "exuvia-bench-app";

fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Builds the app as a static program: there is nothing beside it in its image.
pub(super) async fn build() -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root())
        .args(["rustc", "--quiet", "--package", PROGRAM, "--bin", PROGRAM])
        .args(["--target", &triple(), "--"])
        .args(["-C", "target-feature=+crt-static", "-C", "strip=symbols"]);
    run(cargo, "cargo rustc").await
}

/// The app, with these variables in its environment.
pub(super) async fn of_app(version: &str, environment: &[String]) -> Result<Vec<u8>> {
    let program = root().join("target").join(triple()).join("debug");
    packed(program.join(PROGRAM), version, environment).await
}

/// hello, which is much smaller.
pub(super) async fn of_hello() -> Result<Vec<u8>> {
    let program = root().join("target").join(triple()).join("debug/hello");
    packed(program, "v1", &[]).await
}

async fn packed(program: PathBuf, version: &str, environment: &[String]) -> Result<Vec<u8>> {
    let name = format!("load-{}-{version}.tar.gz", std::process::id());
    let output = root().join("target/images").join(name);
    let mut xtask = Command::new(root().join("target/debug/xtask"));
    xtask.args(["image", "--version", version, "--binary"]);
    xtask.arg(program).arg("--output").arg(&output);
    for variable in environment {
        xtask.args(["--env", variable]);
    }
    run(xtask, "xtask image").await?;
    let bytes = std::fs::read(&output)?;
    std::fs::remove_file(&output)?;
    Ok(bytes)
}

async fn run(mut command: Command, what: &str) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {what}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}", said.trim());
    Ok(())
}
