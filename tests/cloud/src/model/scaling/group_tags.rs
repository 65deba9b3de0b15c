//! Tags of groups, which instances may inherit.
//! <https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html>

use std::collections::BTreeMap;

use super::{
    super::{Cloud, Error, Result, asg, limits, paging},
    group::{Group, GroupTag},
};

pub(super) fn parse(given: &[asg::Tag]) -> Result<BTreeMap<String, GroupTag>> {
    let pairs = given
        .iter()
        .map(|tag| (tag.key.as_str(), tag.value.as_deref().unwrap_or_default()));
    limits::tags(pairs, "ValidationError")?;
    if given.len() > limits::TAGS_PER_RESOURCE {
        return Err(too_many());
    }
    Ok(given.iter().map(parsed).collect())
}

fn parsed(tag: &asg::Tag) -> (String, GroupTag) {
    let parsed = GroupTag {
        value: tag.value.clone().unwrap_or_default(),
        propagate: tag.propagate_at_launch.unwrap_or(false),
    };
    (tag.key.clone(), parsed)
}

fn too_many() -> Error {
    Error::new(
        "LimitExceeded",
        format!(
            "A group may have at most {} tags",
            limits::TAGS_PER_RESOURCE
        ),
    )
}

/// The group that a tag of a request is for.
fn resource(tag: &asg::Tag) -> Result<&str> {
    match tag.resource_type.as_deref() {
        None | Some("auto-scaling-group") => {}
        Some(other) => {
            return Err(Error::validation(format!(
                "Tag resource type '{other}' is not valid: the only one is auto-scaling-group"
            )));
        }
    }
    tag.resource_id.as_deref().ok_or_else(|| {
        Error::validation(format!(
            "Tag '{}' has no ResourceId: the group's name",
            tag.key
        ))
    })
}

impl Group {
    pub(super) fn listed_tags(&self) -> Vec<asg::TagDescription> {
        let listed = |(key, tag): (&String, &GroupTag)| asg::TagDescription {
            key: Some(key.clone()),
            value: Some(tag.value.clone()),
            propagate_at_launch: Some(tag.propagate),
            resource_id: Some(self.name.clone()),
            resource_type: Some("auto-scaling-group".into()),
        };
        self.tags.iter().map(listed).collect()
    }
}

impl Cloud {
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateOrUpdateTags.html>
    pub fn create_or_update_tags(&mut self, request: &asg::CreateOrUpdateTagsType) -> Result<()> {
        let mut by_group: BTreeMap<&str, Vec<asg::Tag>> = BTreeMap::new();
        for tag in &request.tags.items {
            by_group
                .entry(resource(tag)?)
                .or_default()
                .push(tag.clone());
        }
        let mut changes = Vec::new();
        for (name, tags) in by_group {
            let mut all = self.standing_group(name)?.tags.clone();
            all.extend(parse(&tags)?);
            if all.len() > limits::TAGS_PER_RESOURCE {
                return Err(too_many());
            }
            changes.push((name, all));
        }
        for (name, tags) in changes {
            self.standing_group(name)?.tags = tags;
        }
        Ok(())
    }

    /// A tag is removed whatever its value, or only with the value that is given.
    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DeleteTags.html>
    pub fn delete_tags(&mut self, request: &asg::DeleteTagsType) -> Result<()> {
        for tag in &request.tags.items {
            self.group(resource(tag)?)?;
        }
        for tag in &request.tags.items {
            self.group_mut(resource(tag)?)?
                .tags
                .retain(|key, existing| {
                    *key != tag.key
                        || tag
                            .value
                            .as_ref()
                            .is_some_and(|value| *value != existing.value)
                });
        }
        Ok(())
    }

    /// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeTags.html>
    pub fn describe_group_tags(&self, request: asg::DescribeTagsType) -> Result<asg::TagsType> {
        let filters = request
            .filters
            .map(|filters| filters.items)
            .unwrap_or_default();
        let mut found: Vec<asg::TagDescription> =
            self.groups.values().flat_map(Group::listed_tags).collect();
        for filter in filters {
            let values = filter.values.map(|values| values.items).unwrap_or_default();
            let name = filter.name.unwrap_or_default();
            let field = |tag: &asg::TagDescription| match name.as_str() {
                "auto-scaling-group" => Some(tag.resource_id.clone()),
                "key" => Some(tag.key.clone()),
                "value" => Some(tag.value.clone()),
                "propagate-at-launch" => Some(tag.propagate_at_launch.map(|yes| yes.to_string())),
                _ => None,
            };
            if found.iter().any(|tag| field(tag).is_none()) {
                return Err(Error::validation(format!(
                    "Filter type '{name}' is not correct. Allowed filter types are: auto-scaling-group, key, \
                     value, propagate-at-launch"
                )));
            }
            found.retain(|tag| {
                field(tag)
                    .flatten()
                    .is_some_and(|value| values.contains(&value))
            });
        }
        let (tags, next_token) = paging::page(
            found,
            |tag| format!("{:?}", (&tag.resource_id, &tag.key)),
            request.next_token.as_deref(),
            paging::max_records(request.max_records, 50, 100)?,
            paging::bad_next_token,
        )?;
        Ok(asg::TagsType {
            tags: Some(tags.into()),
            next_token,
        })
    }
}
