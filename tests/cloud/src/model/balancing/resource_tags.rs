//! Tags of load balancers, listeners, rules and target groups.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_AddTags.html>

use std::collections::BTreeMap;

use super::super::{Cloud, Error, Result, elb, limits};

type Tags = BTreeMap<String, String>;

/// Resources that one call may name.
const RESOURCES_PER_CALL: usize = 20;

pub(super) fn parse(given: Option<elb::TagList>) -> Result<Tags> {
    let given = given.map(|tags| tags.items).unwrap_or_default();
    let pairs = given
        .iter()
        .map(|tag| (tag.key.as_str(), tag.value.as_deref().unwrap_or_default()));
    limits::tags(pairs, "DuplicateTagKeys")?;
    let tags = given
        .into_iter()
        .map(|tag| (tag.key, tag.value.unwrap_or_default()));
    checked(tags.collect())
}

fn checked(tags: Tags) -> Result<Tags> {
    if tags.len() > limits::TAGS_PER_RESOURCE {
        return Err(Error::new(
            "TooManyTags",
            format!(
                "A resource may have at most {} tags",
                limits::TAGS_PER_RESOURCE
            ),
        ));
    }
    Ok(tags)
}

fn check_count(arns: &[String]) -> Result<()> {
    if arns.is_empty() || arns.len() > RESOURCES_PER_CALL {
        return Err(Error::validation(format!(
            "Between 1 and {RESOURCES_PER_CALL} resource ARNs must be specified, not {}",
            arns.len()
        )));
    }
    Ok(())
}

impl Cloud {
    pub(in super::super) fn tags_of(&self, arn: &str) -> Result<&Tags> {
        let kind = arn
            .split(':')
            .nth(5)
            .and_then(|rest| rest.split('/').next());
        match kind {
            Some("loadbalancer") => Ok(&self.load_balancer(arn)?.tags),
            Some("listener") => Ok(&self.listener(arn)?.tags),
            Some("listener-rule") => Ok(&self.rule(arn)?.tags),
            Some("targetgroup") => Ok(&self.target_group(arn)?.tags),
            _ => Err(Error::validation(format!("'{arn}' is not a valid ARN"))),
        }
    }

    fn set_tags(&mut self, arn: &str, tags: Tags) {
        let balancer = self
            .load_balancers
            .get_mut(arn)
            .map(|balancer| &mut balancer.tags);
        let listener = self
            .listeners
            .get_mut(arn)
            .map(|listener| &mut listener.tags);
        let rule = self.rules.get_mut(arn).map(|rule| &mut rule.tags);
        let group = self.target_groups.get_mut(arn).map(|group| &mut group.tags);
        if let Some(place) = balancer.or(listener).or(rule).or(group) {
            *place = tags;
        }
    }

    pub fn add_tags(&mut self, request: elb::AddTagsInput) -> Result<elb::AddTagsOutput> {
        let arns = request.resource_arns.items;
        check_count(&arns)?;
        let given = parse(Some(request.tags))?;
        let mut changes = Vec::new();
        for arn in arns {
            let mut tags = self.tags_of(&arn)?.clone();
            tags.extend(given.clone());
            changes.push((arn, checked(tags)?));
        }
        for (arn, tags) in changes {
            self.set_tags(&arn, tags);
        }
        Ok(elb::AddTagsOutput::default())
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RemoveTags.html>
    pub fn remove_tags(&mut self, request: &elb::RemoveTagsInput) -> Result<elb::RemoveTagsOutput> {
        check_count(&request.resource_arns.items)?;
        for arn in &request.resource_arns.items {
            self.tags_of(arn)?;
        }
        for arn in &request.resource_arns.items {
            let mut tags = self.tags_of(arn)?.clone();
            tags.retain(|key, _| !request.tag_keys.items.contains(key));
            self.set_tags(arn, tags);
        }
        Ok(elb::RemoveTagsOutput::default())
    }

    /// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTags.html>
    pub fn describe_tags(
        &self,
        request: &elb::DescribeTagsInput,
    ) -> Result<elb::DescribeTagsOutput> {
        check_count(&request.resource_arns.items)?;
        let mut described = Vec::new();
        for arn in &request.resource_arns.items {
            let tags = self.tags_of(arn)?.iter().map(|(key, value)| elb::Tag {
                key: key.clone(),
                value: Some(value.clone()),
            });
            described.push(elb::TagDescription {
                resource_arn: Some(arn.clone()),
                tags: Some(tags.collect()),
            });
        }
        Ok(elb::DescribeTagsOutput {
            tag_descriptions: Some(described.into()),
        })
    }
}
