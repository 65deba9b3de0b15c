//! `cargo xtask lint`: one line for each check; what fails says what to change. The tools are pinned: Python's in
//! `xtask/python/requirements.txt` and `scanners.txt`, npm's in `xtask/node/package-lock.json`.

mod alarms;
mod dependencies;
mod external;
mod privileges;
mod scanners;
mod template;
mod workflow;

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::tools;

/// How a check ended.
enum Outcome {
    Good,
    /// What is wrong, a finding each.
    Wrong(Vec<String>),
    /// Why it could not be made on this machine.
    LeftOut(String),
}

impl From<Vec<String>> for Outcome {
    fn from(findings: Vec<String>) -> Self {
        if findings.is_empty() {
            Self::Good
        } else {
            Self::Wrong(findings)
        }
    }
}

/// What the checks of the templates and the workflow read.
struct Sources {
    /// The templates as they are written, in the long form of their functions (`Fn::Sub`).
    pipeline: Value,
    instances: [Instances; 2],
    workflows: [Workflow; 2],
    /// The texts in which its states are documented.
    drawing: String,
    /// The directories of the functions, each with the text of its sources.
    functions: Vec<(String, String)>,
    /// All of docs/.
    documents: String,
}

/// A template that launches instances, and the script that is their user data.
struct Instances {
    name: &'static str,
    template: Value,
    script_name: &'static str,
    script: String,
}

/// A workflow as it is written, and parsed.
struct Workflow {
    /// `deploy` for `statemachine/deploy.asl.json`.
    name: &'static str,
    asl: String,
    parsed: Value,
}

/// Needs the Python environments that [`tools::python`] and [`tools::scanners`] make.
pub(crate) fn run() -> Result<()> {
    let mut wrong = 0;
    let mut report = |name: &str, outcome: Result<Outcome>| match outcome {
        Ok(Outcome::Good) => println!("   ok     {name}"),
        Ok(Outcome::LeftOut(reason)) => println!("   left   {name}: {reason}"),
        Ok(Outcome::Wrong(findings)) => {
            wrong += 1;
            println!("   WRONG  {name}");
            for finding in findings {
                println!(
                    "            {}",
                    finding.trim_end().replace('\n', "\n            ")
                );
            }
        }
        Err(error) => {
            wrong += 1;
            println!("   WRONG  {name}: {error:#}");
        }
    };

    report("rustfmt", external::rustfmt());
    report("clippy", external::clippy());
    match dependencies::Dependencies::read() {
        Ok(read) => {
            report(
                "licences of the dependencies (deny.toml)",
                Ok(read.licences().into()),
            );
            report(
                "sources of the dependencies (deny.toml)",
                Ok(read.sources().into()),
            );
            report(
                "no dependency twice (deny.toml)",
                Ok(read.duplicates().into()),
            );
        }
        Err(error) => report("dependencies", Err(error)),
    }
    report("shellcheck of infra/*.sh", external::shellcheck());
    match Sources::read() {
        Ok(sources) => {
            report(
                "cfn-lint of the templates and the workflows",
                external::cfn_lint(),
            );
            report(
                "asl-validator of the workflows",
                external::asl_validator(&sources.workflows),
            );
            for (name, findings) in template::checks(&sources)
                .into_iter()
                .chain(workflow::checks(&sources))
                .chain(alarms::checks(&sources))
                .chain(privileges::checks(&sources))
            {
                report(name, Ok(findings.into()));
            }
            match scanners::Accepted::read() {
                Ok(accepted) => {
                    report("checkov of the templates", scanners::checkov(&accepted));
                    report(
                        "parliament of the policies in the templates",
                        scanners::parliament(&accepted),
                    );
                    report(
                        "zizmor of the workflows for GitHub",
                        scanners::zizmor(&accepted),
                    );
                }
                Err(error) => report("scanners", Err(error)),
            }
        }
        Err(error) => report("templates and workflows", Err(error)),
    }

    if wrong > 0 {
        bail!("{wrong} of the checks found something to change");
    }
    Ok(())
}

impl Sources {
    fn read() -> Result<Self> {
        external::transform()?;
        let text = |path: &str| {
            let path = tools::root().join(path);
            std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))
        };
        let json = |path: &str| -> Result<Value> {
            serde_json::from_str(&text(path)?).with_context(|| format!("{path} is not JSON"))
        };
        let instances = |name, script_name| -> Result<Instances> {
            Ok(Instances {
                name,
                template: json(&format!(".local/lint/{name}.source.json"))?,
                script_name,
                script: text(&format!("infra/{script_name}"))?,
            })
        };
        let workflow = |name| -> Result<Workflow> {
            let path = format!("statemachine/{name}.asl.json");
            Ok(Workflow {
                name,
                asl: text(&path)?,
                parsed: json(&path)?,
            })
        };
        Ok(Self {
            pipeline: json(".local/lint/pipeline.source.json")?,
            instances: [
                instances("app", "boot.sh")?,
                instances("builder", "build.sh")?,
            ],
            workflows: [workflow("deploy")?, workflow("build")?],
            drawing: text("statemachine/README.md").unwrap_or_default(),
            functions: functions()?,
            documents: source(&tools::root().join("docs"))?,
        })
    }
}

/// The functions' directories: all of `functions/` but the two libraries.
fn functions() -> Result<Vec<(String, String)>> {
    let mut functions = Vec::new();
    for entry in std::fs::read_dir(tools::root().join("functions"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let sources = entry.path().join("src");
        if name == "core" || name == "aws" || !sources.join("main.rs").exists() {
            continue;
        }
        functions.push((name, source(&sources)?));
    }
    functions.sort();
    Ok(functions)
}

/// All files below a directory, as one text; pictures are none.
fn source(directory: &Path) -> Result<String> {
    let mut text = String::new();
    for file in std::fs::read_dir(directory)? {
        let path = file?.path();
        if path.is_dir() {
            text.push_str(&source(&path)?);
        } else {
            text.push_str(&String::from_utf8(std::fs::read(path)?).unwrap_or_default());
        }
    }
    Ok(text)
}
