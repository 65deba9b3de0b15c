//! Auto Scaling: groups that keep as many healthy instances as they should have.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/what-is-amazon-ec2-auto-scaling.html>

mod activity;
mod attachment;
mod describe;
mod evaluate;
mod group;
mod group_tags;
mod health;
mod hook;
mod hook_calls;
mod instance;
mod operate;
mod pick;
mod policy;
mod process;
mod schedule;
mod update;

pub(super) use activity::Activity;
pub(super) use group::Group;
pub(super) use instance::Instance;

use super::{Cloud, Error, Result};

impl Cloud {
    fn group(&self, name: &str) -> Result<&Group> {
        self.groups.get(name).ok_or_else(|| no_group(name))
    }

    fn group_mut(&mut self, name: &str) -> Result<&mut Group> {
        self.groups.get_mut(name).ok_or_else(|| no_group(name))
    }

    /// A group that may still be changed.
    fn standing_group(&mut self, name: &str) -> Result<&mut Group> {
        let group = self.group_mut(name)?;
        if group.deletion.is_some() {
            return Err(Error::new(
                "ScalingActivityInProgress",
                format!("AutoScalingGroup {name} is being deleted"),
            ));
        }
        Ok(group)
    }

    /// Lets a group look at itself soon.
    fn wake(&mut self, name: &str) {
        let at = self.now + self.settings.evaluation;
        if let Some(group) = self.groups.get_mut(name) {
            group.wake_at(at);
        }
    }
}

fn no_group(name: &str) -> Error {
    Error::validation(format!(
        "AutoScalingGroup name not found - AutoScalingGroup {name} not found"
    ))
}
