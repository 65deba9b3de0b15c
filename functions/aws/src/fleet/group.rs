//! A release's Auto Scaling group.

use aws_sdk_autoscaling as autoscaling;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use exuvia_core::error::StepError;
use exuvia_core::fleet::{FleetName, TAG_APP, TAG_ENVIRONMENT, TAG_LEDGER, TAG_SIGNING_KEY, tags};
use exuvia_core::health::Activity;
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::report;
use exuvia_core::target::{CapacityLimits, MixedInstances, Target};
use serde_json::Value;

use super::{Fleets, signed, standing};
use crate::error::{code, failed, is};
use crate::timestamp;

/// Where an instance finds what it is to run, and by what it knows that the pipeline has planned it.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'a> {
    /// The ledger bucket's name.
    pub ledger: &'a str,
    /// The signing key's ARN.
    pub signing_key: &'a str,
}

impl Fleets {
    pub(super) async fn groups_of(
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

    /// The group of a release; `None` if none is listed, which right after its creation proves nothing.
    pub(super) async fn group(
        &self,
        name: &FleetName,
    ) -> Result<Option<autoscaling::types::AutoScalingGroup>, StepError> {
        find(&self.groups, &name.to_string()).await
    }

    /// The ARN of the target group that a release's group registers its instances with.
    pub async fn target_group_behind(
        &self,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<Option<String>, StepError> {
        let group = self.group(&FleetName::new(place, release)).await?;
        Ok(group.and_then(|group| group.target_group_arns().first().cloned()))
    }

    /// The desired capacity of a release's group, unless there is none, or it is gone or going.
    pub async fn desired(
        &self,
        place: &Place,
        release: Option<ReleaseNumber>,
    ) -> Result<Option<u32>, StepError> {
        let Some(release) = release else {
            return Ok(None);
        };
        let group = self.group(&FleetName::new(place, release)).await?;
        Ok(group.as_ref().and_then(standing))
    }

    /// Creates a release's Auto Scaling group, or adopts the one that an earlier try made.
    pub async fn create_group(
        &self,
        place: &Place,
        release: ReleaseNumber,
        target: &Target,
        target_group: Option<&str>,
        (limits, capacity): (CapacityLimits, u32),
        trust: Trust<'_>,
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
            .vpc_zone_identifier(target.subnets.join(","))
            .set_target_group_arns(target_group.map(|arn| vec![arn.to_owned()]))
            .min_size(signed(limits.min))
            .max_size(signed(limits.max))
            .desired_capacity(signed(capacity.clamp(limits.min, limits.max)))
            .health_check_type(if target.is_worker() { "EC2" } else { "ELB" })
            .health_check_grace_period(signed(target.timeouts.boot_seconds));
        if target.is_worker() {
            create = create.lifecycle_hook_specification_list(boot_hook(target));
        }
        create = match &target.mixed_instances {
            None => create.launch_template(template),
            Some(mixed) => create.mixed_instances_policy(policy(template, mixed)),
        };
        let all = tags(place, release).into_iter().chain([
            (TAG_LEDGER, trust.ledger.to_owned()),
            (TAG_SIGNING_KEY, trust.signing_key.to_owned()),
            ("Name", name.to_string()),
        ]);
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
        check_is_ours(&group, place, release, name)
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
}

/// Whether a group is what the pipeline has made for that release, by its tags.
pub(super) fn check_is_ours(
    group: &autoscaling::types::AutoScalingGroup,
    place: &Place,
    release: ReleaseNumber,
    name: &FleetName,
) -> Result<(), StepError> {
    let tagged = |key: &str, value: &str| {
        let mut tags = group.tags().iter();
        tags.any(|tag| tag.key() == Some(key) && tag.value() == Some(value))
    };
    let mut ours = tags(place, release).into_iter();
    if ours.all(|(key, value)| tagged(key, &value)) {
        return Ok(());
    }
    Err(StepError::NameTaken {
        what: "Auto Scaling group",
        name: name.to_string(),
        place: place.clone(),
        release,
    })
}

/// No load balancer says when a worker's instance is ready: `infra/boot.sh` does, by completing this. Without an answer the
/// instance is replaced, and at the deadline of the boot the deploy is rolled back.
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html>
fn boot_hook(target: &Target) -> autoscaling::types::LifecycleHookSpecification {
    autoscaling::types::LifecycleHookSpecification::builder()
        .lifecycle_hook_name("boot")
        .lifecycle_transition("autoscaling:EC2_INSTANCE_LAUNCHING")
        .heartbeat_timeout(signed(target.timeouts.boot_seconds))
        .default_result("ABANDON")
        .build()
}

/// The group of that name, if one is listed.
pub(crate) async fn find(
    groups: &autoscaling::Client,
    name: &str,
) -> Result<Option<autoscaling::types::AutoScalingGroup>, StepError> {
    let found = find_all(groups, vec![name.to_owned()]).await?;
    Ok(found.into_iter().next())
}

/// Those of these groups that are listed; at most a hundred.
pub(super) async fn find_all(
    groups: &autoscaling::Client,
    names: Vec<String>,
) -> Result<Vec<autoscaling::types::AutoScalingGroup>, StepError> {
    let action = format!("DescribeAutoScalingGroups {}", names.join(" "));
    let answer = groups
        .describe_auto_scaling_groups()
        .set_auto_scaling_group_names(Some(names))
        .send()
        .await;
    let answer = answer.map_err(|error| failed(action, error))?;
    Ok(answer.auto_scaling_groups.unwrap_or_default())
}

/// The newest hundred scaling activities of a group: a new group has few, and many are a failure already.
pub(crate) async fn activities(
    groups: &autoscaling::Client,
    name: &str,
) -> Result<Vec<Activity>, StepError> {
    let answer = groups
        .describe_scaling_activities()
        .auto_scaling_group_name(name)
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

/// So many pages of a hundred: a launch and a termination of each of a thousand instances.
const MOST_PAGES: usize = 20;

/// The newest scaling activities of a group, even if it is gone: Auto Scaling keeps them for six weeks.
pub(crate) async fn all_activities(
    groups: &autoscaling::Client,
    name: &str,
) -> Result<Vec<report::Activity>, StepError> {
    let mut pages = groups
        .describe_scaling_activities()
        .auto_scaling_group_name(name)
        .include_deleted_groups(true)
        .max_records(100)
        .into_paginator()
        .send();
    let mut all = Vec::new();
    for _ in 0..MOST_PAGES {
        let page = match pages.next().await {
            None => break,
            Some(Ok(page)) => page,
            Some(Err(error)) if is_missing(&error) => break,
            Some(Err(error)) => {
                return Err(failed(format!("DescribeScalingActivities {name}"), error));
            }
        };
        all.extend(page.activities().iter().filter_map(lived));
    }
    Ok(all)
}

fn lived(activity: &autoscaling::types::Activity) -> Option<report::Activity> {
    // A JSON text: {"Subnet ID":"subnet-...","Availability Zone":"us-east-1a"}.
    let details: Value =
        serde_json::from_str(activity.details().unwrap_or_default()).unwrap_or_default();
    Some(report::Activity {
        description: activity.description().unwrap_or_default().to_owned(),
        cause: activity.cause().unwrap_or_default().to_owned(),
        status: activity
            .status_code()
            .map(|code| code.as_str().to_owned())
            .unwrap_or_default(),
        message: activity.status_message().map(ToOwned::to_owned),
        zone: details["Availability Zone"].as_str().map(ToOwned::to_owned),
        started: activity.start_time().and_then(timestamp)?,
        ended: activity.end_time().and_then(timestamp),
    })
}

/// Whether there is such a group.
pub(crate) async fn scale_to_nothing(
    groups: &autoscaling::Client,
    name: &str,
) -> Result<bool, StepError> {
    let update = groups
        .update_auto_scaling_group()
        .auto_scaling_group_name(name)
        .min_size(0)
        .max_size(0)
        .desired_capacity(0);
    match update.send().await {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(false),
        // It is being deleted.
        Err(error) if is(&error, "ScalingActivityInProgress") => Ok(true),
        Err(error) => Err(failed(format!("UpdateAutoScalingGroup {name} to 0"), error)),
    }
}

/// Deletes an empty group, without force: that would skip its termination hooks. Whether it is gone.
///
/// Of one that is not listed a refusal says that it is gone as well: what a function may delete is told by the group's tags,
/// and what is not there has none.
pub(crate) async fn delete_group(
    groups: &autoscaling::Client,
    name: &str,
    is_listed: bool,
) -> Result<bool, StepError> {
    let delete = groups
        .delete_auto_scaling_group()
        .auto_scaling_group_name(name);
    match delete.send().await {
        Ok(_) => Ok(false),
        Err(error) if is_missing(&error) => Ok(true),
        Err(error) if !is_listed && is(&error, "AccessDenied") => Ok(true),
        Err(error) if is(&error, "ResourceInUse") || is(&error, "ScalingActivityInProgress") => {
            Ok(false)
        }
        Err(error) => Err(failed(format!("DeleteAutoScalingGroup {name}"), error)),
    }
}

pub(super) fn group_tag(
    name: &FleetName,
    key: &str,
    value: &str,
    propagate: bool,
) -> autoscaling::types::Tag {
    autoscaling::types::Tag::builder()
        .resource_id(name.to_string())
        .resource_type("auto-scaling-group")
        .key(key)
        .value(value)
        .propagate_at_launch(propagate)
        .build()
}

/// Auto Scaling has no error code for a group that is not there, only words.
fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let message = error
        .as_service_error()
        .and_then(|error| error.message())
        .unwrap_or_default();
    code(error) == Some("ValidationError") && message.contains("not found")
}

/// The launch template with other types, in their order for On-Demand instances; of Spot instances the group takes those
/// that are least likely to be taken back, at a low price.
fn policy(
    template: autoscaling::types::LaunchTemplateSpecification,
    mixed: &MixedInstances,
) -> autoscaling::types::MixedInstancesPolicy {
    use autoscaling::types::{
        InstancesDistribution, LaunchTemplate, LaunchTemplateOverrides, MixedInstancesPolicy,
    };
    let overrides = mixed.instance_types.iter().map(|name| {
        LaunchTemplateOverrides::builder()
            .instance_type(name)
            .build()
    });
    let template = LaunchTemplate::builder()
        .launch_template_specification(template)
        .set_overrides(Some(overrides.collect()));
    let distribution = InstancesDistribution::builder()
        .on_demand_base_capacity(0)
        .on_demand_percentage_above_base_capacity(signed(100 - mixed.spot_percent.min(100)))
        .on_demand_allocation_strategy("prioritized")
        .spot_allocation_strategy("price-capacity-optimized");
    MixedInstancesPolicy::builder()
        .launch_template(template.build())
        .instances_distribution(distribution.build())
        .build()
}
