//! What the demo leaves to look at: the channel as Slack shows it, and the reports from the ledger.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::Stage;

/// The pages' files.
pub(crate) struct Pages {
    pub(crate) slack: PathBuf,
    pub(crate) reports: PathBuf,
}

/// Puts them into a directory, which then holds no others.
pub(crate) async fn keep(stage: &Stage<'_>, directory: &Path) -> Result<Pages> {
    if directory.exists() {
        std::fs::remove_dir_all(directory)
            .with_context(|| format!("cannot empty {}", directory.display()))?;
    }
    let slack = directory.join("slack.html");
    write(&slack, &channel(&stage.state.slack()).await?)?;
    let prefix = format!("{}/{}/reports/", stage.app.name, stage.app.environment);
    let bucket = &stage.pipeline.ledger_bucket;
    let listed = stage
        .s3
        .list_objects_v2()
        .bucket(bucket)
        .prefix(&prefix)
        .send()
        .await
        .context("cannot list the reports")?;
    for key in listed.contents().iter().filter_map(|object| object.key()) {
        let is_plain = key.split('/').all(|part| !part.is_empty() && part != "..");
        if !is_plain || Path::new(key).extension().is_none_or(|kind| kind != "html") {
            continue;
        }
        let page = stage.s3.get_object().bucket(bucket).key(key).send().await;
        let page = page.with_context(|| format!("cannot read {key}"))?;
        let page = page.body.collect().await?.into_bytes();
        write(&directory.join(key), &page)?;
    }
    let reports = directory.join(prefix).join("index.html");
    ensure!(reports.exists(), "nothing was reported of the deploys");
    Ok(Pages { slack, reports })
}

async fn channel(slack: &str) -> Result<Bytes> {
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.get(slack.parse()?).await;
    let answer = answer.with_context(|| format!("{slack} does not answer"))?;
    Ok(answer.into_body().collect().await?.to_bytes())
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(file, bytes))
        .with_context(|| format!("cannot write {}", file.display()))
}
