//! A target group's attributes.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html>

use std::{collections::BTreeMap, time::Duration};

use super::super::{Cloud, Error, Result, elb};

const DEREGISTRATION_DELAY: &str = "deregistration_delay.timeout_seconds";
const SLOW_START: &str = "slow_start.duration_seconds";
const STICKINESS: &str = "stickiness.enabled";

/// Each attribute that an application load balancer's target group has, its default, and what it may be.
const KNOWN: [(&str, &str, Value); 12] = [
    (DEREGISTRATION_DELAY, "300", Value::Between(0, 3600)),
    (SLOW_START, "0", Value::ZeroOr(30, 900)),
    (STICKINESS, "false", Value::OneOf(&["true", "false"])),
    (
        "stickiness.type",
        "lb_cookie",
        Value::OneOf(&["lb_cookie", "app_cookie"]),
    ),
    (
        "stickiness.lb_cookie.duration_seconds",
        "86400",
        Value::Between(1, 604_800),
    ),
    (
        "stickiness.app_cookie.duration_seconds",
        "86400",
        Value::Between(1, 604_800),
    ),
    ("stickiness.app_cookie.cookie_name", "", Value::Text),
    (
        "load_balancing.algorithm.type",
        "round_robin",
        Value::OneOf(&[
            "round_robin",
            "least_outstanding_requests",
            "weighted_random",
        ]),
    ),
    (
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        Value::OneOf(&["true", "false", "use_load_balancer_configuration"]),
    ),
    (
        "target_group_health.dns_failover.minimum_healthy_targets.count",
        "1",
        Value::Text,
    ),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count",
        "1",
        Value::Text,
    ),
    (
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage",
        "off",
        Value::Text,
    ),
];

enum Value {
    /// Seconds.
    Between(u64, u64),
    ZeroOr(u64, u64),
    OneOf(&'static [&'static str]),
    Text,
}

impl Value {
    fn check(&self, key: &str, value: &str) -> Result<()> {
        let number = value.parse::<u64>().ok();
        let (good, wanted) = match self {
            Self::Between(from, to) => (
                number.is_some_and(|number| (*from..=*to).contains(&number)),
                format!("an integer between {from} and {to}"),
            ),
            Self::ZeroOr(from, to) => (
                number.is_some_and(|number| number == 0 || (*from..=*to).contains(&number)),
                format!("0 or an integer between {from} and {to}"),
            ),
            Self::OneOf(choices) => (
                choices.contains(&value),
                format!("one of {}", choices.join(", ")),
            ),
            Self::Text => (true, String::new()),
        };
        if good {
            return Ok(());
        }
        Err(Error::validation(format!(
            "'{key}' attribute value '{value}' must be {wanted}"
        )))
    }
}

#[derive(Clone, Debug)]
pub(super) struct Attributes(BTreeMap<&'static str, String>);

impl Default for Attributes {
    fn default() -> Self {
        Self(
            KNOWN
                .iter()
                .map(|(key, default, _)| (*key, (*default).to_owned()))
                .collect(),
        )
    }
}

impl Attributes {
    fn seconds(&self, key: &str) -> Duration {
        let seconds = self.0.get(key).and_then(|value| value.parse().ok());
        Duration::from_secs(seconds.unwrap_or(0))
    }

    pub(super) fn deregistration_delay(&self) -> Duration {
        self.seconds(DEREGISTRATION_DELAY)
    }

    pub(super) fn slow_start(&self) -> Duration {
        self.seconds(SLOW_START)
    }

    fn with(&self, given: elb::TargetGroupAttributes) -> Result<Self> {
        let mut attributes = self.clone();
        for attribute in given.items {
            let (key, value) = (
                attribute.key.unwrap_or_default(),
                attribute.value.unwrap_or_default(),
            );
            let Some((key, _, allowed)) = KNOWN.iter().find(|(known, _, _)| *known == key) else {
                return Err(Error::validation(format!(
                    "Target group attribute key '{key}' is not recognized"
                )));
            };
            allowed.check(key, &value)?;
            if *key == STICKINESS && value == "true" {
                return Err(Error::not_modelled("Stickiness of a target group"));
            }
            attributes.0.insert(key, value);
        }
        Ok(attributes)
    }

    fn listed(&self) -> elb::TargetGroupAttributes {
        let listed = |(key, value): (&&str, &String)| elb::TargetGroupAttribute {
            key: Some((*key).to_owned()),
            value: Some(value.clone()),
        };
        self.0.iter().map(listed).collect()
    }
}

impl Cloud {
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyTargetGroupAttributes.html>
    pub fn modify_target_group_attributes(
        &mut self,
        request: elb::ModifyTargetGroupAttributesInput,
    ) -> Result<elb::ModifyTargetGroupAttributesOutput> {
        let group = self.target_group_mut(&request.target_group_arn)?;
        group.attributes = group.attributes.with(request.attributes)?;
        Ok(elb::ModifyTargetGroupAttributesOutput {
            attributes: Some(group.attributes.listed()),
        })
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetGroupAttributes.html>
    pub fn describe_target_group_attributes(
        &self,
        request: &elb::DescribeTargetGroupAttributesInput,
    ) -> Result<elb::DescribeTargetGroupAttributesOutput> {
        Ok(elb::DescribeTargetGroupAttributesOutput {
            attributes: Some(
                self.target_group(&request.target_group_arn)?
                    .attributes
                    .listed(),
            ),
        })
    }
}
