//! The listener's rule of a place: its pointer.
//!
//! The rule is known by where it forwards to: target groups of the place's fleets, told by name. So nothing has
//! to be remembered, and a rule that a template or a person made is never taken for it.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2 as elb;
use exuvia_core::error::StepError;
use exuvia_core::fleet::{FleetName, TAG_APP, TAG_ENVIRONMENT};
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::target::{Conditions, Front};
use exuvia_core::traffic::{self, Weight};

use crate::error::{failed, is};
use crate::{Lazy, lazily};

pub struct Listeners(Lazy<elb::Client>);

/// A listener's rules as they were found.
pub struct Rules(Vec<elb::types::Rule>);

/// A place's rule as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub arn: String,
    pub weights: Vec<Weight>,
    priority: String,
    /// The target groups that it names.
    arns: BTreeMap<ReleaseNumber, String>,
}

impl Rule {
    pub fn weight_of(&self, release: ReleaseNumber) -> Option<u32> {
        let share = self.weights.iter().find(|share| share.release == release)?;
        Some(share.weight)
    }
}

impl Listeners {
    pub fn new(config: &SdkConfig) -> Self {
        Self(lazily(config, elb::Client::new))
    }

    /// The rule of a listener that forwards to fleets of this place.
    pub async fn find(&self, listener: &str, place: &Place) -> Result<Option<Rule>, StepError> {
        let Rules(rules) = self.rules(listener).await?;
        Ok(rules.iter().find_map(|rule| read(rule, place)))
    }

    pub async fn rules(&self, listener: &str) -> Result<Rules, StepError> {
        let mut pages = self
            .0
            .describe_rules()
            .listener_arn(listener)
            .into_paginator()
            .items()
            .send();
        let mut rules = Vec::new();
        while let Some(rule) = pages.next().await {
            match rule {
                Ok(rule) => rules.push(rule),
                // No listener, no rule: what was behind it can still be put in order.
                Err(error) if is(&error, "ListenerNotFound") => return Ok(Rules(Vec::new())),
                Err(error) => return Err(failed(format!("DescribeRules {listener}"), error)),
            }
        }
        Ok(Rules(rules))
    }

    /// Names a new target group in the rule at weight 0, so that the load balancer checks its targets' health
    /// without sending them a request. Besides the live release (with its target group) the rule then names no
    /// other: what a deploy that was cut off left in it goes.
    ///
    /// The first release's rule is created for it, with a condition that no request meets, so that whatever has
    /// answered the app's requests so far goes on doing so until the traffic is shifted. A rule that somebody deleted
    /// is created anew for the live release.
    pub async fn admit(
        &self,
        place: &Place,
        front: &Front<'_>,
        Rules(rules): Rules,
        live: Option<(ReleaseNumber, String)>,
        (release, target_group): (ReleaseNumber, String),
    ) -> Result<(), StepError> {
        let found = rules.iter().find_map(|rule| read(rule, place));
        let ours = found.as_ref().map(|rule| rule.arn.as_str());
        let priority = front.priority.to_string();
        let clashes = |rule: &&elb::types::Rule| {
            rule.priority() == Some(&priority) && rule.rule_arn() != ours
        };
        // Also for a rule that is there: Commit will move it to the target's priority.
        if let Some(other) = rules.iter().find(clashes) {
            return Err(taken(front.priority, other.rule_arn().unwrap_or_default()));
        }
        let wanted = traffic::weights(live.as_ref().map(|(release, _)| *release), release, 0);
        let arns: BTreeMap<_, _> = live
            .clone()
            .into_iter()
            .chain([(release, target_group)])
            .collect();
        let Some(mut rule) = found else {
            let unmet = Conditions {
                hosts: vec![format!(
                    "{}.{}.exuvia.invalid",
                    place.app, place.environment
                )],
                paths: Vec::new(),
            };
            let conditions = if live.is_some() {
                front.conditions
            } else {
                &unmet
            };
            return self
                .create(place, front, conditions, &shares(&arns, &wanted))
                .await;
        };
        if rule.weights == wanted {
            return Ok(());
        }
        rule.arns.extend(arns);
        self.set_weights(&rule, &wanted).await
    }

    /// Creates the rule of a release that lost its own, with all of the traffic.
    pub async fn restore(
        &self,
        place: &Place,
        front: &Front<'_>,
        target_group: String,
    ) -> Result<(), StepError> {
        self.create(place, front, front.conditions, &[(target_group, 100)])
            .await
    }

