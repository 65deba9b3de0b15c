//! Keeping a live fleet from shrinking while its successor is built; and a worker's, of which there may be one at a time, from
//! working meanwhile.

use std::fmt;

use aws_sdk_autoscaling as autoscaling;
use exuvia_core::error::StepError;
use exuvia_core::fleet::FleetName;
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::scaling::Size;

use super::group::{self, group_tag};
use super::{Fleets, count};
use crate::error::failed;

/// What could shrink a live fleet, or scale it to where its successor is not told of, while both exist:
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html>.
const HELD: [&str; 3] = ["AlarmNotification", "ScheduledActions", "AZRebalance"];

/// On a group whose processes a deploy holds: which of them it suspended, and so has to resume. Those that a
/// person had suspended before stay suspended. Of a group that it has scaled to nothing besides, the sizes.
const TAG_HELD: &str = "exuvia:held";

/// What a deploy has taken from a group, and has to give back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    processes: Vec<String>,
    /// At least, at the most, and wanted.
    size: Option<[u32; 3]>,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.processes.join(" "))?;
        match self.size {
            Some([min, max, desired]) => write!(f, " {min}/{max}/{desired}"),
            None => Ok(()),
        }
    }
}

impl Fleets {
    /// Of a group that is being deleted nothing can be changed any more, and nothing has to be.
    pub(super) async fn group_that_stays(
        &self,
        name: &FleetName,
    ) -> Result<Option<autoscaling::types::AutoScalingGroup>, StepError> {
        let group = self.group(name).await?;
        Ok(group.filter(|group| group.status().is_none()))
    }

    /// Keeps a live fleet from shrinking while its successor is built. Run again, it remembers what it did first.
    pub async fn hold(&self, place: &Place, release: ReleaseNumber) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        match self.group_that_stays(&name).await? {
            Some(group) => self.take(&name, &group, false).await,
            None => Ok(()),
        }
    }

    /// Holds a live fleet and ends its instances, until they are given back by [`Self::let_go`]. Fails as long as there are
    /// any.
    pub async fn stop(&self, place: &Place, release: ReleaseNumber) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        let Some(group) = self.group_that_stays(&name).await? else {
            return Ok(());
        };
        self.take(&name, &group, true).await?;
        self.end(place, release).await
    }

    /// Ends the instances of a fleet for good. Fails as long as there are any.
    pub async fn end(&self, place: &Place, release: ReleaseNumber) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        if !group::scale_to_nothing(&self.groups, &name.to_string()).await? {
            return Ok(());
        }
        // One that was only just created may not be listed yet, nor its instances.
        let problem = match self.group(&name).await? {
            Some(group) if group.instances().is_empty() => return Ok(()),
            Some(group) => format!(
                "{} of its instances are still there",
                group.instances().len()
            ),
            None => "its Auto Scaling group is not listed".to_owned(),
        };
        Err(StepError::StillRunning {
            place: place.clone(),
            release,
            problem,
        })
    }

    /// Whether a deploy has ended this fleet's instances and not given them back.
    pub async fn is_stopped(
        &self,
        place: &Place,
        release: ReleaseNumber,
    ) -> Result<bool, StepError> {
        let group = self.group(&FleetName::new(place, release)).await?;
        let held = group.as_ref().and_then(held_by);
        Ok(held.is_some_and(|held| held.size.is_some()))
    }

    async fn take(
        &self,
        name: &FleetName,
        group: &autoscaling::types::AutoScalingGroup,
        stops: bool,
    ) -> Result<(), StepError> {
        let mut held = held_by(group).unwrap_or_else(|| {
            let suspended: Vec<&str> = group
                .suspended_processes()
                .iter()
                .filter_map(|process| process.process_name())
                .collect();
            let processes = HELD.into_iter();
            let processes = processes.filter(|process| !suspended.contains(process));
            Held {
                processes: processes.map(ToOwned::to_owned).collect(),
                size: None,
            }
        });
        if stops && held.size.is_none() {
            let sizes = [group.min_size(), group.max_size(), group.desired_capacity()];
            held.size = Some(sizes.map(count));
        }
        // The tag first: what is cut off in between is then resumed needlessly, rather than never.
        self.groups
            .create_or_update_tags()
            .tags(group_tag(name, TAG_HELD, &held.to_string(), false))
            .send()
            .await
            .map_err(|error| failed(format!("CreateOrUpdateTags {name}"), error))?;
        if held.processes.is_empty() {
            return Ok(());
        }
        self.groups
            .suspend_processes()
            .auto_scaling_group_name(name.to_string())
            .set_scaling_processes(Some(held.processes))
            .send()
            .await
            .map(drop)
            .map_err(|error| failed(format!("SuspendProcesses {name}"), error))
    }

    /// Gives back what [`Self::hold`] and [`Self::stop`] took.
    pub async fn let_go(&self, place: &Place, release: ReleaseNumber) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        let Some(group) = self.group_that_stays(&name).await? else {
            return Ok(());
        };
        let Some(held) = held_by(&group) else {
            return Ok(());
        };
        if let Some([min, max, desired]) = held.size {
            let size = Size {
                min,
                max,
                desired: Some(desired),
                at_least: 0,
            };
            self.resize(place, release, size).await?;
        }
        if !held.processes.is_empty() {
            self.groups
                .resume_processes()
                .auto_scaling_group_name(name.to_string())
                .set_scaling_processes(Some(held.processes))
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
}

