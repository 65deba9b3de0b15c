//! Fleets: a release's target group and its Auto Scaling group.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::SdkConfig;
use aws_sdk_autoscaling as autoscaling;
use aws_sdk_elasticloadbalancingv2 as elb;
use exuvia_core::error::StepError;
use exuvia_core::fleet::{FleetName, TAG_APP, TAG_ENVIRONMENT, TAG_LEDGER, tags};
use exuvia_core::health::{Activity, Group, Instance, Observation, Target as TargetHealth};
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::target::Target;

use crate::error::{code, failed, is};

/// What could shrink a live fleet, or scale it to where its successor is not told of, while both exist:
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html>.
const HELD: [&str; 3] = ["AlarmNotification", "ScheduledActions", "AZRebalance"];

/// On a group whose processes a deploy holds: which of them it suspended, and so has to resume. Those that a
/// person had suspended before stay suspended.
const TAG_HELD: &str = "exuvia:held";

pub struct Fleets {
    groups: autoscaling::Client,
    balancer: elb::Client,
}

/// What is left of a fleet that is being shed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remains {
    Nothing,
    /// In words, for a person who waits.
    Something(String),
}

impl Fleets {
    pub fn new(config: &SdkConfig) -> Self {
        Self {
            groups: autoscaling::Client::new(config),
            balancer: elb::Client::new(config),
        }
    }

    /// The releases of a place that have a group, a target group or both, with the group's desired capacity.
    pub async fn standing(
        &self,
        place: &Place,
    ) -> Result<BTreeMap<ReleaseNumber, Option<u32>>, StepError> {
        let mut standing: BTreeMap<_, _> = self
            .target_groups(place)
            .await?
            .into_keys()
            .map(|release| (release, None))
            .collect();
        for group in self.groups_of(place).await? {
            let name = group.auto_scaling_group_name().unwrap_or_default();
            if let Some(fleet) = FleetName::of_name(place, name) {
                let deleting = group.status().is_some();
                let desired = (!deleting).then(|| count(group.desired_capacity()));
                standing.insert(fleet.release(), desired);
            }
        }
        Ok(standing)
    }

    async fn groups_of(
        &self,
        place: &Place,
    ) -> Result<Vec<autoscaling::types::AutoScalingGroup>, StepError> {
        let filter = |tag: &str, value: &str| {
            autoscaling::types::Filter::builder()
                .name(format!("tag:{tag}"))
                .values(value)
                .build()
        };
        let mut pages = self
            .groups
            .describe_auto_scaling_groups()
            .filters(filter(TAG_APP, place.app.as_str()))
            .filters(filter(TAG_ENVIRONMENT, place.environment.as_str()))
            .into_paginator()
            .items()
            .send();
        let mut groups = Vec::new();
        while let Some(group) = pages.next().await {
            groups.push(group.map_err(|error| failed("DescribeAutoScalingGroups", error))?);
        }
        Ok(groups)
    }

