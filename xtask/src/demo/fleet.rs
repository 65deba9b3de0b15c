//! What there is of an app: its fleets, their health and their traffic, and what should not be there any more.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ForwardActionConfig, Rule, TargetHealthStateEnum,
};

use crate::cloud::State;
use crate::cloud::network::Network;
use crate::cloud::stacks::{App, Pipeline};

/// A release's fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fleet {
    pub(crate) healthy: usize,
    /// Its group's desired capacity.
    pub(crate) desired: usize,
    /// Targets that are being taken out of service.
    pub(crate) draining: usize,
    /// In the listener rule; none: no rule names it.
    pub(crate) weight: Option<i32>,
}

/// All fleets, by release number.
pub(crate) type Fleets = BTreeMap<u64, Fleet>;

pub(crate) struct Observer {
    balancing: aws_sdk_elasticloadbalancingv2::Client,
    scaling: aws_sdk_autoscaling::Client,
    ledger: aws_sdk_s3::Client,
    listener_arn: String,
}

impl Observer {
    pub(crate) fn new(state: &State, network: &Network) -> Self {
        let sdk = state.sdk();
        Self {
            balancing: aws_sdk_elasticloadbalancingv2::Client::new(&sdk),
            scaling: aws_sdk_autoscaling::Client::new(&sdk),
            ledger: aws_sdk_s3::Client::new(&sdk),
            listener_arn: network.listener_arn.clone(),
        }
    }

    pub(crate) async fn fleets(&self) -> Result<Fleets> {
        let mut fleets = Fleets::new();
        let groups = self
            .scaling
            .describe_auto_scaling_groups()
            .send()
            .await
            .context("cannot see the groups")?;
        for group in groups.auto_scaling_groups() {
            let desired = group
                .desired_capacity()
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(0);
            fleets
                .entry(release(group.auto_scaling_group_name()))
                .or_default()
                .desired = desired;
        }

        let weights = self.weights().await?;
        let groups = self
            .balancing
            .describe_target_groups()
            .send()
            .await
            .context("cannot see the target groups")?;
        for group in groups.target_groups() {
            let arn = group.target_group_arn().unwrap_or_default();
            let fleet = fleets
                .entry(release(group.target_group_name()))
                .or_default();
            fleet.weight = weights.get(arn).copied();
            // A group that was deleted since the last look has no targets.
            let Ok(health) = self
                .balancing
                .describe_target_health()
                .target_group_arn(arn)
                .send()
                .await
            else {
                continue;
            };
            for target in health.target_health_descriptions() {
                match target.target_health().and_then(|health| health.state()) {
                    Some(TargetHealthStateEnum::Healthy) => fleet.healthy += 1,
                    Some(TargetHealthStateEnum::Draining) => fleet.draining += 1,
                    _ => {}
                }
            }
        }
        Ok(fleets)
    }

    async fn rules(&self) -> Result<Vec<Rule>> {
        let described = self
            .balancing
            .describe_rules()
            .listener_arn(&self.listener_arn)
            .send()
            .await;
        let described = described.context("cannot see the listener's rules")?;
        Ok(described.rules.unwrap_or_default())
    }

    /// By target group ARN.
    async fn weights(&self) -> Result<BTreeMap<String, i32>> {
        let rules = self.rules().await?;
        let forwards = rules
            .iter()
            .flat_map(Rule::actions)
            .filter_map(Action::forward_config);
        Ok(forwards
            .flat_map(ForwardActionConfig::target_groups)
            .filter_map(|tuple| {
                Some((
                    tuple.target_group_arn()?.to_owned(),
                    tuple.weight().unwrap_or(1),
                ))
            })
            .collect())
    }

    /// Everything that is there beside the one fleet with the traffic; nothing, if all was cleaned up.
    pub(crate) async fn leftovers(&self, pipeline: &Pipeline, app: &App) -> Result<Vec<String>> {
        let mut left = Vec::new();
        let fleets = self.fleets().await?;
        let live: Vec<u64> = fleets
            .iter()
            .filter(|(_, fleet)| fleet.weight > Some(0))
            .map(|(&release, _)| release)
            .collect();
        if live.len() != 1 {
            left.push(format!("{} releases with traffic: {live:?}", live.len()));
        }
        left.extend(
            fleets
                .keys()
                .filter(|release| !live.contains(release))
                .map(|release| format!("fleet {release:06}")),
        );

        let groups = self
            .scaling
            .describe_auto_scaling_groups()
            .send()
            .await
            .context("cannot see the groups")?;
        for group in groups.auto_scaling_groups() {
            let name = group.auto_scaling_group_name().unwrap_or_default();
            let processes = group
                .suspended_processes()
                .iter()
                .filter_map(|process| process.process_name());
            left.extend(processes.map(|process| format!("suspended process {process} on {name}")));
        }

        let rules = self.rules().await?;
        let count = rules
            .iter()
            .filter(|rule| rule.is_default() != Some(true))
            .count();
        if count > 1 {
            left.push(format!("{} rules too many", count - 1));
        }

        for name in ["lock.json", "waiting.json"] {
            let key = format!("{}/{}/{name}", app.name, app.environment);
            let found = self
                .ledger
                .list_objects_v2()
                .bucket(&pipeline.ledger_bucket)
                .prefix(&key)
                .send()
                .await;
            if found
                .context("cannot list the ledger")?
                .key_count()
                .unwrap_or(0)
                > 0
            {
                left.push(format!("{key} in the ledger"));
            }
        }
        Ok(left)
    }
}

/// The number at the end of a fleet's name.
fn release(name: Option<&str>) -> u64 {
    name.and_then(|name| name.rsplit('-').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}
