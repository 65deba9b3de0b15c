//! `cargo xtask releases`: what was deployed, from the indexes of the reports.

use anyhow::{Context as _, Result};
use exuvia_core::name::{AppName, Environment, Place};
use exuvia_core::report::{Entry, How, Index, index_key};
use jiff::Timestamp;
use tokio::process::Command;

use crate::cloud::{self, State};
use crate::process;
use crate::ui::{Tone, Ui};
use crate::up;

#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Of this app; of all, if none is named
    #[arg(requires = "environment")]
    app: Option<AppName>,
    environment: Option<Environment>,
    /// The ledger's bucket, of a pipeline in an account; else the local AWS that is up is asked, if one is
    #[arg(long, value_name = "BUCKET")]
    ledger: Option<String>,
    /// The pipeline's stack in an account, to find the ledger by
    #[arg(long, default_value = "exuvia", value_name = "NAME")]
    stack: String,
}

/// Where the ledger is, and how it is asked.
struct Ledger {
    bucket: String,
    /// The local AWS; without one, the account of the AWS CLI's environment.
    local: Option<State>,
}

pub(crate) async fn run(ui: &Ui, options: &Options) -> Result<()> {
    let ledger = Ledger::find(options).await?;
    let places = match (&options.app, &options.environment) {
        (Some(app), Some(environment)) => vec![Place {
            app: app.clone(),
            environment: environment.clone(),
        }],
        _ => ledger.places().await?,
    };
    if places.is_empty() {
        ui.line("Nothing was deployed yet, or nothing was reported of it.");
    }
    for place in places {
        let index = ledger.index(&place).await?;
        ui.line(ui.paint(Tone::Bold, &place.to_string()));
        for line in table(&index) {
            ui.line(format!("  {line}"));
        }
    }
    Ok(())
}

impl Ledger {
    async fn find(options: &Options) -> Result<Self> {
        let local = cloud::running(&up::directory())?;
        let of_local = local
            .as_ref()
            .and_then(|state| state.pipeline.as_ref())
            .map(|pipeline| pipeline.ledger_bucket.clone());
        // What `cargo xtask env` exports is that of the local AWS.
        let exported = std::env::var("EXUVIA_LEDGER_BUCKET").ok();
        if let Some(bucket) = options.ledger.as_ref().or(exported.as_ref()) {
            return Ok(Self {
                local: local.filter(|_| of_local.as_ref() == Some(bucket)),
                bucket: bucket.clone(),
            });
        }
        if let Some(bucket) = of_local {
            return Ok(Self { bucket, local });
        }
        let account = Self {
            bucket: String::new(),
            local: None,
        };
        let query = "Stacks[0].Outputs[?OutputKey=='LedgerBucket'].OutputValue";
        let stack = options.stack.as_str();
        let arguments = [
            "cloudformation",
            "describe-stacks",
            "--stack-name",
            stack,
            "--query",
            query,
            "--output",
            "text",
        ];
        let bucket = account.ask(&arguments).await.with_context(|| {
            format!("no local AWS is up (`cargo xtask up` starts one), and the stack {stack} cannot be asked for its ledger")
        })?;
        Ok(Self { bucket, ..account })
    }

    async fn ask(&self, arguments: &[&str]) -> Result<String> {
        let command = if let Some(state) = &self.local {
            state.aws(arguments)
        } else {
            let mut aws: Command = process::tied("aws");
            aws.args(arguments);
            aws
        };
        process::output(command, "the AWS CLI").await
    }

    async fn places(&self) -> Result<Vec<Place>> {
        let query = "Contents[?ends_with(Key, '/reports/index.json')].Key";
        let keys = self
            .ask(&[
                "s3api",
                "list-objects-v2",
                "--bucket",
                &self.bucket,
                "--query",
                query,
                "--output",
                "json",
            ])
            .await?;
        let keys: Option<Vec<String>> =
            serde_json::from_str(&keys).context("the list of objects")?;
        let place = |key: &String| {
            let mut parts = key.split('/');
            Place::new(parts.next()?, parts.next()?).ok()
        };
        Ok(keys.iter().flatten().filter_map(place).collect())
    }

    async fn index(&self, place: &Place) -> Result<Index> {
        let key = index_key(place);
        let object = format!("s3://{}/{key}", self.bucket);
        let text = self
            .ask(&["s3", "cp", "--quiet", &object, "-"])
            .await
            .with_context(|| {
                format!(
                    "there is no {key} in {}: was {place} ever deployed?",
                    self.bucket
                )
            })?;
        serde_json::from_str(&text).with_context(|| format!("{object} cannot be read"))
    }
}

/// As wide as what is in them.
fn table(index: &Index) -> Vec<String> {
    let headings = [
        "RELEASE",
        "VERSION",
        "OUTCOME",
        "STARTED (UTC)",
        "TOOK",
        "HEALTHY AFTER",
        "BY",
    ];
    let rows: Vec<[String; 7]> = std::iter::once(headings.map(str::to_owned))
        .chain(index.entries.iter().map(row))
        .collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn row(entry: &Entry) -> [String; 7] {
    let dash = || "-".to_owned();
    let outcome = match entry.outcome {
        _ if entry.needs_attention => "needsAttention",
        Some(outcome) => outcome.as_str(),
        None if entry.seconds.is_some() => "cut off",
        None => "running",
    };
    let how = match entry.how {
        How::Upload => "upload",
        How::Hand => "hand",
        How::Schedule => "schedule",
        How::Recovery => "recovery",
    };
    [
        entry
            .release
            .map_or_else(dash, |release| release.to_string()),
        entry
            .version
            .as_ref()
            .map_or_else(dash, ToString::to_string),
        outcome.to_owned(),
        started(entry.started),
        entry.seconds.map_or_else(dash, clock),
        entry.seconds_to_healthy.map_or_else(dash, clock),
        entry.by.clone().unwrap_or_else(|| how.to_owned()),
    ]
}

fn started(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn clock(seconds: i64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned() {
        let index = serde_json::json!({
            "schema": 1, "revision": 2, "app": "hello", "environment": "qa",
            "entries": [
                {"execution": "arn:e2", "release": 12, "version": "v2", "outcome": "rolledBack", "started": "2026-11-26T02:00:00Z",
                 "seconds": 605, "how": "upload", "report": 3, "by": "alice"},
                {"execution": "arn:e1", "version": "3f2a1c", "started": "2026-11-25T02:00:00Z", "how": "hand", "report": 1},
            ],
        });
        let index: Index = serde_json::from_value(index).unwrap();
        assert_eq!(
            table(&index),
            [
                "RELEASE  VERSION  OUTCOME     STARTED (UTC)        TOOK   HEALTHY AFTER  BY",
                "12       v2       rolledBack  2026-11-26 02:00:00  10:05  -              alice",
                "-        3f2a1c   running     2026-11-25 02:00:00  -      -              hand",
            ]
        );
    }
}
