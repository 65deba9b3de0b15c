//! Builders: an instance of its own for each build, in an Auto Scaling group of one, so that it is launched, named and
//! found as a fleet is.

use aws_config::SdkConfig;
use aws_sdk_autoscaling as autoscaling;
use exuvia_core::build::builder::Builder;
use exuvia_core::build::verdict::Observation;
use exuvia_core::build::{BuildId, group_name, tags};
use exuvia_core::error::StepError;
use exuvia_core::fleet::{TAG_LEDGER, TAG_SIGNING_KEY};
use exuvia_core::name::Place;

use crate::error::{failed, is};
use crate::fleet::group::{activities, delete_group, find, scale_to_nothing};
use crate::fleet::{Remains, Trust};
use crate::{Lazy, lazily};

pub struct Builders(Lazy<autoscaling::Client>);

impl Builders {
    pub fn new(config: &SdkConfig) -> Self {
        Self(lazily(config, autoscaling::Client::new))
    }

    /// Creates a builder's group, or adopts the one that an earlier try made.
    pub async fn create(
        &self,
        place: &Place,
        build: &BuildId,
        builder: &Builder,
        trust: Trust<'_>,
    ) -> Result<(), StepError> {
        let name = group_name(place, build);
        let template = autoscaling::types::LaunchTemplateSpecification::builder()
            .launch_template_id(&builder.launch_template.id)
            .version(builder.launch_template.version.to_string())
            .build();
        let mut create = self
            .0
            .create_auto_scaling_group()
            .auto_scaling_group_name(&name)
            .launch_template(template)
            .vpc_zone_identifier(builder.subnets.join(","))
            .min_size(0)
            .max_size(1)
            .desired_capacity(1)
            .health_check_type("EC2");
        let all = tags(place, build).into_iter().chain([
            (TAG_LEDGER, trust.ledger.to_owned()),
            (TAG_SIGNING_KEY, trust.signing_key.to_owned()),
            ("Name", name.clone()),
        ]);
        for (key, value) in all {
            let tag = autoscaling::types::Tag::builder()
                .resource_id(&name)
                .resource_type("auto-scaling-group")
                .key(key)
                .value(value)
                .propagate_at_launch(true);
            create = create.tags(tag.build());
        }
        match create.send().await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "AlreadyExists") => {
                let group = find(&self.0, &name).await?;
                let group = group.ok_or_else(|| StepError::AwsUnavailable {
                    action: format!("DescribeAutoScalingGroups {name}"),
                    problem: "it exists, but is not listed yet".to_owned(),
                })?;
                check_is_ours(&group, place, build)
            }
            Err(error) => Err(failed(format!("CreateAutoScalingGroup {name}"), error)),
        }
    }

    /// All of a builder that a verdict needs, but its report.
    pub async fn observe(&self, place: &Place, build: &BuildId) -> Result<Observation, StepError> {
        let name = group_name(place, build);
        let group = find(&self.0, &name).await?;
        Ok(Observation {
            report: None,
            stands: group.is_some_and(|group| group.status().is_none()),
            activities: activities(&self.0, &name).await?,
        })
    }

    /// Goes on with deleting a builder: scales its group to nothing and deletes it once it is empty. To be called until
    /// nothing remains. Not by force: that does not wait for the instance, which could go on uploading.
    pub async fn delete(&self, place: &Place, build: &BuildId) -> Result<Remains, StepError> {
        let name = group_name(place, build);
        let group = find(&self.0, &name).await?;
        if let Some(group) = &group {
            if group.status().is_some() {
                return Ok(Remains::Something(format!("group {name} is being deleted")));
            }
            check_is_ours(group, place, build)?;
            if (group.max_size(), group.desired_capacity()) != (Some(0), Some(0)) {
                scale_to_nothing(&self.0, &name).await?;
            }
            if !group.instances().is_empty() {
                return Ok(Remains::Something(format!(
                    "the instance of {name} is being terminated"
                )));
            }
        }
        // Even if it is not listed: one that was only just created may not be yet, and a delete is not fooled.
        if delete_group(&self.0, &name, group.is_some()).await? {
            return Ok(Remains::Nothing);
        }
        Ok(Remains::Something(format!("group {name} is not empty yet")))
    }
}

fn check_is_ours(
    group: &autoscaling::types::AutoScalingGroup,
    place: &Place,
    build: &BuildId,
) -> Result<(), StepError> {
    let tagged = |(key, value): &(&str, String)| {
        let mut tags = group.tags().iter();
        tags.any(|tag| tag.key() == Some(key) && tag.value() == Some(value))
    };
    if tags(place, build).iter().all(tagged) {
        return Ok(());
    }
    Err(StepError::BuilderNameTaken {
        name: group_name(place, build),
        place: place.clone(),
        build: build.clone(),
    })
}
