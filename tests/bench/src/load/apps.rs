//! Apps of this part, what is uploaded to them, and the executions that follow.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionError;
use aws_sdk_sfn::types::ExecutionStatus;
use aws_sdk_ssm::types::ParameterType;
use exuvia_core::fleet::FleetName;
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::request::UploadName;
use exuvia_core::target::Target;
use jiff::Timestamp;

use super::site::{ENVIRONMENT, LoadBalancer, Site};

/// Longer than any deploy here takes.
const PATIENCE: Duration = Duration::from_mins(20);
/// An upload starts its execution within this time.
const STARTS_WITHIN: Duration = Duration::from_mins(5);

#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) place: Place,
    pub(super) host: String,
    /// Its load balancer's.
    pub(super) port: u16,
}

/// An upload, and the execution that it starts.
#[derive(Clone, Debug)]
pub(super) struct Deploy {
    /// The execution's name.
    pub(super) name: String,
    /// When the upload had ended.
    pub(super) uploaded: Timestamp,
}

/// How an execution ended.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    /// `SUCCEEDED`, or the error of one that failed.
    pub(super) outcome: String,
    pub(super) cause: String,
    pub(super) at: Timestamp,
}

/// A state that an execution entered, and when.
pub(super) type Entered = (Timestamp, String);

impl App {
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What a release's group and target group are called.
    pub(super) fn fleet(&self, release: u32) -> Result<String> {
        let release = ReleaseNumber::try_from(release)?;
        Ok(FleetName::new(&self.place, release).to_string())
    }
}

impl Site {
    /// A new app behind a load balancer, as its stack would make it: the target is the stack's, but for what `shape`
    /// changes. No other app of the load balancer has its number.
    pub(super) async fn app(
        &self,
        name: &str,
        behind: &LoadBalancer,
        number: usize,
        shape: impl FnOnce(&mut Target),
    ) -> Result<App> {
        let place = Place::new(&format!("run{}-{name}", self.run), ENVIRONMENT)?;
        let host = format!("{}.{ENVIRONMENT}.localhost", place.app);
        let mut target = self.target.clone();
        target.listener_arn = Some(behind.listener.clone());
        target.priority = Some(u32::try_from(number + 1)?);
        if let Some(conditions) = &mut target.conditions {
            conditions.hosts = vec![host.clone()];
        }
        shape(&mut target);
        self.ssm
            .put_parameter()
            .name(format!("/exuvia/{place}"))
            .r#type(ParameterType::String)
            .value(serde_json::to_string(&target)?)
            .send()
            .await
            .with_context(|| format!("the target of {place} cannot be written"))?;
        Ok(App {
            place,
            host,
            port: behind.port,
        })
    }

    pub(super) async fn upload(&self, app: &App, version: &str, image: &[u8]) -> Result<Deploy> {
        let key = format!("{}/{version}.tar.gz", app.place);
        let put = self.s3.put_object().bucket(&self.artifacts).key(&key);
        let put = put.body(ByteStream::from(image.to_vec())).send().await;
        let put = put.with_context(|| format!("{key} cannot be uploaded"))?;
        let version_id = put.version_id().context("the bucket has no versions")?;
        Ok(Deploy {
            name: UploadName::of(&self.artifacts, &key, version_id).into(),
            uploaded: Timestamp::now(),
        })
    }

    pub(super) fn execution_arn(&self, deploy: &Deploy) -> String {
        let executions = self.state_machine.replace(":stateMachine:", ":execution:");
        format!("{executions}:{}", deploy.name)
    }

