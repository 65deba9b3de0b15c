//! When a rule applies: host and path patterns.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html#rule-condition-types>

use super::super::{Error, Result, elb};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Conditions {
    pub(in super::super) hosts: Vec<String>,
    pub(in super::super) paths: Vec<String>,
}

impl Conditions {
    /// `most` is how many values all conditions of a rule may have together.
    pub(super) fn parse(given: elb::RuleConditionList, most: usize) -> Result<Self> {
        let mut conditions = Self::default();
        for condition in given.items {
            let field = condition.field.unwrap_or_default();
            let (into, config) = match field.as_str() {
                "host-header" => (
                    &mut conditions.hosts,
                    condition
                        .host_header_config
                        .and_then(|config| config.values),
                ),
                "path-pattern" => (
                    &mut conditions.paths,
                    condition
                        .path_pattern_config
                        .and_then(|config| config.values),
                ),
                "http-header" | "http-request-method" | "query-string" | "source-ip" => {
                    return Err(Error::not_modelled(format!("A rule condition on {field}")));
                }
                _ => {
                    return Err(Error::validation(format!(
                        "Condition field '{field}' is not valid"
                    )));
                }
            };
            if condition.regex_values.is_some() {
                return Err(Error::not_modelled(
                    "A rule condition with a regular expression",
                ));
            }
            let values = config
                .or(condition.values)
                .map(|values| values.items)
                .unwrap_or_default();
            if values.is_empty() {
                return Err(Error::validation(format!(
                    "A '{field}' condition must have a value"
                )));
            }
            if !into.is_empty() {
                return Err(Error::validation(format!(
                    "A rule can have only one '{field}' condition"
                )));
            }
            for value in &values {
                check_pattern(&field, value)?;
            }
            *into = values;
        }
        let count = conditions.hosts.len() + conditions.paths.len();
        if count == 0 {
            return Err(Error::validation("A rule must have at least one condition"));
        }
        if count > most {
            return Err(Error::validation(format!(
                "A rule can have at most {most} condition values, not {count}"
            )));
        }
        Ok(conditions)
    }

    pub(super) fn listed(&self) -> elb::RuleConditionList {
        let hosts = (!self.hosts.is_empty()).then(|| elb::RuleCondition {
            field: Some("host-header".into()),
            values: Some(self.hosts.clone().into()),
            host_header_config: Some(elb::HostHeaderConditionConfig {
                values: Some(self.hosts.clone().into()),
                ..Default::default()
            }),
            ..Default::default()
        });
        let paths = (!self.paths.is_empty()).then(|| elb::RuleCondition {
            field: Some("path-pattern".into()),
            values: Some(self.paths.clone().into()),
            path_pattern_config: Some(elb::PathPatternConditionConfig {
                values: Some(self.paths.clone().into()),
                ..Default::default()
            }),
            ..Default::default()
        });
        hosts.into_iter().chain(paths).collect()
    }
}

/// At most 128 characters of those that AWS allows.
fn check_pattern(field: &str, value: &str) -> Result<()> {
    let extra = if field == "host-header" {
        "-.*?"
    } else {
        "_-.$/~\"'@:+&*?"
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || extra.contains(c);
    if value.is_empty() || value.len() > 128 || !value.chars().all(allowed) {
        return Err(Error::validation(format!(
            "The {field} pattern '{value}' is not valid: it has 1 to 128 letters, digits and characters of {extra}"
        )));
    }
    Ok(())
}
