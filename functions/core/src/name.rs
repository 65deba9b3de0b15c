//! The names that a deploy is addressed by, each parsed once, where it enters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a name was refused: what it was meant to be, what it was, and the rule it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is not valid: {rule}")]
pub struct InvalidName {
    pub what: &'static str,
    /// What was found, cut to 64 characters.
    pub found: String,
    pub rule: &'static str,
}

impl InvalidName {
    fn new(what: &'static str, found: &str, rule: &'static str) -> Self {
        let mut cut: String = found.chars().take(64).collect();
        if cut.len() < found.len() {
            cut.push('…');
        }
        Self {
            what,
            found: cut,
            rule,
        }
    }
}

/// Declares a name: a string that can only be had by passing its check.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $valid:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName::new($what, text, $rule))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The application that is deployed, such as `hello`.
    AppName,
    "app",
    |text| text.len() <= 32 && is_label(text),
    "use 1 to 32 lowercase letters, digits and single hyphens, beginning with a letter and not ending with a hyphen"
);

name!(
    /// Where it is deployed to, such as `qa`.
    Environment,
    "environment",
    |text| text.len() <= 16 && is_label(text),
    "use 1 to 16 lowercase letters, digits and single hyphens, beginning with a letter and not ending with a hyphen"
);

name!(
    /// What its makers call the thing that is deployed: a commit, a tag, a date.
    Version,
    "version",
    |text| {
        text.len() <= 128
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    },
    "use 1 to 128 letters, digits, dots, underscores and hyphens, beginning with a letter or a digit"
);

/// A lowercase DNS label without doubled hyphens: what every AWS name that is built from it accepts.
fn is_label(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Counts the releases of one app in one environment, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ReleaseNumber(u32);

impl ReleaseNumber {
    pub const FIRST: Self = Self(1);
    /// Six digits: what the names of a release's fleet have room for.
    pub const MAX: Self = Self(999_999);

    pub fn get(self) -> u32 {
        self.0
    }

    /// The number after this one, unless this is the last there is room for.
    pub fn next(self) -> Option<Self> {
        (self < Self::MAX).then(|| Self(self.0 + 1))
    }

    /// Six digits, so that names and keys sort as the numbers do.
    pub fn padded(self) -> String {
        format!("{:06}", self.0)
    }
}

impl TryFrom<u32> for ReleaseNumber {
    type Error = InvalidName;

    fn try_from(number: u32) -> Result<Self, InvalidName> {
        if (Self::FIRST.0..=Self::MAX.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidName::new(
                "release",
                &number.to_string(),
                "release numbers go from 1 to 999999",
            ))
        }
    }
}

impl From<ReleaseNumber> for u32 {
    fn from(number: ReleaseNumber) -> Self {
        number.0
    }
}

impl FromStr for ReleaseNumber {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        text.parse::<u32>()
            .ok()
            .and_then(|number| Self::try_from(number).ok())
            .ok_or_else(|| InvalidName::new("release", text, "release numbers go from 1 to 999999"))
    }
}

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One app in one environment: what has a target, a lock, a live release and a history.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    pub app: AppName,
    pub environment: Environment,
}

impl Place {
    pub fn new(app: &str, environment: &str) -> Result<Self, InvalidName> {
        Ok(Self {
            app: app.parse()?,
            environment: environment.parse()?,
        })
    }
}

/// `<app>/<environment>`: the prefix of all its keys in both buckets.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_pass_and_names_that_do_not() {
        for good in ["a", "hello", "hello-2", "a1", &"a".repeat(32)] {
            assert!(good.parse::<AppName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a--b",
            "Hello",
            "1a",
            "a_b",
            "a/b",
            "ä",
            &"a".repeat(33),
        ] {
            assert!(bad.parse::<AppName>().is_err(), "{bad}");
        }
        assert!("a".repeat(16).parse::<Environment>().is_ok());
        assert!("a".repeat(17).parse::<Environment>().is_err());
        for good in ["1", "v1.2.3", "3f2a1c", "2026-11-21_3", &"v".repeat(128)] {
            assert!(good.parse::<Version>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".1",
            "-1",
            "v1 2",
            "v1/2",
            "v+1",
            "v\u{202e}1",
            &"v".repeat(129),
        ] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refusal_names_what_was_found_and_the_rule() {
        let error = "Hello".parse::<AppName>().unwrap_err().to_string();
        assert!(
            error.starts_with("app \"Hello\" is not valid: use 1 to 32 lowercase"),
            "{error}"
        );
        let long = "x y"
            .repeat(100)
            .parse::<Version>()
            .unwrap_err()
            .to_string();
        assert!(long.contains('…') && long.len() < 260, "{long}");
    }

    #[test]
    fn release_numbers_are_counted_from_one_to_what_names_have_room_for() {
        assert!(ReleaseNumber::try_from(0).is_err());
        assert_eq!(ReleaseNumber::FIRST.next().unwrap().get(), 2);
        assert_eq!(ReleaseNumber::MAX.next(), None);
        assert_eq!(
            "000042".parse::<ReleaseNumber>().unwrap().padded(),
            "000042"
        );
        assert!("x".parse::<ReleaseNumber>().is_err());
        assert!("1000000".parse::<ReleaseNumber>().is_err());
    }
}
