//! A release's fleet: its target group and its Auto Scaling group, and how both are named and tagged.

use sha2::{Digest, Sha256};

use crate::name::{Place, ReleaseNumber};

pub const TAG_APP: &str = "exuvia:app";
pub const TAG_ENVIRONMENT: &str = "exuvia:environment";
pub const TAG_RELEASE: &str = "exuvia:release";
/// The ledger bucket's name, so that an instance knows where to read its manifest.
pub const TAG_LEDGER: &str = "exuvia:ledger";
/// The ARN of the key that manifests are signed with, so that an instance runs nothing that was not signed with it.
pub const TAG_SIGNING_KEY: &str = "exuvia:signing-key";

/// The name of a release's target group and of its Auto Scaling group.
///
/// It is a function of app, environment and release number, so that a step that is run again finds what it
/// made before: "already exists" then means "adopt, if the tags match". A target group's name has room for 32
/// characters (elasticloadbalancing `CreateTargetGroup`); the digest keeps apart what cutting makes alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FleetName {
    prefix: String,
    release: ReleaseNumber,
}

impl FleetName {
    pub fn new(place: &Place, release: ReleaseNumber) -> Self {
        Self {
            prefix: prefix(place),
            release,
        }
    }

    pub fn release(&self) -> ReleaseNumber {
        self.release
    }

    /// The fleet that a target group belongs to, if it is one of this place's: told by the name inside its ARN,
    /// `arn:aws:elasticloadbalancing:<region>:<account>:targetgroup/<name>/<id>`.
    pub fn of_target_group(place: &Place, arn: &str) -> Option<Self> {
        let name = arn
            .split(':')
            .nth(5)?
            .strip_prefix("targetgroup/")?
            .split('/')
            .next()?;
        Self::of_name(place, name)
    }

    /// The fleet of this place that has this name.
    pub fn of_name(place: &Place, name: &str) -> Option<Self> {
        let prefix = prefix(place);
        let digits = name.strip_prefix(&prefix)?;
        (digits.len() == 6).then_some(())?;
        Some(Self {
            release: digits.parse().ok()?,
            prefix,
        })
    }
}

impl std::fmt::Display for FleetName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.prefix, self.release.padded())
    }
}

/// What the names of all fleets of a place begin with.
pub(crate) fn prefix(place: &Place) -> String {
    let mut readable = format!("{}-{}", place.app, place.environment);
    readable.truncate(18);
    let digest = hex(&Sha256::digest(place.to_string()));
    format!("{}-{}-", readable.trim_end_matches('-'), &digest[..6])
}

/// Lowercase hexadecimal, two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The tags of both halves of a fleet; they decide whether something that already exists may be adopted.
pub fn tags(place: &Place, release: ReleaseNumber) -> [(&'static str, String); 3] {
    [
        (TAG_APP, place.app.to_string()),
        (TAG_ENVIRONMENT, place.environment.to_string()),
        (TAG_RELEASE, release.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(n: u32) -> ReleaseNumber {
        ReleaseNumber::try_from(n).unwrap()
    }

    #[test]
    fn a_short_place_is_readable_in_its_fleets_names() {
        let place = Place::new("hello", "qa").unwrap();
        let name = FleetName::new(&place, number(42)).to_string();
        assert!(
            name.starts_with("hello-qa-") && name.ends_with("-000042"),
            "{name}"
        );
    }

    #[test]
    fn places_that_read_alike_have_different_names() {
        let one = FleetName::new(&Place::new("a-b", "c").unwrap(), number(1));
        let two = FleetName::new(&Place::new("a", "b-c").unwrap(), number(1));
        assert_ne!(one.to_string(), two.to_string());
    }

    #[test]
    fn a_target_group_of_another_place_is_not_taken_for_ours() {
        let ours = Place::new("hello", "qa").unwrap();
        let theirs = FleetName::new(&Place::new("hello", "qa2").unwrap(), number(7));
        let arn = format!("arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/{theirs}/ab12");
        assert_eq!(FleetName::of_target_group(&ours, &arn), None);
        assert_eq!(FleetName::of_target_group(&ours, "arn:aws:x"), None);
    }

    #[test]
    fn the_tags_tell_the_release_too() {
        let place = Place::new("hello", "qa").unwrap();
        let tags = tags(&place, number(42)).map(|(key, value)| format!("{key}={value}"));
        let wanted = [
            "exuvia:app=hello",
            "exuvia:environment=qa",
            "exuvia:release=42",
        ];
        assert_eq!(tags, wanted);
    }

    proptest! {
        #[test]
        fn names_fit_a_target_group_and_are_read_back(app in "[a-z][a-z0-9]{0,31}", environment in "[a-z]{1,16}", n in 1u32..=999_999) {
            let place = Place::new(&app, &environment).unwrap();
            let name = FleetName::new(&place, number(n));
            let text = name.to_string();
            prop_assert!(text.len() <= 32);
            prop_assert!(!text.contains("--"));
            let arn = format!("arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/{text}/ab12");
            prop_assert_eq!(FleetName::of_target_group(&place, &arn), Some(name));
        }
    }
}