    /// The target groups of a place's releases. They cannot be filtered by tag, so all of the region are listed.
    async fn target_groups(
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

    /// The group of a release; `None` if none is listed, which right after its creation proves nothing.
    async fn group(
        &self,
        name: &FleetName,
    ) -> Result<Option<autoscaling::types::AutoScalingGroup>, StepError> {
        let answer = self
            .groups
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(name.to_string())
            .send()
            .await;
        let answer =
            answer.map_err(|error| failed(format!("DescribeAutoScalingGroups {name}"), error))?;
        Ok(answer
            .auto_scaling_groups
            .unwrap_or_default()
            .into_iter()
            .next())
    }

    /// The desired capacity of a release's group, unless it is gone or going.
    pub async fn desired(
        &self,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<Option<u32>, StepError> {
        let group = self.group(&FleetName::new(place, release)).await?;
        let standing = group.filter(|group| group.status().is_none());
        Ok(standing.map(|group| count(group.desired_capacity())))
    }

    /// All of a fleet that a verdict needs, but the boot reports.
    pub async fn observe(
        &self,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<Observation, StepError> {
        let name = FleetName::new(place, release);
        let Some(group) = self.group(&name).await? else {
            return Ok(Observation::default());
        };
        let mut targets = Vec::new();
        for arn in group.target_group_arns() {
            targets.extend(self.target_health(arn).await?);
        }
        Ok(Observation {
            targets,
            activities: self.activities(&name).await?,
            reports: Vec::new(),
            group: Some(Group {
                desired: count(group.desired_capacity()),
                instances: group
                    .instances()
                    .iter()
                    .map(|instance| Instance {
                        id: instance.instance_id().unwrap_or_default().to_owned(),
                        lifecycle: instance
                            .lifecycle_state()
                            .map(|state| state.as_str().to_owned())
                            .unwrap_or_default(),
                    })
                    .collect(),
            }),
        })
    }

    async fn target_health(&self, arn: &str) -> Result<Vec<TargetHealth>, StepError> {
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

    /// The newest hundred scaling activities of a group: a new group has few, and many are a failure already.
    async fn activities(&self, name: &FleetName) -> Result<Vec<Activity>, StepError> {
        let answer = self
            .groups
            .describe_scaling_activities()
            .auto_scaling_group_name(name.to_string())
            .max_records(100)
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(format!("DescribeScalingActivities {name}"), error)),
        };
        Ok(answer
            .activities()
            .iter()
            .map(|activity| Activity {
                status: activity
                    .status_code()
                    .map(|code| code.as_str().to_owned())
                    .unwrap_or_default(),
                description: activity.description().unwrap_or_default().to_owned(),
                message: activity.status_message().map(ToOwned::to_owned),
            })
            .collect())
    }

    /// Creates a release's target group, or adopts the one that an earlier try made; its ARN.
    pub async fn create_target_group(
        &self,
        place: &Place,
        release: ReleaseNumber,
        target: &Target,
    ) -> Result<String, StepError> {
        let name = FleetName::new(place, release).to_string();
        let check = &target.health_check;
        let mut create = self
            .balancer
            .create_target_group()
            .name(&name)
            .protocol(elb::types::ProtocolEnum::Http)
            .port(target.port.into())
            .vpc_id(&target.vpc_id)
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
        let delay = elb::types::TargetGroupAttribute::builder()
            .key("deregistration_delay.timeout_seconds")
            .value(target.timeouts.drain_seconds.to_string())
            .build();
        self.balancer
            .modify_target_group_attributes()
            .target_group_arn(&arn)
            .attributes(delay)
            .send()
            .await
            .map_err(|error| failed(format!("ModifyTargetGroupAttributes {name}"), error))?;
        Ok(arn)
    }

    async fn check_target_group_is_ours(
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

    async fn target_group_arn(&self, name: &str) -> Result<Option<String>, StepError> {
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

    /// Creates a release's Auto Scaling group, or adopts the one that an earlier try made.
    pub async fn create_group(
        &self,
        place: &Place,
        release: ReleaseNumber,
        target: &Target,
        target_group: &str,
        capacity: u32,
        ledger: &str,
    ) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        let template = autoscaling::types::LaunchTemplateSpecification::builder()
            .launch_template_id(&target.launch_template.id)
            .version(target.launch_template.version.to_string())
            .build();
        let mut create = self
            .groups
            .create_auto_scaling_group()
            .auto_scaling_group_name(name.to_string())
            .launch_template(template)
            .vpc_zone_identifier(target.subnets.join(","))
            .target_group_arns(target_group)
            .min_size(signed(target.capacity.min))
            .max_size(signed(target.capacity.max))
            .desired_capacity(signed(capacity))
            .health_check_type("ELB")
            .health_check_grace_period(signed(target.timeouts.boot_seconds));
        let all = tags(place, release)
            .into_iter()
            .chain([(TAG_LEDGER, ledger.to_owned()), ("Name", name.to_string())]);
        for (key, value) in all {
            create = create.tags(group_tag(&name, key, &value, true));
        }
        match create.send().await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "AlreadyExists") => {
                self.check_group_is_ours(place, release, &name).await
            }
            Err(error) => Err(failed(format!("CreateAutoScalingGroup {name}"), error)),
        }
    }

    async fn check_group_is_ours(
        &self,
        place: &Place,
        release: ReleaseNumber,
        name: &FleetName,
    ) -> Result<(), StepError> {
        let group = self
            .group(name)
            .await?
            .ok_or_else(|| StepError::AwsUnavailable {
                action: format!("DescribeAutoScalingGroups {name}"),
                problem: "it exists, but is not listed yet".to_owned(),
            })?;
        let tagged = |key: &str, value: &str| {
            group
                .tags()
                .iter()
                .any(|tag| tag.key() == Some(key) && tag.value() == Some(value))
        };
        if tags(place, release)
            .iter()
            .all(|(key, value)| tagged(key, value))
        {
            return Ok(());
        }
        Err(StepError::NameTaken {
            what: "Auto Scaling group",
            name: name.to_string(),
            place: place.clone(),
            release,
        })
    }

    /// Sets the desired capacity of a release's group.
    pub async fn set_desired(
        &self,
        place: &Place,
        release: ReleaseNumber,
        desired: u32,
    ) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        self.groups
            .set_desired_capacity()
            .auto_scaling_group_name(name.to_string())
            .desired_capacity(signed(desired))
            .honor_cooldown(false)
            .send()
            .await
            .map(drop)
            .map_err(|error| failed(format!("SetDesiredCapacity {name} to {desired}"), error))
    }

