//! Rules: in order of their priority, the first whose conditions match decides; the default rule comes last.

use std::collections::BTreeMap;

use super::{
    super::{Cloud, Error, Result, elb, paging},
    action::Action,
    condition::Conditions,
};

#[derive(Clone, Debug)]
pub(in super::super) struct Rule {
    pub(in super::super) arn: String,
    pub(in super::super) listener: String,
    pub(in super::super) priority: Priority,
    pub(in super::super) conditions: Conditions,
    pub(in super::super) action: Action,
    pub(super) tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Priority {
    /// 1 to 50000; the lower number goes first.
    Number(u16),
    Default,
}

impl Priority {
    fn parse(number: i32) -> Result<Self> {
        let number = u16::try_from(number)
            .ok()
            .filter(|number| (1..=50_000).contains(number));
        number.map(Self::Number).ok_or_else(|| {
            Error::validation("Rule priority must be between '1' and '50000' inclusive")
        })
    }
}

impl std::fmt::Display for Priority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Rule {
    fn listed(&self) -> elb::Rule {
        elb::Rule {
            rule_arn: Some(self.arn.clone()),
            priority: Some(self.priority.to_string()),
            is_default: Some(self.priority == Priority::Default),
            conditions: Some(self.conditions.listed()),
            actions: Some(vec![self.action.listed()].into()),
            transforms: None,
        }
    }
}

impl Cloud {
    /// The rules of a listener in the order in which they are tried.
    pub(in super::super) fn rules_of(&self, listener: &str) -> Vec<&Rule> {
        let mut rules: Vec<&Rule> = self
            .rules
            .values()
            .filter(|rule| rule.listener == listener)
            .collect();
        rules.sort_by_key(|rule| rule.priority);
        rules
    }

    /// The load balancer whose listeners name a target group, in a rule or as default.
    pub(in super::super) fn load_balancer_of(&self, target_group: &str) -> Option<String> {
        let mut rules = self.rules.values();
        let rule = rules.find(|rule| rule.action.target_groups().any(|arn| arn == target_group))?;
        let listener = self.listeners.get(&rule.listener)?;
        Some(listener.load_balancer.clone())
    }

    pub(super) fn rules_behind(&self, load_balancer: &str) -> impl Iterator<Item = &Rule> {
        self.rules.values().filter(move |rule| {
            let listener = self.listeners.get(&rule.listener);
            listener.is_some_and(|listener| listener.load_balancer == load_balancer)
        })
    }