    /// Waits until it has ended.
    pub(super) async fn end(&self, deploy: &Deploy) -> Result<Ending> {
        let began = Instant::now();
        loop {
            if let Some(ending) = self.ended(deploy).await? {
                return Ok(ending);
            }
            if began.elapsed() > PATIENCE {
                bail!(
                    "{} has not ended after {} s",
                    deploy.name,
                    PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// None while it runs, or has not begun.
    pub(super) async fn ended(&self, deploy: &Deploy) -> Result<Option<Ending>> {
        let describe = self.sfn.describe_execution();
        let described = match describe
            .execution_arn(self.execution_arn(deploy))
            .send()
            .await
        {
            Ok(described) => described,
            Err(error) => {
                let missing = error
                    .as_service_error()
                    .is_some_and(DescribeExecutionError::is_execution_does_not_exist);
                let waited = Timestamp::now().duration_since(deploy.uploaded);
                if missing && waited.unsigned_abs() < STARTS_WITHIN {
                    return Ok(None);
                }
                return Err(error).context(format!("{} cannot be looked at", deploy.name));
            }
        };
        let outcome = match described.status() {
            ExecutionStatus::Running => return Ok(None),
            ExecutionStatus::Failed => described.error().unwrap_or_default(),
            other => other.as_str(),
        };
        let at = described.stop_date().context("it ended at no time")?;
        Ok(Some(Ending {
            outcome: outcome.to_owned(),
            cause: described.cause().unwrap_or_default().to_owned(),
            at: timestamp(*at)?,
        }))
    }

    /// Waits for a deploy that is to succeed.
    pub(super) async fn succeeds(&self, deploy: &Deploy) -> Result<Ending> {
        let ending = self.end(deploy).await?;
        if ending.outcome != "SUCCEEDED" {
            bail!(
                "{} ended with {}: {}",
                deploy.name,
                ending.outcome,
                ending.cause
            );
        }
        Ok(ending)
    }

    /// The states that it has entered so far, in order.
    pub(super) async fn entered(&self, deploy: &Deploy) -> Result<Vec<Entered>> {
        let history = self.sfn.get_execution_history();
        let history = history.execution_arn(self.execution_arn(deploy));
        let mut events = history.into_paginator().items().send();
        let mut entered = Vec::new();
        while let Some(event) = events.next().await {
            let event = event?;
            if let Some(details) = event.state_entered_event_details() {
                entered.push((timestamp(event.timestamp)?, details.name().to_owned()));
            }
        }
        Ok(entered)
    }

    /// Takes the load balancers and these apps' fleets away, as nothing is left to be measured of them.
    pub(super) async fn clear(
        &self,
        load_balancers: &[LoadBalancer],
        apps: &[App],
        releases: u32,
    ) -> Result<()> {
        for LoadBalancer { arn, .. } in load_balancers {
            let delete = self.elb.delete_load_balancer().load_balancer_arn(arn);
            delete
                .send()
                .await
                .context("a load balancer cannot be deleted")?;
        }
        let mut ours = BTreeSet::new();
        for app in apps {
            for release in 1..=releases {
                ours.insert(app.fleet(release)?);
            }
        }
        let began = Instant::now();
        loop {
            let state = self.state().await?;
            let groups = named(&state["groups"], &ours);
            for (group, value) in &groups {
                if value["status"].is_null() {
                    let delete = self.autoscaling.delete_auto_scaling_group();
                    let delete = delete.auto_scaling_group_name(*group).force_delete(true);
                    delete
                        .send()
                        .await
                        .with_context(|| format!("{group} cannot be deleted"))?;
                }
            }
            if groups.is_empty() {
                for (_, value) in named(&state["targetGroups"], &ours) {
                    let arn = value["arn"].as_str().unwrap_or_default();
                    let delete = self.elb.delete_target_group().target_group_arn(arn);
                    delete
                        .send()
                        .await
                        .with_context(|| format!("{arn} cannot be deleted"))?;
                }
                return Ok(());
            }
            if began.elapsed() > PATIENCE {
                bail!("{} groups are not gone", groups.len());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Those of a list whose names are ours.
fn named<'a>(
    list: &'a serde_json::Value,
    ours: &BTreeSet<String>,
) -> Vec<(&'a str, &'a serde_json::Value)> {
    let values = list.as_array().into_iter().flatten();
    let named = values.filter_map(|value| Some((value["name"].as_str()?, value)));
    named.filter(|(name, _)| ours.contains(*name)).collect()
}

pub(super) fn timestamp(at: aws_sdk_sfn::primitives::DateTime) -> Result<Timestamp> {
    Ok(Timestamp::from_nanosecond(at.as_nanos())?)
}