    /// Keeps a live fleet from shrinking while its successor is built. Run again, it remembers what it did first.
    pub async fn hold(&self, place: &Place, release: ReleaseNumber) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        let Some(group) = self.group(&name).await? else {
            return Ok(());
        };
        let held = held_by(&group);
        let to_hold: Vec<String> = if let Some(held) = held {
            held
        } else {
            let suspended: Vec<&str> = group
                .suspended_processes()
                .iter()
                .filter_map(|process| process.process_name())
                .collect();
            HELD.into_iter()
                .filter(|process| !suspended.contains(process))
                .map(ToOwned::to_owned)
                .collect()
        };
        // The tag first: what is cut off in between is then resumed needlessly, rather than never.
        self.groups
            .create_or_update_tags()
            .tags(group_tag(&name, TAG_HELD, &to_hold.join(" "), false))
            .send()
            .await
            .map_err(|error| failed(format!("CreateOrUpdateTags {name}"), error))?;
        if to_hold.is_empty() {
            return Ok(());
        }
        self.groups
            .suspend_processes()
            .auto_scaling_group_name(name.to_string())
            .set_scaling_processes(Some(to_hold))
            .send()
            .await
            .map(drop)
            .map_err(|error| failed(format!("SuspendProcesses {name}"), error))
    }

    /// Gives back what [`Self::hold`] held.
    pub async fn let_go(&self, place: &Place, release: ReleaseNumber) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        let Some(group) = self.group(&name).await? else {
            return Ok(());
        };
        let Some(held) = held_by(&group) else {
            return Ok(());
        };
        if !held.is_empty() {
            self.groups
                .resume_processes()
                .auto_scaling_group_name(name.to_string())
                .set_scaling_processes(Some(held))
                .send()
                .await
                .map_err(|error| failed(format!("ResumeProcesses {name}"), error))?;
        }
        // Without a value: whatever it says.
        let tag = autoscaling::types::Tag::builder()
            .resource_id(name.to_string())
            .resource_type("auto-scaling-group")
            .key(TAG_HELD)
            .build();
        self.groups
            .delete_tags()
            .tags(tag)
            .send()
            .await
            .map(drop)
            .map_err(|error| failed(format!("DeleteTags {name}"), error))
    }

    /// Goes on with shedding a fleet: scales its group to nothing, deletes it once it is empty, then the target
    /// group. To be called until nothing remains. The caller has made sure that no traffic reaches it.
    pub async fn shed(&self, place: &Place, release: ReleaseNumber) -> Result<Remains, StepError> {
        let name = FleetName::new(place, release);
        if let Some(group) = self.group(&name).await? {
            if group.status().is_some() {
                return Ok(Remains::Something(format!("group {name} is being deleted")));
            }
            self.check_group_is_ours(place, release, &name).await?;
            let sizes = (group.min_size(), group.max_size(), group.desired_capacity());
            if sizes != (Some(0), Some(0), Some(0)) {
                self.scale_to_nothing(&name).await?;
            }
            let left = group.instances().len();
            if left > 0 {
                return Ok(Remains::Something(format!(
                    "{left} instances of {name} are draining"
                )));
            }
        }
        // Even if no group was listed: one that was only just created may not be yet, and a delete is not fooled.
        if !self.delete_group(&name).await? {
            return Ok(Remains::Something(format!("group {name} is not empty yet")));
        }
        self.delete_target_group(&name.to_string()).await
    }

    async fn scale_to_nothing(&self, name: &FleetName) -> Result<(), StepError> {
        let update = self
            .groups
            .update_auto_scaling_group()
            .auto_scaling_group_name(name.to_string())
            .min_size(0)
            .max_size(0)
            .desired_capacity(0);
        match update.send().await {
            Ok(_) => Ok(()),
            Err(error) if is_missing(&error) => Ok(()),
            Err(error) => Err(failed(format!("UpdateAutoScalingGroup {name} to 0"), error)),
        }
    }

    /// Deletes an empty group, without force: that would skip its termination hooks. Whether it is gone.
    async fn delete_group(&self, name: &FleetName) -> Result<bool, StepError> {
        let delete = self
            .groups
            .delete_auto_scaling_group()
            .auto_scaling_group_name(name.to_string());
        match delete.send().await {
            Ok(_) => Ok(false),
            Err(error) if is_missing(&error) => Ok(true),
            Err(error)
                if is(&error, "ResourceInUse") || is(&error, "ScalingActivityInProgress") =>
            {
                Ok(false)
            }
            Err(error) => Err(failed(format!("DeleteAutoScalingGroup {name}"), error)),
        }
    }

    async fn delete_target_group(&self, name: &str) -> Result<Remains, StepError> {
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

fn group_tag(name: &FleetName, key: &str, value: &str, propagate: bool) -> autoscaling::types::Tag {
    autoscaling::types::Tag::builder()
        .resource_id(name.to_string())
        .resource_type("auto-scaling-group")
        .key(key)
        .value(value)
        .propagate_at_launch(propagate)
        .build()
}

/// The processes that a deploy has suspended on a group, if one has.
fn held_by(group: &autoscaling::types::AutoScalingGroup) -> Option<Vec<String>> {
    let tag = group
        .tags()
        .iter()
        .find(|tag| tag.key() == Some(TAG_HELD))?;
    let known = tag
        .value()
        .unwrap_or_default()
        .split(' ')
        .filter(|process| HELD.contains(process));
    Some(known.map(ToOwned::to_owned).collect())
}

/// Auto Scaling has no error code for a group that is not there, only words.
fn is_missing<E: aws_sdk_s3::error::ProvideErrorMetadata>(
    error: &aws_sdk_s3::error::SdkError<E, aws_sdk_s3::config::http::HttpResponse>,
) -> bool {
    let message = error
        .as_service_error()
        .and_then(|error| error.message())
        .unwrap_or_default();
    code(error) == Some("ValidationError") && message.contains("not found")
}

fn count(value: Option<i32>) -> u32 {
    value
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(0)
}

fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use exuvia_core::fleet::TAG_RELEASE;

    #[test]
    fn what_a_deploy_holds_is_read_from_its_tag() {
        let name = FleetName::new(&Place::new("hello", "qa").unwrap(), ReleaseNumber::FIRST);
        let tag = |value: &str| {
            let tag = autoscaling::types::TagDescription::builder()
                .key(TAG_HELD)
                .value(value)
                .build();
            autoscaling::types::AutoScalingGroup::builder()
                .auto_scaling_group_name(name.to_string())
                .tags(tag)
                .build()
        };
        for (value, held) in [
            ("", vec![]),
            ("AZRebalance", vec!["AZRebalance"]),
            (
                "AlarmNotification AZRebalance",
                vec!["AlarmNotification", "AZRebalance"],
            ),
            // Never what would unregister or relaunch, whatever somebody wrote there.
            ("Launch AddToLoadBalancer", vec![]),
        ] {
            assert_eq!(held_by(&tag(value)).unwrap(), held, "{value}");
        }
        assert_eq!(
            held_by(&autoscaling::types::AutoScalingGroup::builder().build()),
            None
        );
    }

    #[test]
    fn the_tag_of_the_release_is_among_those_checked() {
        let keys =
            tags(&Place::new("hello", "qa").unwrap(), ReleaseNumber::FIRST).map(|(key, _)| key);
        assert_eq!(keys, [TAG_APP, TAG_ENVIRONMENT, TAG_RELEASE]);
    }
}
