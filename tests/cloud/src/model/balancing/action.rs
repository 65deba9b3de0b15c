//! What a rule does with a request: forward it to weighted target groups, or answer it.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html#rule-action-types>

use std::collections::BTreeSet;

use super::super::{Cloud, Error, Result, elb};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Action {
    Forward {
        groups: Vec<Weighted>,
        stickiness: Option<Stickiness>,
    },
    Fixed {
        status: u16,
        content_type: Option<String>,
        body: Option<String>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Weighted {
    pub(in super::super) arn: String,
    /// 0 to 999.
    pub(in super::super) weight: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Stickiness {
    enabled: bool,
    seconds: Option<i32>,
}

impl Action {
    /// Target groups that it names, whatever their weights.
    pub(in super::super) fn target_groups(&self) -> impl Iterator<Item = &str> {
        let groups = match self {
            Self::Forward { groups, .. } => groups.as_slice(),
            Self::Fixed { .. } => &[],
        };
        groups.iter().map(|group| group.arn.as_str())
    }

    pub(super) fn listed(&self) -> elb::Action {
        match self {
            Self::Forward { groups, stickiness } => {
                let tuples = groups.iter().map(|group| elb::TargetGroupTuple {
                    target_group_arn: Some(group.arn.clone()),
                    weight: Some(i32::from(group.weight)),
                });
                let sticky = stickiness.clone().unwrap_or(Stickiness {
                    enabled: false,
                    seconds: None,
                });
                let only = (groups.len() == 1).then(|| groups.first()).flatten();
                elb::Action {
                    r#type: "forward".into(),
                    target_group_arn: only.map(|group| group.arn.clone()),
                    forward_config: Some(elb::ForwardActionConfig {
                        target_groups: Some(tuples.collect()),
                        target_group_stickiness_config: Some(elb::TargetGroupStickinessConfig {
                            enabled: Some(sticky.enabled),
                            duration_seconds: sticky.seconds,
                        }),
                    }),
                    ..Default::default()
                }
            }
            Self::Fixed {
                status,
                content_type,
                body,
            } => elb::Action {
                r#type: "fixed-response".into(),
                fixed_response_config: Some(elb::FixedResponseActionConfig {
                    status_code: status.to_string(),
                    content_type: content_type.clone(),
                    message_body: body.clone(),
                }),
                ..Default::default()
            },
        }
    }
}

impl Cloud {
    /// The one routing action of a request, checked, for a listener of `load_balancer`.
    pub(super) fn action(&self, given: elb::Actions, load_balancer: &str) -> Result<Action> {
        let count = given.items.len();
        let mut given = given.items.into_iter();
        let (Some(action), None) = (given.next(), given.next()) else {
            return Err(Error::new(
                "InvalidLoadBalancerAction",
                format!(
                    "Exactly one forward or fixed-response action is needed; {count} were given"
                ),
            ));
        };
        match action.r#type.as_str() {
            "forward" => self.forward(action, load_balancer),
            "fixed-response" => fixed(action.fixed_response_config),
            other => Err(Error::not_modelled(format!(
                "A rule action of type '{other}'"
            ))),
        }
    }

    fn forward(&self, action: elb::Action, load_balancer: &str) -> Result<Action> {
        let config = action.forward_config.unwrap_or_default();
        let mut tuples = config
            .target_groups
            .map(|groups| groups.items)
            .unwrap_or_default();
        if let Some(arn) = action.target_group_arn {
            match tuples.as_slice() {
                [] => tuples.push(elb::TargetGroupTuple {
                    target_group_arn: Some(arn),
                    weight: None,
                }),
                [one] if one.target_group_arn.as_ref() == Some(&arn) => {}
                _ => {
                    return Err(Error::new(
                        "InvalidLoadBalancerAction",
                        "You cannot specify both TargetGroupArn and a different ForwardConfig",
                    ));
                }
            }
        }
        let most = self.settings.quotas.target_groups_per_action;
        if tuples.is_empty() || tuples.len() > most {
            return Err(Error::new(
                "InvalidLoadBalancerAction",
                format!(
                    "A forward action names between 1 and {most} target groups, not {}",
                    tuples.len()
                ),
            ));
        }
        let groups = tuples
            .into_iter()
            .map(weighted)
            .collect::<Result<Vec<_>>>()?;
        let distinct: BTreeSet<&str> = groups.iter().map(|group| group.arn.as_str()).collect();
        if distinct.len() < groups.len() {
            return Err(Error::new(
                "InvalidLoadBalancerAction",
                "A forward action cannot name the same target group twice",
            ));
        }
        for group in &groups {
            self.check_association(&group.arn, load_balancer)?;
        }
        let sticky = config
            .target_group_stickiness_config
            .map(|config| Stickiness {
                enabled: config.enabled.unwrap_or(false),
                seconds: config.duration_seconds,
            });
        if sticky.as_ref().is_some_and(|sticky| sticky.enabled) {
            return Err(Error::not_modelled("Target group stickiness"));
        }
        Ok(Action::Forward {
            groups,
            stickiness: sticky,
        })
    }

    /// A target group serves one load balancer, in the same VPC where both are known, and a load balancer has a
    /// limited number of them.
    fn check_association(&self, arn: &str, load_balancer: &str) -> Result<()> {
        let group = self.target_group(arn)?;
        let associated = self.load_balancer_of(arn);
        if associated
            .as_deref()
            .is_some_and(|other| other != load_balancer)
        {
            return Err(Error::new(
                "TargetGroupAssociationLimit",
                format!(
                    "The following target groups cannot be associated with more than one load balancer: {arn}"
                ),
            ));
        }
        let balancer = self.load_balancer(load_balancer)?;
        if let (Some(theirs), Some(ours)) = (&group.vpc, &balancer.vpc)
            && theirs != ours
        {
            return Err(Error::new(
                "InvalidConfigurationRequest",
                format!(
                    "The following target groups are in VPC {theirs}, the load balancer is in {ours}: {arn}"
                ),
            ));
        }
        let most = self.settings.quotas.target_groups_per_load_balancer;
        let rules = self.rules_behind(load_balancer);
        let named = rules.flat_map(|rule| rule.action.target_groups());
        let others: BTreeSet<&str> = named.filter(|other| *other != arn).collect();
        if others.len() >= most {
            return Err(Error::new(
                "TooManyUniqueTargetGroupsPerLoadBalancer",
                format!("A load balancer may have at most {most} target groups"),
            ));
        }
        Ok(())
    }
}

fn weighted(tuple: elb::TargetGroupTuple) -> Result<Weighted> {
    let weight = tuple.weight.unwrap_or(1);
    let parsed = u16::try_from(weight).ok().filter(|weight| *weight <= 999);
    match (tuple.target_group_arn, parsed) {
        (Some(arn), Some(weight)) => Ok(Weighted { arn, weight }),
        (None, _) => Err(Error::validation(
            "A target group of a forward action has no ARN",
        )),
        (Some(arn), None) => Err(Error::validation(format!(
            "Weight '{weight}' of target group '{arn}' must be between '0' and '999' inclusive"
        ))),
    }
}

/// What a fixed response may be.
const CONTENT_TYPES: [&str; 5] = [
    "text/plain",
    "text/css",
    "text/html",
    "application/javascript",
    "application/json",
];

fn fixed(config: Option<elb::FixedResponseActionConfig>) -> Result<Action> {
    let Some(config) = config else {
        return Err(Error::new(
            "InvalidLoadBalancerAction",
            "A fixed-response action needs a FixedResponseConfig",
        ));
    };
    let status = config
        .status_code
        .parse()
        .ok()
        .filter(|code| matches!(code / 100, 2 | 4 | 5));
    let Some(status) = status else {
        return Err(Error::validation(format!(
            "Fixed response code '{}' is not valid: it must be 2XX, 4XX or 5XX",
            config.status_code
        )));
    };
    if let Some(unknown) = config
        .content_type
        .as_deref()
        .filter(|kind| !CONTENT_TYPES.contains(kind))
    {
        return Err(Error::validation(format!(
            "Content type '{unknown}' is not one of {}",
            CONTENT_TYPES.join(", ")
        )));
    }
    if config
        .message_body
        .as_ref()
        .is_some_and(|body| body.len() > 1024)
    {
        return Err(Error::validation("A fixed response has at most 1024 bytes"));
    }
    Ok(Action::Fixed {
        status,
        content_type: config.content_type,
        body: config.message_body,
    })
}
