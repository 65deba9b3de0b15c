//! What the world answers to the model's effects.

use std::net::SocketAddr;

use super::{CheckOutcome, Cloud};

impl Cloud {
    /// An instance runs and will be reached at `address`.
    pub fn instance_started(&mut self, id: &str, address: SocketAddr) {
        self.is_settled = false;
        if let Some(instance) = self.instances.get_mut(id) {
            instance.started(address, self.now);
        }
    }

    /// An instance could not be launched. `reason` becomes part of the scaling activity's message.
    pub fn launch_failed(&mut self, id: &str, reason: &str) {
        self.is_settled = false;
        self.abandon_launch(
            id,
            &format!("{reason} Launching EC2 instance failed."),
            true,
        );
    }

    /// An instance ended that nobody asked to.
    pub fn instance_died(&mut self, id: &str) {
        self.is_settled = false;
        let Some(instance) = self.instances.get_mut(id) else {
            return;
        };
        instance.dead = true;
        if instance.lifecycle.is_pending() {
            self.abandon_launch(
                id,
                "Instance became unhealthy while waiting for instance to be in InService state. Termination Reason: \
                 Client.InstanceInitiatedShutdown: Instance initiated shutdown",
                true,
            );
        }
    }

    /// How a health check came out. One that nobody waits for any more is ignored.
    pub fn target_checked(&mut self, check: u64, outcome: &CheckOutcome) {
        let Some((arn, key)) = self.checks.remove(&check) else {
            return;
        };
        let now = self.now;
        if let Some(group) = self.target_groups.get_mut(&arn) {
            let has_changed = group.checked(&key, check, outcome, now);
            self.is_settled &= !has_changed;
        }
    }
}
