//! What the local AWS runs: the functions as zips, the local AWS's own part, and hello as three images.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::image::{self, Compression, Layout};
use crate::process;
use crate::tools::root;
use crate::ui::{Step, Ui};

/// The functions, by the directory under `functions/`; the binary is `exuvia-<name>`.
pub(crate) const FUNCTIONS: [&str; 13] = [
    "trigger",
    "validate",
    "lock",
    "plan",
    "launch",
    "check-health",
    "shift-traffic",
    "retire",
    "notify",
    "recover",
    "build",
    "report",
    "slack",
];

/// The zip that a function is deployed from.
pub(crate) fn zip_path(function: &str) -> PathBuf {
    root().join("target/lambda").join(format!("{function}.zip"))
}

/// The program that answers Auto Scaling and Elastic Load Balancing.
pub(crate) fn cloud_binary() -> PathBuf {
    root().join("target/debug/exuvia-cloud")
}

/// An image of hello, as somebody would upload it.
pub(crate) fn hello_image(version: &str) -> PathBuf {
    root()
        .join("target/images")
        .join(format!("hello-{version}.tar.gz"))
}

/// Builds everything that a local AWS needs.
pub(crate) async fn all(ui: &Ui) -> Result<()> {
    let first = !root().join("target/lambda").exists();
    let step = ui.step(
        "Build",
        "the functions, the local AWS and hello",
        first.then_some("some minutes the first time"),
    );

    let mut cargo = cargo();
    // By --bin, not by --package: then features are those of the whole workspace, as they are for xtask itself
    // and for the tests, and nothing is compiled twice.
    cargo.args(["build", "--bin", "exuvia-cloud"]);
    for function in FUNCTIONS {
        cargo.args(["--bin", &format!("exuvia-{function}")]);
    }
    build(cargo, &step).await?;
    step.detail("zipping the functions");
    zip_functions().await?;
    step.detail("hello");
    hello(&step).await?;
    step.done(&format!(
        "{} functions, the local AWS, hello v1, v2 and v3",
        FUNCTIONS.len()
    ));
    Ok(())
}

pub(crate) fn cargo() -> Command {
    let mut cargo = process::tied(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).stdin(Stdio::null());
    cargo
}

/// Runs cargo, showing which crate it is at.
pub(crate) async fn build(mut cargo: Command, step: &Step) -> Result<()> {
    let mut child = cargo
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let mut lines = BufReader::new(child.stderr.take().context("cargo has no stderr")?).lines();
    let mut printed = Vec::new();
    while let Some(line) = lines.next_line().await? {
        if line.trim().starts_with("Blocking ") {
            step.detail("waiting for another cargo");
        }
        if let Some(what) = line.trim().strip_prefix("Compiling ") {
            step.detail(what.split(" (").next().unwrap_or(what));
        }
        printed.push(line);
    }
    if !child.wait().await?.success() {
        bail!("the build failed\n{}", printed.join("\n"));
    }
    Ok(())
}

/// Lays each function out as Lambda wants it: a zip with `bootstrap` in it, without debug information.
async fn zip_functions() -> Result<()> {
    let mut zips = tokio::task::JoinSet::new();
    for function in FUNCTIONS {
        zips.spawn_blocking(move || zip_function(function));
    }
    while let Some(done) = zips.join_next().await {
        done??;
    }
    Ok(())
}

fn zip_function(function: &str) -> Result<()> {
    let binary = root()
        .join("target/debug")
        .join(format!("exuvia-{function}"));
    let zip = zip_path(function);
    if is_newer(&zip, &binary) {
        return Ok(());
    }
    let directory = root().join("target/lambda").join(function);
    std::fs::create_dir_all(&directory)?;
    let bootstrap = directory.join("bootstrap");
    // With debug information a function is about three times as large, and each is copied several times.
    let stripped = std::process::Command::new("strip")
        .arg("-o")
        .arg(&bootstrap)
        .arg(&binary)
        .status();
    if !stripped.is_ok_and(|status| status.success()) {
        std::fs::copy(&binary, &bootstrap)
            .with_context(|| format!("cannot copy {}", binary.display()))?;
    }
    image::write_whole(&zip, &zip_of("bootstrap", &std::fs::read(&bootstrap)?)?)
}

fn is_newer(made: &Path, from: &Path) -> bool {
    let modified = |path: &Path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    matches!((modified(made), modified(from)), (Some(made), Some(from)) if made > from)
}

/// A zip of one program; the same program gives the same bytes.
fn zip_of(name: &str, content: &[u8]) -> Result<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(1))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, options)?;
    zip.write_all(content)?;
    Ok(zip.finish()?.into_inner())
}

/// hello as a static program (there is nothing beside it in its image), and the three versions of it.
async fn hello(step: &Step) -> Result<()> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = cargo();
    cargo.args([
        "rustc",
        "--package",
        "hello",
        "--bin",
        "hello",
        "--target",
        &triple,
    ]);
    cargo.args([
        "--",
        "-C",
        "target-feature=+crt-static",
        "-C",
        "strip=symbols",
    ]);
    build(cargo, step)
        .await
        .context("hello cannot be linked statically: is the static C library (libc6-dev) there?")?;

    let binary = root().join("target").join(&triple).join("debug/hello");
    for (version, environment) in [("v1", None), ("v2", None), ("v3", Some("HELLO_HEALTH=500"))] {
        image::run(&image::Options {
            binary: binary.clone(),
            version: version.to_owned(),
            environment: environment.map(str::to_owned).into_iter().collect(),
            layout: Layout::Oci,
            compression: Compression::Gzip,
            output: hello_image(version),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the rules of somebody else's reader: Python is what Lambda's stand-in unpacks with.
    #[test]
    fn the_zip_is_one_that_python_unpacks() {
        let directory = std::env::temp_dir().join(format!("exuvia-zip-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let zip = directory.join("function.zip");
        let content = b"a program, a program, a program";
        std::fs::write(&zip, zip_of("bootstrap", content).unwrap()).unwrap();
        let script = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; \
             i = z.getinfo('bootstrap'); print(oct(i.external_attr >> 16), z.read(i).decode())";
        let python = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(&zip)
            .output()
            .unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&python.stdout).trim(),
            "0o100755 a program, a program, a program",
            "{}",
            String::from_utf8_lossy(&python.stderr)
        );
    }
}
