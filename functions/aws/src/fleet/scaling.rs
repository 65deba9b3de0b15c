//! What lets a live fleet change its size by itself.

use aws_sdk_autoscaling::types::{
    MetricType, PredefinedMetricSpecification, StepAdjustment, TargetTrackingConfiguration,
};
use exuvia_core::error::StepError;
use exuvia_core::fleet::FleetName;
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::scaling::{Metric, Policy, ScheduledAction, Side, Size};
use exuvia_core::target::Target;

use super::{Fleets, count, signed};
use crate::error::failed;
use crate::metrics::{Metrics, Watched};

impl Fleets {
    /// Puts the policies and scheduled actions that a target declares on a release's group. Under the same names they
    /// replace each other, so this may be done twice; they go with the group, but for the alarms of step policies.
    pub async fn equip(
        &self,
        place: &Place,
        release: ReleaseNumber,
        target: &Target,
        metrics: &Metrics,
    ) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        for policy in &target.scaling.policies {
            let target_group = match policy.metric() {
                Metric::AverageCpu => None,
                Metric::RequestsPerTarget => self.target_group_of(place, release).await?,
            };
            match policy {
                Policy::TargetTracking { metric, value } => {
                    let label = target_group
                        .and_then(|group| resource_label(target.front()?.listener_arn, &group));
                    self.put_policy(&name, *metric, *value, label).await?;
                }
                Policy::Step { minutes, .. } => {
                    for side in policy.sides() {
                        let acts = self.put_steps(&name, &side).await?;
                        let watched = Watched {
                            fleet: &name,
                            side: &side,
                            target_group: target_group.as_deref(),
                            minutes: *minutes,
                        };
                        metrics.watch(&watched, acts).await?;
                    }
                }
            }
        }
        for action in &target.scaling.scheduled_actions {
            self.put_action(&name, action).await?;
        }
        Ok(())
    }

    async fn put_policy(
        &self,
        name: &FleetName,
        metric: Metric,
        value: u32,
        label: Option<String>,
    ) -> Result<(), StepError> {
        let of = |error| {
            failed(
                format!("PutScalingPolicy {} of {name}", metric.name()),
                error,
            )
        };
        let kind = match metric {
            Metric::AverageCpu => MetricType::AsgAverageCpuUtilization,
            Metric::RequestsPerTarget => MetricType::AlbRequestCountPerTarget,
        };
        let metric_of_group = PredefinedMetricSpecification::builder()
            .predefined_metric_type(kind)
            .set_resource_label(label)
            .build();
        let tracking = TargetTrackingConfiguration::builder()
            .predefined_metric_specification(metric_of_group)
            .target_value(value.into())
            .build();
        self.groups
            .put_scaling_policy()
            .auto_scaling_group_name(name.to_string())
            .policy_name(metric.name())
            .policy_type("TargetTrackingScaling")
            .target_tracking_configuration(tracking)
            .send()
            .await
            .map(drop)
            .map_err(of)
    }

    /// The policy's ARN, which an alarm calls it by.
    async fn put_steps(&self, name: &FleetName, side: &Side) -> Result<String, StepError> {
        let steps = side.adjustments.iter().map(|(low, high, change)| {
            // Percent and requests: no number of these is too large.
            #[allow(clippy::cast_precision_loss)]
            let bound = |from: &Option<i64>| from.map(|from| from as f64);
            StepAdjustment::builder()
                .set_metric_interval_lower_bound(bound(low))
                .set_metric_interval_upper_bound(bound(high))
                .scaling_adjustment(*change)
                .build()
        });
        let put = self
            .groups
            .put_scaling_policy()
            .auto_scaling_group_name(name.to_string())
            .policy_name(&side.name)
            .policy_type("StepScaling")
            .adjustment_type("ChangeInCapacity")
            .metric_aggregation_type("Average")
            .set_step_adjustments(Some(steps.collect()))
            .send()
            .await
            .map_err(|error| failed(format!("PutScalingPolicy {} of {name}", side.name), error))?;
        Ok(put.policy_arn.unwrap_or_default())
    }

    async fn put_action(
        &self,
        name: &FleetName,
        action: &ScheduledAction,
    ) -> Result<(), StepError> {
        let what = format!("PutScheduledUpdateGroupAction {} of {name}", action.name);
        self.groups
            .put_scheduled_update_group_action()
            .auto_scaling_group_name(name.to_string())
            .scheduled_action_name(&action.name)
            .recurrence(&action.recurrence)
            .time_zone(&action.time_zone)
            .set_min_size(action.min.map(signed))
            .set_max_size(action.max.map(signed))
            .set_desired_capacity(action.desired.map(signed))
            .send()
            .await
            .map(drop)
            .map_err(|error| failed(what, error))
    }

    /// Gives a group a size, unless it has that, or is gone.
    pub async fn resize(
        &self,
        place: &Place,
        release: ReleaseNumber,
        size: Size,
    ) -> Result<(), StepError> {
        let name = FleetName::new(place, release);
        let Some(group) = self.group_that_stays(&name).await? else {
            return Ok(());
        };
        let is = [group.min_size(), group.max_size(), group.desired_capacity()];
        let [min, max, has] = is.map(count);
        let desired = size.desired_after(has);
        if (min, max, has) == (size.min, size.max, desired) {
            return Ok(());
        }
        self.groups
            .update_auto_scaling_group()
            .auto_scaling_group_name(name.to_string())
            .min_size(signed(size.min))
            .max_size(signed(size.max))
            .desired_capacity(signed(desired))
            .send()
            .await
            .map(drop)
            .map_err(|error| failed(format!("UpdateAutoScalingGroup {name}"), error))
    }
}

/// How Auto Scaling names the requests to a target group: `app/<load balancer>/<id>/targetgroup/<name>/<id>`, the ends of
/// two ARNs: <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PredefinedMetricSpecification.html>. The load
/// balancer's is the listener's without its last part.
fn resource_label(listener: &str, target_group: &str) -> Option<String> {
    let (_, balancer) = listener.split_once(":listener/")?;
    let (balancer, _) = balancer.rsplit_once('/')?;
    let (_, target_group) = target_group.rsplit_once(':')?;
    Some(format!("{balancer}/{target_group}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_the_ends_of_both_arns() {
        let elb = "arn:aws:elasticloadbalancing:us-east-1:123456789012";
        let label = resource_label(
            &format!("{elb}:listener/app/lb/778d41231b141a0f/9f0e"),
            &format!("{elb}:targetgroup/hello-qa-000001/943f017f100becff"),
        );
        assert_eq!(
            label.unwrap(),
            "app/lb/778d41231b141a0f/targetgroup/hello-qa-000001/943f017f100becff"
        );
        assert_eq!(resource_label("arn:aws:x", "arn:aws:y"), None);
    }
}