    async fn create(
        &self,
        place: &Place,
        front: &Front<'_>,
        wanted: &Conditions,
        shares: &[(String, u32)],
    ) -> Result<(), StepError> {
        let tag = |key: &str, value: &str| elb::types::Tag::builder().key(key).value(value).build();
        let created = self
            .0
            .create_rule()
            .listener_arn(front.listener_arn)
            .priority(i32::try_from(front.priority).unwrap_or(i32::MAX))
            .set_conditions(Some(conditions(wanted)))
            .actions(forward(shares))
            .tags(tag(TAG_APP, place.app.as_str()))
            .tags(tag(TAG_ENVIRONMENT, place.environment.as_str()))
            .send()
            .await;
        match created {
            Ok(_) => Ok(()),
            // By another, or by this very call: its first answer may have been lost on the way.
            Err(error) if is(&error, "PriorityInUse") => {
                let found = self.find(front.listener_arn, place).await?;
                let priority = front.priority.to_string();
                if found.is_some_and(|rule| rule.priority == priority) {
                    return Ok(());
                }
                Err(taken(front.priority, "created at this moment"))
            }
            Err(error) => {
                let action = format!("CreateRule at priority {}", front.priority);
                Err(failed(action, error))
            }
        }
    }

    /// Sets the rule's weights; target groups that are not given are named no longer. One call, so that the traffic
    /// moves in one go.
    pub async fn set_weights(&self, rule: &Rule, weights: &[Weight]) -> Result<(), StepError> {
        self.modify(rule, weights, None).await
    }

    /// As [`Self::set_weights`], and puts the target's conditions in force.
    pub async fn set_weights_and_conditions(
        &self,
        rule: &Rule,
        weights: &[Weight],
        front: &Front<'_>,
    ) -> Result<(), StepError> {
        self.modify(rule, weights, Some(front.conditions)).await
    }

    /// Puts the target's priority in force, unless another rule has taken it since [`Self::admit`] looked: the
    /// traffic is where it is to be all the same, and the next deploy is refused by that rule's name.
    pub async fn set_priority(&self, rule: &Rule, front: &Front<'_>) -> Result<(), StepError> {
        if rule.priority == front.priority.to_string() {
            return Ok(());
        }
        let pair = elb::types::RulePriorityPair::builder()
            .rule_arn(&rule.arn)
            .priority(i32::try_from(front.priority).unwrap_or(i32::MAX))
            .build();
        match self
            .0
            .set_rule_priorities()
            .rule_priorities(pair)
            .send()
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "PriorityInUse") => Ok(()),
            Err(error) => Err(failed(format!("SetRulePriorities {}", rule.arn), error)),
        }
    }

    async fn modify(
        &self,
        rule: &Rule,
        weights: &[Weight],
        wanted: Option<&Conditions>,
    ) -> Result<(), StepError> {
        let targets = shares(&rule.arns, weights);
        if targets.len() < weights.len() {
            return Err(StepError::Unreadable {
                what: format!("the listener's rule {}", rule.arn),
                problem: "it no longer names the fleets that it named; something else changed it"
                    .to_owned(),
            });
        }
        self.0
            .modify_rule()
            .rule_arn(&rule.arn)
            .set_conditions(wanted.map(conditions))
            .actions(forward(&targets))
            .send()
            .await
            .map(drop)
            .map_err(|error| failed(format!("ModifyRule {}", rule.arn), error))
    }

    /// Deletes the rule of a place that has no release to keep.
    pub async fn delete(&self, rule: &Rule) -> Result<(), StepError> {
        match self.0.delete_rule().rule_arn(&rule.arn).send().await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, "RuleNotFound") => Ok(()),
            Err(error) => Err(failed(format!("DeleteRule {}", rule.arn), error)),
        }
    }
}

/// Weights by target group, of the releases whose target group is known.
fn shares(arns: &BTreeMap<ReleaseNumber, String>, weights: &[Weight]) -> Vec<(String, u32)> {
    weights
        .iter()
        .filter_map(|share| Some((arns.get(&share.release)?.clone(), share.weight)))
        .collect()
}

fn taken(priority: u32, rule: &str) -> StepError {
    StepError::PriorityTaken {
        priority,
        rule: rule.to_owned(),
    }
}

