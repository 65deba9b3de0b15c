//! Fleets: a release's target group and its Auto Scaling group.

pub(crate) mod group;
mod hold;
mod scaling;
mod target_group;

pub use group::Trust;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_autoscaling as autoscaling;
use aws_sdk_elasticloadbalancingv2 as elb;
use exuvia_core::error::StepError;
use exuvia_core::fleet::FleetName;
use exuvia_core::health::{Group, Instance, Observation};
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::report;

use crate::timestamp;
use crate::{Lazy, lazily};

pub struct Fleets {
    groups: Lazy<autoscaling::Client>,
    balancer: Lazy<elb::Client>,
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
            groups: lazily(config, autoscaling::Client::new),
            balancer: lazily(config, elb::Client::new),
        }
    }

    /// The releases of a place that have a group, a target group or both, with the group's desired capacity.
    pub async fn standing(
        &self,
        place: &Place,
    ) -> Result<BTreeMap<ReleaseNumber, Option<u32>>, StepError> {
        let (target_groups, groups) =
            tokio::try_join!(self.target_groups(place), self.groups_of(place))?;
        let mut standing: BTreeMap<_, _> = target_groups
            .into_keys()
            .map(|release| (release, None))
            .collect();
        for group in groups {
            let name = group.auto_scaling_group_name().unwrap_or_default();
            if let Some(fleet) = FleetName::of_name(place, name) {
                standing.insert(fleet.release(), self::standing(&group));
            }
        }
        Ok(standing)
    }

    /// All of a fleet that a verdict needs, but the boot reports; and by the same request what [`Self::desired`] says of the
    /// live one.
    pub async fn observe(
        &self,
        place: &Place,
        release: ReleaseNumber,
        live: Option<ReleaseNumber>,
    ) -> Result<(Observation, Option<u32>), StepError> {
        let name = FleetName::new(place, release).to_string();
        let live = live.map(|live| FleetName::new(place, live).to_string());
        let names = [name.clone()].into_iter().chain(live.clone()).collect();
        let groups = async {
            let groups = group::find_all(&self.groups, names).await?;
            let mut targets = Vec::new();
            for arn in named(&groups, &name)
                .into_iter()
                .flat_map(autoscaling::types::AutoScalingGroup::target_group_arns)
            {
                targets.extend(self.target_health(arn).await?);
            }
            Ok((groups, targets))
        };
        let activities = group::activities(&self.groups, &name);
        let ((groups, targets), activities) = tokio::try_join!(groups, activities)?;
        let live = live.as_deref().and_then(|live| named(&groups, live));
        let desired = live.and_then(standing);
        let Some(group) = named(&groups, &name) else {
            return Ok((Observation::default(), desired));
        };
        let seen = Observation {
            is_worker: false,
            targets,
            activities,
            reports: Vec::new(),
            group: Some(Group {
                created: group.created_time().and_then(timestamp),
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
                        zone: instance.availability_zone().unwrap_or_default().to_owned(),
                    })
                    .collect(),
            }),
        };
        Ok((seen, desired))
    }

    /// What there is to tell of a release's instances; of a fleet that is gone, what Auto Scaling has kept of it.
    pub async fn lives(
        &self,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<report::Fleet, StepError> {
        let name = FleetName::new(place, release);
        let mut targets = Vec::new();
        if let Some(group) = self.group(&name).await? {
            for arn in group.target_group_arns() {
                targets.extend(self.target_health(arn).await?);
            }
        }
        Ok(report::Fleet {
            activities: group::all_activities(&self.groups, &name.to_string()).await?,
            targets,
            reports: Vec::new(),
        })
    }

    /// Goes on with shedding a fleet: scales its group to nothing, deletes it once it is empty, then the target
    /// group. To be called until nothing remains. The caller has made sure that no traffic reaches it.
    pub async fn shed(&self, place: &Place, release: ReleaseNumber) -> Result<Remains, StepError> {
        let name = FleetName::new(place, release);
        let group = self.group(&name).await?;
        if let Some(group) = &group {
            if group.status().is_some() {
                return Ok(Remains::Something(format!("group {name} is being deleted")));
            }
            group::check_is_ours(group, place, release, &name)?;
            let sizes = (group.min_size(), group.max_size(), group.desired_capacity());
            if sizes != (Some(0), Some(0), Some(0)) {
                group::scale_to_nothing(&self.groups, &name.to_string()).await?;
            }
            let left = group.instances().len();
            if left > 0 {
                return Ok(Remains::Something(format!(
                    "{left} instances of {name} are draining"
                )));
            }
        }
        // Even if no group was listed: one that was only just created may not be yet, and a delete is not fooled.
        if !group::delete_group(&self.groups, &name.to_string(), group.is_some()).await? {
            return Ok(Remains::Something(format!("group {name} is not empty yet")));
        }
        self.delete_target_group(&name.to_string()).await
    }
}

fn named<'a>(
    groups: &'a [autoscaling::types::AutoScalingGroup],
    name: &str,
) -> Option<&'a autoscaling::types::AutoScalingGroup> {
    let mut groups = groups.iter();
    groups.find(|group| group.auto_scaling_group_name() == Some(name))
}

/// How many instances a group is to have, unless it is being deleted.
fn standing(group: &autoscaling::types::AutoScalingGroup) -> Option<u32> {
    group.status().is_none().then(|| hold::desired(group))
}

fn count(value: Option<i32>) -> u32 {
    value
        .and_then(|value| u32::try_from(value).ok())
        .unwrap_or(0)
}

pub(crate) fn signed(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}
