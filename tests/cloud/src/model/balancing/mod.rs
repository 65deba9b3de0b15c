//! Elastic Load Balancing: application load balancers, their listeners' rules, and target groups.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/introduction.html>

mod action;
mod attributes;
mod condition;
mod health_check;
mod listener;
mod load_balancer;
mod resource_tags;
mod routing;
mod rule;
mod slow_start;
mod target;
mod target_group;
mod target_group_update;
mod targets;

pub(super) use action::Action;
pub(super) use listener::Listener;
pub(super) use load_balancer::LoadBalancer;
pub(super) use rule::{Priority, Rule};
pub(super) use target::TargetKey;
pub(super) use target_group::TargetGroup;

use super::{Cloud, Error, Result};

impl Cloud {
    fn load_balancer(&self, arn: &str) -> Result<&LoadBalancer> {
        self.load_balancers.get(arn).ok_or_else(|| {
            Error::new(
                "LoadBalancerNotFound",
                format!("Load balancer '{arn}' not found"),
            )
        })
    }

    fn listener(&self, arn: &str) -> Result<&Listener> {
        self.listeners
            .get(arn)
            .ok_or_else(|| Error::new("ListenerNotFound", format!("Listener '{arn}' not found")))
    }

    fn rule(&self, arn: &str) -> Result<&Rule> {
        self.rules
            .get(arn)
            .ok_or_else(|| Error::new("RuleNotFound", format!("Rule '{arn}' not found")))
    }

    fn target_group(&self, arn: &str) -> Result<&TargetGroup> {
        self.target_groups
            .get(arn)
            .ok_or_else(|| no_target_group(arn))
    }

    fn target_group_mut(&mut self, arn: &str) -> Result<&mut TargetGroup> {
        self.target_groups
            .get_mut(arn)
            .ok_or_else(|| no_target_group(arn))
    }

    /// `arn:aws:elasticloadbalancing:<region>:<account>:<rest>`.
    fn balancing_arn(&self, rest: &str) -> String {
        let (region, account) = (&self.settings.region, &self.settings.account);
        format!("arn:aws:elasticloadbalancing:{region}:{account}:{rest}")
    }
}

fn no_target_group(arn: &str) -> Error {
    Error::new(
        "TargetGroupNotFound",
        format!("Target groups '{arn}' not found"),
    )
}