/// What a deploy has taken from a group, if one has.
fn held_by(group: &autoscaling::types::AutoScalingGroup) -> Option<Held> {
    let mut tags = group.tags().iter();
    let tag = tags.find(|tag| tag.key() == Some(TAG_HELD))?;
    let mut words = tag.value().unwrap_or_default().split(' ');
    let known = words.clone().filter(|word| HELD.contains(word));
    Some(Held {
        processes: known.map(ToOwned::to_owned).collect(),
        size: words.find_map(size),
    })
}

fn size(word: &str) -> Option<[u32; 3]> {
    let numbers: Result<Vec<u32>, _> = word.split('/').map(str::parse).collect();
    numbers.ok()?.try_into().ok()
}

/// How many instances a group is to have; of one that a deploy has stopped, how many it had and is to have again.
pub(super) fn desired(group: &autoscaling::types::AutoScalingGroup) -> u32 {
    let stopped = held_by(group).and_then(|held| held.size);
    stopped.map_or_else(
        || count(group.desired_capacity()),
        |[_, _, desired]| desired,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_deploy_holds_is_read_from_its_tag() {
        let name = FleetName::new(&Place::new("hello", "qa").unwrap(), ReleaseNumber::FIRST);
        let to_owned = |names: Vec<&str>| names.into_iter().map(ToOwned::to_owned).collect();
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
        for (value, processes) in [
            ("", vec![]),
            ("AZRebalance", vec!["AZRebalance"]),
            (
                "AlarmNotification AZRebalance",
                vec!["AlarmNotification", "AZRebalance"],
            ),
            // Never what would unregister or relaunch, whatever somebody wrote there.
            ("Launch AddToLoadBalancer", vec![]),
        ] {
            let held = held_by(&tag(value)).unwrap();
            assert_eq!(
                (held.processes, held.size),
                (to_owned(processes), None),
                "{value}"
            );
        }
        let stopped = Held {
            processes: to_owned(vec!["AZRebalance"]),
            size: Some([1, 4, 2]),
        };
        let group = tag(&stopped.to_string());
        assert_eq!(stopped.to_string(), "AZRebalance 1/4/2");
        assert_eq!(desired(&group), 2);
        assert_eq!(held_by(&group), Some(stopped));
        assert_eq!(
            held_by(&autoscaling::types::AutoScalingGroup::builder().build()),
            None
        );
    }
}
