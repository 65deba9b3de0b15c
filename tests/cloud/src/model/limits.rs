//! What names and tags may look like.

use std::collections::BTreeSet;

use super::{Error, Result};

/// Names of load balancers and target groups: at most 32 letters, digits and hyphens, no hyphen at either end.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html>
pub(super) fn balancing_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > 32 {
        return Err(Error::validation(format!(
            "{what} name '{name}' cannot be empty or longer than '32' characters"
        )));
    }
    if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(Error::validation(format!(
            "{what} name '{name}' can only contain characters that are alphanumeric characters and hyphens(-)"
        )));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return Err(Error::validation(format!(
            "{what} name '{name}' cannot begin or end with a hyphen(-)"
        )));
    }
    Ok(())
}

/// Names in Auto Scaling: 1 to 255 printable characters, no colon in a group's name.
/// <https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html>
pub(super) fn scaling_name(field: &str, name: &str) -> Result<()> {
    let length = name.chars().count();
    if length == 0 || length > 255 || name.chars().any(char::is_control) {
        return Err(Error::validation(format!(
            "1 validation error detected: Value '{name}' at '{field}' failed to satisfy constraint: \
             Member must have between 1 and 255 characters, none of them a control character"
        )));
    }
    if field == "autoScalingGroupName" && name.contains(':') {
        return Err(Error::validation(format!(
            "Value '{name}' at '{field}' failed to satisfy constraint: Member must not contain a colon"
        )));
    }
    Ok(())
}

/// Tags: at most 50, keys of 1 to 128 characters, values of at most 256, none reserved, no key twice.
/// <https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html#id_tags_naming_best_practices>
pub(super) fn tags<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    duplicate: &'static str,
) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    let mut keys = BTreeSet::new();
    for (key, value) in pairs {
        if key.is_empty() || key.chars().count() > 128 {
            return Err(Error::validation(format!(
                "Tag key '{key}' must have between 1 and 128 characters"
            )));
        }
        if value.chars().count() > 256 {
            return Err(Error::validation(format!(
                "The value of tag '{key}' must have at most 256 characters"
            )));
        }
        if !key.chars().all(allowed) || !value.chars().all(allowed) {
            return Err(Error::validation(format!(
                "Tag '{key}' = '{value}' may contain letters, digits, spaces and _ . : / = + - @ only"
            )));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Error::validation(format!(
                "Tag key '{key}' is reserved: keys cannot begin with aws:"
            )));
        }
        if !keys.insert(key) {
            return Err(Error::new(
                duplicate,
                format!("Tag key '{key}' was specified more than once"),
            ));
        }
    }
    Ok(())
}

pub(super) const TAGS_PER_RESOURCE: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balancing_names() {
        let long = "a".repeat(33);
        for (name, good) in [
            ("hello-qa-1a2b3c-000042", true),
            ("a", true),
            ("", false),
            (long.as_str(), false),
            ("-a", false),
            ("a-", false),
            ("a_b", false),
        ] {
            assert_eq!(balancing_name("Target group", name).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn tag_rules() {
        let long = "k".repeat(129);
        for (pairs, code) in [
            (vec![("exuvia:app", "hello")], None),
            (vec![("a", "")], None),
            (vec![("", "x")], Some("ValidationError")),
            (vec![(long.as_str(), "x")], Some("ValidationError")),
            (vec![("aws:x", "x")], Some("ValidationError")),
            (vec![("a", "<x>")], Some("ValidationError")),
            (vec![("a", "1"), ("a", "2")], Some("DuplicateTagKeys")),
        ] {
            let refused = tags(pairs.iter().copied(), "DuplicateTagKeys").err();
            assert_eq!(refused.map(|error| error.code), code, "{pairs:?}");
        }
    }
}
