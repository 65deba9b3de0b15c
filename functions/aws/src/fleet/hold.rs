//! Keeping a live fleet from shrinking while its successor is built.

use aws_sdk_autoscaling as autoscaling;
use exuvia_core::error::StepError;
use exuvia_core::fleet::FleetName;
use exuvia_core::name::{Place, ReleaseNumber};

use super::Fleets;
use super::group::group_tag;
use crate::error::failed;

/// What could shrink a live fleet, or scale it to where its successor is not told of, while both exist:
/// <https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html>.
const HELD: [&str; 3] = ["AlarmNotification", "ScheduledActions", "AZRebalance"];

/// On a group whose processes a deploy holds: which of them it suspended, and so has to resume. Those that a
/// person had suspended before stay suspended.
const TAG_HELD: &str = "exuvia:held";

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
        let Some(group) = self.group_that_stays(&name).await? else {
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
        let Some(group) = self.group_that_stays(&name).await? else {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