    fn check_priority_free(&self, listener: &str, priority: Priority, but: &[&str]) -> Result<()> {
        let taken = self
            .rules_of(listener)
            .into_iter()
            .any(|rule| rule.priority == priority && !but.contains(&rule.arn.as_str()));
        if taken {
            return Err(Error::new(
                "PriorityInUse",
                format!("Priority '{priority}' is currently in use"),
            ));
        }
        Ok(())
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateRule.html>
    pub fn create_rule(&mut self, request: elb::CreateRuleInput) -> Result<elb::CreateRuleOutput> {
        let listener = self.listener(&request.listener_arn)?;
        let (listener, balancer) = (listener.arn.clone(), listener.load_balancer.clone());
        if request.transforms.is_some() {
            return Err(Error::not_modelled("A rule transform"));
        }
        let priority = Priority::parse(request.priority)?;
        self.check_priority_free(&listener, priority, &[])?;
        let most = self.settings.quotas.rules_per_load_balancer;
        let others = self.rules_behind(&balancer);
        let others = others.filter(|rule| rule.priority != Priority::Default);
        if others.count() >= most {
            return Err(Error::new(
                "TooManyRules",
                format!(
                    "A load balancer may have at most {most} rules, not counting default rules"
                ),
            ));
        }
        let values = self.settings.quotas.condition_values_per_rule;
        let conditions = Conditions::parse(request.conditions, values)?;
        let action = self.action(request.actions, &balancer)?;
        let tags = super::resource_tags::parse(request.tags)?;
        let path = listener
            .split_once(":listener/")
            .map_or("", |(_, path)| path)
            .to_owned();
        let suffix = self.ids.hex(16);
        let arn = self.balancing_arn(&format!("listener-rule/{path}/{suffix}"));
        let rule = Rule {
            arn: arn.clone(),
            listener,
            priority,
            conditions,
            action,
            tags,
        };
        let listed = rule.listed();
        self.rules.insert(arn, rule);
        Ok(elb::CreateRuleOutput {
            rules: Some(vec![listed].into()),
        })
    }

    /// What is not given stays as it is.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_ModifyRule.html>
    pub fn modify_rule(&mut self, request: elb::ModifyRuleInput) -> Result<elb::ModifyRuleOutput> {
        let rule = self.rule(&request.rule_arn)?;
        if rule.priority == Priority::Default {
            return Err(Error::new(
                "OperationNotPermitted",
                format!(
                    "Default rule '{}' cannot be modified: modify its listener",
                    rule.arn
                ),
            ));
        }
        if request.transforms.is_some() {
            return Err(Error::not_modelled("A rule transform"));
        }
        let balancer = self.listener(&rule.listener)?.load_balancer.clone();
        let values = self.settings.quotas.condition_values_per_rule;
        let conditions = request
            .conditions
            .filter(|conditions| !conditions.items.is_empty());
        let conditions = conditions
            .map(|given| Conditions::parse(given, values))
            .transpose()?;
        let action = request.actions.filter(|actions| !actions.items.is_empty());
        let action = action
            .map(|given| self.action(given, &balancer))
            .transpose()?;
        let Some(rule) = self.rules.get_mut(&request.rule_arn) else {
            return Ok(elb::ModifyRuleOutput::default());
        };
        if let Some(conditions) = conditions {
            rule.conditions = conditions;
        }
        if let Some(action) = action {
            rule.action = action;
        }
        Ok(elb::ModifyRuleOutput {
            rules: Some(vec![rule.listed()].into()),
        })
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeleteRule.html>
    pub fn delete_rule(&mut self, request: &elb::DeleteRuleInput) -> Result<elb::DeleteRuleOutput> {
        let rule = self.rule(&request.rule_arn)?;
        if rule.priority == Priority::Default {
            return Err(Error::new(
                "OperationNotPermitted",
                format!("Default rule '{}' cannot be deleted", rule.arn),
            ));
        }
        self.rules.remove(&request.rule_arn);
        Ok(elb::DeleteRuleOutput::default())
    }

    /// All of them or none. A rule may take the place that another one of the same request leaves.
    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_SetRulePriorities.html>
    pub fn set_rule_priorities(
        &mut self,
        request: &elb::SetRulePrioritiesInput,
    ) -> Result<elb::SetRulePrioritiesOutput> {
        let pairs = &request.rule_priorities.items;
        let moved: Vec<&str> = pairs
            .iter()
            .filter_map(|pair| pair.rule_arn.as_deref())
            .collect();
        let mut wanted = BTreeMap::new();
        let mut places = std::collections::BTreeSet::new();
        for pair in pairs {
            let rule = self.rule(pair.rule_arn.as_deref().unwrap_or_default())?;
            if rule.priority == Priority::Default {
                return Err(Error::new(
                    "OperationNotPermitted",
                    format!("The priority of default rule '{}' cannot be set", rule.arn),
                ));
            }
            let priority = Priority::parse(pair.priority.unwrap_or(0))?;
            self.check_priority_free(&rule.listener, priority, &moved)?;
            if !places.insert((rule.listener.clone(), priority)) {
                return Err(Error::new(
                    "PriorityInUse",
                    format!("Priority '{priority}' is given to more than one rule"),
                ));
            }
            wanted.insert(rule.arn.clone(), priority);
        }
        let mut listed = Vec::new();
        for (arn, priority) in wanted {
            if let Some(rule) = self.rules.get_mut(&arn) {
                rule.priority = priority;
                listed.push(rule.listed());
            }
        }
        Ok(elb::SetRulePrioritiesOutput {
            rules: Some(listed.into()),
        })
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeRules.html>
    pub fn describe_rules(
        &self,
        request: elb::DescribeRulesInput,
    ) -> Result<elb::DescribeRulesOutput> {
        let arns = request.rule_arns.map(|arns| arns.items).unwrap_or_default();
        let found = match (&request.listener_arn, arns.is_empty()) {
            (Some(listener), true) => {
                self.listener(listener)?;
                self.rules_of(listener)
            }
            (None, false) => arns
                .iter()
                .map(|arn| self.rule(arn))
                .collect::<Result<Vec<_>>>()?,
            _ => {
                return Err(Error::validation(
                    "You must specify either a listener ARN or rule ARNs, and not both",
                ));
            }
        };
        let (found, next_marker) = paging::page(
            found,
            |rule| format!("{:0>7} {}", rule.priority.to_string(), rule.arn),
            request.marker.as_deref(),
            paging::page_size(request.page_size)?,
            paging::bad_marker,
        )?;
        Ok(elb::DescribeRulesOutput {
            rules: Some(found.into_iter().map(Rule::listed).collect()),
            next_marker,
        })
    }
}