/// A rule's weights, if it forwards to a fleet of this place.
fn read(rule: &elb::types::Rule, place: &Place) -> Option<Rule> {
    let mut found = Rule {
        arn: rule.rule_arn()?.to_owned(),
        weights: Vec::new(),
        priority: rule.priority().unwrap_or_default().to_owned(),
        arns: BTreeMap::new(),
    };
    for action in rule.actions() {
        // A forward to a single target group may be told in the short form, without a weight: it has everything.
        let short = action.target_group_arn().map(|arn| (arn, 100));
        let long: Vec<(&str, u32)> = action
            .forward_config()
            .map(elb::types::ForwardActionConfig::target_groups)
            .unwrap_or_default()
            .iter()
            .filter_map(|tuple| {
                let weight = tuple.weight().and_then(|weight| u32::try_from(weight).ok());
                Some((tuple.target_group_arn()?, weight.unwrap_or(1)))
            })
            .collect();
        let shares = if long.is_empty() {
            short.into_iter().collect()
        } else {
            long
        };
        for (arn, weight) in shares {
            if let Some(fleet) = FleetName::of_target_group(place, arn) {
                let release = fleet.release();
                found.weights.push(Weight { release, weight });
                found.arns.insert(release, arn.to_owned());
            }
        }
    }
    (!found.weights.is_empty()).then_some(found)
}

fn forward(targets: &[(String, u32)]) -> elb::types::Action {
    let tuple = |(arn, weight): &(String, u32)| {
        elb::types::TargetGroupTuple::builder()
            .target_group_arn(arn)
            .weight(i32::try_from(*weight).unwrap_or(0))
            .build()
    };
    let config = elb::types::ForwardActionConfig::builder()
        .set_target_groups(Some(targets.iter().map(tuple).collect()))
        .build();
    elb::types::Action::builder()
        .r#type(elb::types::ActionTypeEnum::Forward)
        .order(1)
        .forward_config(config)
        .build()
}

fn conditions(wanted: &Conditions) -> Vec<elb::types::RuleCondition> {
    let mut all = Vec::new();
    if !wanted.hosts.is_empty() {
        let config = elb::types::HostHeaderConditionConfig::builder()
            .set_values(Some(wanted.hosts.clone()))
            .build();
        all.push(
            elb::types::RuleCondition::builder()
                .field("host-header")
                .host_header_config(config)
                .build(),
        );
    }
    if !wanted.paths.is_empty() {
        let config = elb::types::PathPatternConditionConfig::builder()
            .set_values(Some(wanted.paths.clone()))
            .build();
        all.push(
            elb::types::RuleCondition::builder()
                .field("path-pattern")
                .path_pattern_config(config)
                .build(),
        );
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(place: &str, release: u32) -> String {
        let place = Place::new(place, "qa").unwrap();
        let name = FleetName::new(&place, ReleaseNumber::try_from(release).unwrap());
        format!("arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/{name}/0123456789abcdef")
    }

    fn rule(targets: &[(String, u32)]) -> elb::types::Rule {
        elb::types::Rule::builder()
            .rule_arn("arn:rule")
            .actions(forward(targets))
            .build()
    }

    #[test]
    fn a_rule_is_known_by_where_it_forwards_to() {
        let hello = Place::new("hello", "qa").unwrap();
        let found = read(
            &rule(&[(arn("hello", 1), 100), (arn("hello", 2), 0)]),
            &hello,
        )
        .unwrap();
        assert_eq!(
            found.weight_of(ReleaseNumber::try_from(1).unwrap()),
            Some(100)
        );
        assert_eq!(
            found.weight_of(ReleaseNumber::try_from(2).unwrap()),
            Some(0)
        );
        assert_eq!(found.weight_of(ReleaseNumber::try_from(3).unwrap()), None);
        assert_eq!(read(&rule(&[(arn("other", 1), 100)]), &hello), None);
        let fixed = elb::types::Rule::builder().rule_arn("arn:rule").build();
        assert_eq!(read(&fixed, &hello), None);
    }

    #[test]
    fn a_forward_in_the_short_form_has_everything() {
        let action = elb::types::Action::builder()
            .target_group_arn(arn("hello", 7))
            .build();
        let rule = elb::types::Rule::builder()
            .rule_arn("arn:rule")
            .actions(action)
            .build();
        let found = read(&rule, &Place::new("hello", "qa").unwrap()).unwrap();
        assert_eq!(
            found.weight_of(ReleaseNumber::try_from(7).unwrap()),
            Some(100)
        );
    }
}
