//! A release's target group.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2 as elb;
use exuvia_core::error::StepError;
use exuvia_core::fleet::{FleetName, tags};
use exuvia_core::health::Target as TargetHealth;
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::target::Front;

use super::{Fleets, Remains, signed};
use crate::error::{failed, is};

impl Fleets {
    /// The ARN of a release's target group, if it stands.
    pub async fn target_group_of(
        &self,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<Option<String>, StepError> {
        self.target_group_arn(&FleetName::new(place, release).to_string())
            .await
    }

    /// The target groups of a place's releases. They cannot be filtered by tag, so all of the region are listed.
    pub(super) async fn target_groups(
        &self,
        place: &Place,
    ) -> Result<BTreeMap<ReleaseNumber, String>, StepError> {
        let mut pages = self
            .balancer
            .describe_target_groups()
            .into_paginator()
            .items()
            .send();
        let mut found = BTreeMap::new();
        while let Some(group) = pages.next().await {
            let group = group.map_err(|error| failed("DescribeTargetGroups", error))?;
            let arn = group.target_group_arn().unwrap_or_default();
            if let Some(fleet) = FleetName::of_target_group(place, arn) {
                found.insert(fleet.release(), arn.to_owned());
            }
        }
        Ok(found)
    }

    pub(super) async fn target_health(&self, arn: &str) -> Result<Vec<TargetHealth>, StepError> {
        let answer = self
            .balancer
            .describe_target_health()
            .target_group_arn(arn)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is(&error, "TargetGroupNotFound") => return Ok(Vec::new()),
            Err(error) => return Err(failed(format!("DescribeTargetHealth {arn}"), error)),
        };
        Ok(answer
            .target_health_descriptions()
            .iter()
            .map(|described| {
                let health = described.target_health();
                TargetHealth {
                    id: described
                        .target()
                        .and_then(|target| target.id())
                        .unwrap_or_default()
                        .to_owned(),
                    state: health
                        .and_then(|health| health.state())
                        .map(|state| state.as_str().to_owned())
                        .unwrap_or_default(),
                    reason: health
                        .and_then(|health| health.reason())
                        .map(|reason| reason.as_str().to_owned()),
                    description: health
                        .and_then(|health| health.description())
                        .map(ToOwned::to_owned),
                }
            })
            .collect())
    }

    /// Creates a release's target group, or adopts the one that an earlier try made; its ARN.
    pub async fn create_target_group(
        &self,
        place: &Place,
        release: ReleaseNumber,
        front: &Front<'_>,
    ) -> Result<String, StepError> {
        let name = FleetName::new(place, release).to_string();
        let check = front.health_check;
        let mut create = self
            .balancer
            .create_target_group()
            .name(&name)
            .protocol(elb::types::ProtocolEnum::Http)
            .port(front.port.into())
            .vpc_id(front.vpc_id)
            .target_type(elb::types::TargetTypeEnum::Instance)
            .health_check_protocol(elb::types::ProtocolEnum::Http)
            .health_check_path(&check.path)
            .health_check_interval_seconds(signed(check.interval_seconds))
            .health_check_timeout_seconds(signed(check.timeout_seconds))
            .healthy_threshold_count(signed(check.healthy_threshold))
            .unhealthy_threshold_count(signed(check.unhealthy_threshold))
            .matcher(
                elb::types::Matcher::builder()
                    .http_code(&check.success_codes)
                    .build(),
            );
        for (key, value) in tags(place, release) {
            create = create.tags(elb::types::Tag::builder().key(key).value(value).build());
        }
        let arn = match create.send().await {
            Ok(created) => created
                .target_groups()
                .first()
                .and_then(|group| group.target_group_arn())
                .unwrap_or_default()
                .to_owned(),
            Err(error) if is(&error, "DuplicateTargetGroupName") => self
                .target_group_arn(&name)
                .await?
                .ok_or_else(|| StepError::AwsUnavailable {
                    action: format!("DescribeTargetGroups {name}"),
                    problem: "it exists, but is not listed yet".to_owned(),
                })?,
            Err(error) => return Err(failed(format!("CreateTargetGroup {name}"), error)),
        };
        // AWS answers a create of the same name and settings with the group that exists: whose is it?
        self.check_target_group_is_ours(place, release, &name, &arn)
            .await?;
        Ok(arn)
    }

    /// Has a target group's targets drain for so long.
    pub async fn set_drain(&self, arn: &str, drain_seconds: u32) -> Result<(), StepError> {
        let delay = elb::types::TargetGroupAttribute::builder()
            .key("deregistration_delay.timeout_seconds")
            .value(drain_seconds.to_string())
            .build();
        self.balancer
            .modify_target_group_attributes()
            .target_group_arn(arn)
            .attributes(delay)
            .send()
            .await
            .map(drop)
            .map_err(|error| failed(format!("ModifyTargetGroupAttributes {arn}"), error))
    }

    pub(super) async fn check_target_group_is_ours(
        &self,
        place: &Place,
        release: ReleaseNumber,
        name: &str,
        arn: &str,
    ) -> Result<(), StepError> {
        let answer = self
            .balancer
            .describe_tags()
            .resource_arns(arn)
            .send()
            .await;
        let answer = answer.map_err(|error| failed(format!("DescribeTags {name}"), error))?;
        let found: BTreeSet<(&str, &str)> = answer
            .tag_descriptions()
            .iter()
            .flat_map(elb::types::TagDescription::tags)
            .filter_map(|tag| Some((tag.key()?, tag.value()?)))
            .collect();
        let ours = tags(place, release);
        if ours
            .iter()
            .all(|(key, value)| found.contains(&(*key, value.as_str())))
        {
            return Ok(());
        }
        Err(StepError::NameTaken {
            what: "target group",
            name: name.to_owned(),
            place: place.clone(),
            release,
        })
    }

    pub(super) async fn target_group_arn(&self, name: &str) -> Result<Option<String>, StepError> {
        match self
            .balancer
            .describe_target_groups()
            .names(name)
            .send()
            .await
        {
            Ok(found) => Ok(found
                .target_groups()
                .first()
                .and_then(|group| group.target_group_arn())
                .map(ToOwned::to_owned)),
            Err(error) if is(&error, "TargetGroupNotFound") => Ok(None),
            Err(error) => Err(failed(format!("DescribeTargetGroups {name}"), error)),
        }
    }

    pub(super) async fn delete_target_group(&self, name: &str) -> Result<Remains, StepError> {
        let Some(arn) = self.target_group_arn(name).await? else {
            return Ok(Remains::Nothing);
        };
        match self
            .balancer
            .delete_target_group()
            .target_group_arn(arn)
            .send()
            .await
        {
            Ok(_) => Ok(Remains::Nothing),
            Err(error) if is(&error, "TargetGroupNotFound") => Ok(Remains::Nothing),
            Err(error) if is(&error, "ResourceInUse") => Ok(Remains::Something(format!(
                "target group {name} is still named by a rule"
            ))),
            Err(error) => Err(failed(format!("DeleteTargetGroup {name}"), error)),
        }
    }
}
