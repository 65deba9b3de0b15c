//! The checks that other programs make.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{Outcome, Workflow};
use crate::tools;

pub(super) fn rustfmt() -> Result<Outcome> {
    let output = run(&mut cargo(&[
        "fmt",
        "--all",
        "--check",
        "--",
        "--files-with-diff",
    ]))?;
    let files = String::from_utf8_lossy(&output.stdout);
    let files = files
        .lines()
        .map(|file| format!("{}: run `cargo fmt`", in_checkout(file)));
    verdict(&output, files.collect())
}

pub(super) fn clippy() -> Result<Outcome> {
    let output = run(&mut cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ]))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    verdict(&output, vec![text])
}

pub(super) fn shellcheck() -> Result<Outcome> {
    let output = run(python_tool("shellcheck").args([
        "--format",
        "gcc",
        "infra/boot.sh",
        "infra/build.sh",
    ]))?;
    verdict(&output, lines(&output))
}

/// Writes the templates as JSON to `.local/lint`.
pub(super) fn transform() -> Result<()> {
    let output = run(python_tool("python")
        .arg("xtask/python/transform.py")
        .arg(transformed("")))?;
    if !output.status.success() {
        bail!(
            "the templates cannot be transformed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// On the transformed templates, as only there cfn-lint sees the workflow and the functions' IAM actions; and on that
/// for SAM as it is written, which is what `sam validate --lint` does.
pub(super) fn cfn_lint() -> Result<Outcome> {
    let mut command = python_tool("cfn-lint");
    command.args(["--format", "json"]);
    command.arg("infra/pipeline.yaml");
    command.args(tools::files(&transformed(""), ".template.json")?);
    let output = run(&mut command)?;
    let found: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "cfn-lint failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })?;
    let findings = found.as_array().into_iter().flatten().map(|finding| {
        let path = finding["Location"]["Path"].as_array().into_iter().flatten();
        let path: Vec<String> = path
            .map(|part| {
                part.as_str()
                    .map_or_else(|| part.to_string(), str::to_owned)
            })
            .collect();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let file = text(&finding["Filename"])
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .replace(".template.json", ".yaml");
        format!(
            "infra/{file} {}: {} ({})",
            path.join("/"),
            text(&finding["Message"]),
            text(&finding["Rule"]["Id"])
        )
    });
    verdict(&output, findings.collect())
}

pub(super) fn asl_validator(workflows: &[Workflow]) -> Result<Outcome> {
    let directory = tools::local().join("node");
    if !installed(&directory)? {
        std::fs::create_dir_all(&directory)?;
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(
                tools::root().join("xtask/node").join(file),
                directory.join(file),
            )?;
        }
        let mut npm = Command::new("npm");
        npm.current_dir(&directory)
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        match npm.output() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Outcome::LeftOut(
                    "npm is missing on this machine; install Node.js 18 or newer for it".into(),
                ));
            }
            Err(error) => return Err(error).context("cannot run npm"),
            Ok(output) if !output.status.success() => {
                bail!(
                    "npm cannot install asl-validator:\n{}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            Ok(_) => {}
        }
    }
    // Its schema (4.0.0) refuses empty strings as values, which Step Functions accepts.
    let mut command = Command::new(directory.join("node_modules/.bin/asl-validator"));
    for workflow in workflows {
        let file = transformed(&format!("{}.asl.json", workflow.name));
        std::fs::write(&file, workflow.asl.replace(": \"\"", ": \"{% '' %}\""))?;
        command.arg("--json-path").arg(file);
    }
    let output = run(&mut command)?;
    verdict(&output, lines(&output))
}

/// Whether what `xtask/node` pins is there: npm writes the last file when it has finished.
fn installed(directory: &std::path::Path) -> Result<bool> {
    let wanted = std::fs::read(tools::root().join("xtask/node/package-lock.json"))?;
    let have = std::fs::read(directory.join("package-lock.json"));
    Ok(have.is_ok_and(|have| have == wanted)
        && directory.join("node_modules/.package-lock.json").exists())
}

fn transformed(name: &str) -> PathBuf {
    tools::local().join("lint").join(name)
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(
        std::env::var_os("CARGO")
            .as_deref()
            .unwrap_or(OsStr::new("cargo")),
    );
    command.args(arguments);
    command
}

fn python_tool(name: &str) -> Command {
    Command::new(tools::python_tool(name))
}

fn run(command: &mut Command) -> Result<Output> {
    let program = PathBuf::from(command.get_program());
    command
        .current_dir(tools::root())
        .output()
        .with_context(|| format!("cannot run {}", program.display()))
}

fn verdict(output: &Output, findings: Vec<String>) -> Result<Outcome> {
    if output.status.success() {
        return Ok(Outcome::Good);
    }
    if findings.iter().all(|finding| finding.trim().is_empty()) {
        bail!(
            "it ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(Outcome::Wrong(findings))
}

fn lines(output: &Output) -> Vec<String> {
    let text = [&*output.stdout, &*output.stderr]
        .map(String::from_utf8_lossy)
        .concat();
    text.lines().map(str::to_owned).collect()
}

fn in_checkout(file: &str) -> &str {
    let root = tools::root().to_string_lossy();
    file.strip_prefix(&*root)
        .map_or(file, |file| file.trim_start_matches('/'))
}
