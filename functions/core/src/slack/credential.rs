//! What the pipeline may say in Slack, and where: the value of the SSM parameter that `SlackParameter` of
//! `infra/pipeline.yaml` names.
//!
//! Either of: the URL of an incoming webhook, or `{"botToken": "xoxb-...", "channel": "C0123456789"}`.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::name::Place;

/// A text that nobody is to read: it has no `Display`, and `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// For the request alone that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Where to post to: whoever knows it may post there.
    Webhook(Secret),
    Bot(Bot),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bot {
    pub token: Secret,
    /// Slack's server, `https://slack.com`.
    pub server: &'static str,
    channel: String,
    /// Of some places, `<app>/<environment>`.
    channels: BTreeMap<String, String>,
}

/// Why the parameter's value is none of the two. It never has anything of the value in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the SSM parameter {parameter} {problem}")]
pub struct InvalidCredential {
    pub parameter: String,
    pub problem: String,
}

/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>, and those of `GovSlack`.
const WEBHOOKS: [&str; 2] = [
    "https://hooks.slack.com/services/",
    "https://hooks.slack-gov.com/services/",
];
const KNOWN: [&str; 4] = ["botToken", "channel", "channels", "server"];
const SERVERS: [&str; 2] = ["https://slack.com", "https://slack-gov.com"];
const FIELDS: &str = r#"{"botToken": "xoxb-...", "channel": "C0123456789"}"#;

impl Credential {
    pub fn parse(parameter: &str, value: &str) -> Result<Self, InvalidCredential> {
        // Who writes it with an editor leaves a line's end.
        let value = value.trim();
        let read = if value.starts_with('{') {
            Bot::read(value).map(Self::Bot)
        } else {
            webhook(value).map(Self::Webhook)
        };
        read.map_err(|problem| InvalidCredential {
            parameter: parameter.to_owned(),
            problem,
        })
    }
}

fn webhook(value: &str) -> Result<Secret, String> {
    if value.starts_with("xoxb-") {
        return Err(format!(
            "holds a token alone. It must say where to post, too: {FIELDS}"
        ));
    }
    if value.contains("slack.com/triggers/") || value.contains("slack.com/workflows/") {
        return Err("holds the URL of a workflow. It must be that of an incoming webhook, https://hooks.slack.com/services/...".to_owned());
    }
    let path = WEBHOOKS
        .iter()
        .find_map(|webhook| value.strip_prefix(webhook));
    let is_of_path =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '/' | '_' | '-');
    match path {
        Some(path) if !path.is_empty() && path.chars().all(is_of_path) => Ok(Secret(value.to_owned())),
        Some(_) => Err("holds a URL that is no whole one of an incoming webhook: after /services/ there are letters, digits and slashes, and nothing else".to_owned()),
        None => Err(format!(
            "must hold the URL of an incoming webhook ({}... or {}...), or {FIELDS}; it holds neither",
            WEBHOOKS[0], WEBHOOKS[1]
        )),
    }
}

impl Bot {
    fn read(value: &str) -> Result<Self, String> {
        // What serde says of a value may quote it.
        let fields: Map<String, Value> = serde_json::from_str(value)
            .map_err(|_| format!("begins as JSON and is none. It must be like {FIELDS}"))?;
        if let Some(other) = fields.keys().find(|name| !KNOWN.contains(&name.as_str())) {
            // A name, unless somebody has mixed up the sides of a colon.
            let is_name =
                other.len() <= 20 && other.chars().all(|letter| letter.is_ascii_alphabetic());
            let other = if is_name {
                other.as_str()
            } else {
                "whose name is not shown here"
            };
            return Err(format!(
                "has a field {other} that is not known. There are {}",
                KNOWN.join(", ")
            ));
        }
        let text = |name: &str| match fields.get(name) {
            None => Err(format!("lacks the field {name}. It must be like {FIELDS}")),
            Some(value) => value
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("has a {name} that is no text")),
        };
        let token = text("botToken")?;
        let is_of_token = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if token.starts_with("xoxe") {
            return Err("has a botToken that expires: turn token rotation off for the Slack app (it cannot be, once it was on: make another app), as nothing here renews it".to_owned());
        }
        if !token.starts_with("xoxb-") || token.len() < 15 || !token.chars().all(is_of_token) {
            return Err("has a botToken that is none: it begins with xoxb-, and is on the page OAuth & Permissions of the Slack app".to_owned());
        }
        let server = match fields.get("server") {
            None => Some(&SERVERS[0]),
            Some(named) => SERVERS
                .iter()
                .find(|server| named.as_str() == Some(**server)),
        };
        let server = server.ok_or_else(|| {
            format!(
                "has a server that is neither {} nor {}",
                SERVERS[0], SERVERS[1]
            )
        })?;
        let channel = text("channel")?;
        check_channel("channel", &channel)?;
        let mut channels = BTreeMap::new();
        match fields.get("channels") {
            None => {}
            Some(Value::Object(named)) => {
                for (place, channel) in named {
                    let is_place = place
                        .split_once('/')
                        .is_some_and(|(app, environment)| Place::new(app, environment).is_ok());
                    let channel = channel.as_str().filter(|_| is_place);
                    let channel = channel.ok_or(r#"has channels that are not like {"hello/qa": "C0123456789"}: an app, a slash, an environment, and a channel"#)?;
                    check_channel("channels", channel)?;
                    channels.insert(place.clone(), channel.to_owned());
                }
            }
            Some(_) => {
                return Err(
                    r#"has channels that are not like {"hello/qa": "C0123456789"}"#.to_owned(),
                );
            }
        }
        Ok(Self {
            token: Secret(token),
            server,
            channel,
            channels,
        })
    }

    pub fn channel(&self, place: Option<&Place>) -> &str {
        let own = place.and_then(|place| self.channels.get(&place.to_string()));
        own.unwrap_or(&self.channel)
    }
}

/// An id, or a name of at most 80 characters with or without its `#`.
fn check_channel(field: &str, channel: &str) -> Result<(), String> {
    let name = channel.strip_prefix('#').unwrap_or(channel);
    let is_good = (1..=80).contains(&name.chars().count())
        && name
            .chars()
            .all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_'));
    if is_good {
        Ok(())
    } else {
        Err(format!(
            "has {field} that name none: a channel is named by its id, C0123456789, or as #deploys"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Result<Credential, String> {
        Credential::parse("/exuvia/slack", value).map_err(|error| error.to_string())
    }

    #[test]
    fn webhooks_and_bots() {
        for good in [
            "https://hooks.slack.com/services/T0/B0/abcDEF123",
            "https://hooks.slack-gov.com/services/T0/B0/x\n",
        ] {
            assert!(matches!(parse(good), Ok(Credential::Webhook(_))), "{good}");
        }
        let bot = parse(
            r##"{"botToken": "xoxb-1-2-abcdefgh", "channel": "#deploys", "channels": {"hello/qa": "C0123456789"}}"##,
        );
        let Ok(Credential::Bot(bot)) = bot else {
            panic!("{bot:?}")
        };
        assert_eq!(bot.server, "https://slack.com");
        assert_eq!(bot.channel(None), "#deploys");
        assert_eq!(
            bot.channel(Place::new("hello", "qa").ok().as_ref()),
            "C0123456789"
        );
        assert_eq!(
            bot.channel(Place::new("hello", "production").ok().as_ref()),
            "#deploys"
        );
        let gov = r#"{"botToken": "xoxb-1-2-abcdefgh", "channel": "C0", "server": "https://slack-gov.com"}"#;
        assert!(matches!(
            parse(gov),
            Ok(Credential::Bot(Bot {
                server: "https://slack-gov.com",
                ..
            }))
        ));
    }

    #[test]
    fn a_refusal_names_the_parameter_and_the_field_and_never_the_value() {
        for (value, named) in [
            ("", "must hold the URL of an incoming webhook"),
            ("secret", "must hold the URL of an incoming webhook"),
            ("http://hooks.slack.com/services/T0/B0/secret", "must hold"),
            (
                "https://hooks.slack.com.evil.example/services/secret",
                "must hold",
            ),
            (
                "https://hooks.slack.com@evil.example/services/secret",
                "must hold",
            ),
            ("https://hooks.slack.com:444/services/secret", "must hold"),
            ("https://hooks.slack.com/services/", "no whole one"),
            (
                "https://hooks.slack.com/services/secret?x=1",
                "no whole one",
            ),
            ("https://hooks.slack.com/services/../secret", "no whole one"),
            ("https://hooks.slack.com/triggers/secret", "workflow"),
            ("xoxb-secret-secret-secret", "where to post"),
            ("{secret", "is none"),
            ("{}", "botToken"),
            (r#"{"botToken": "xoxb-secret-secret"}"#, "channel"),
            (
                r#"{"botToken": 7, "channel": "secret"}"#,
                "botToken that is no text",
            ),
            (
                r#"{"botToken": "xoxp-secret-secret", "channel": "C0"}"#,
                "botToken that is none",
            ),
            (
                r#"{"botToken": "xoxb-secret secret", "channel": "C0"}"#,
                "botToken that is none",
            ),
            (
                r#"{"botToken": "xoxe.xoxb-secret", "channel": "C0"}"#,
                "expires",
            ),
            (
                r#"{"botToken": "xoxb-secret-secret", "channel": "secret channel"}"#,
                "channel",
            ),
            (
                r#"{"botToken": "xoxb-secret-secret", "channel": "C0", "channels": ["secret"]}"#,
                "channels",
            ),
            (
                r#"{"botToken": "xoxb-secret-secret", "channel": "C0", "channels": {"hello": "C1"}}"#,
                "channels",
            ),
            (
                r#"{"botToken": "xoxb-secret-secret", "channel": "C0", "server": "https://secret"}"#,
                "server",
            ),
            (
                r#"{"token": "xoxb-secret-secret", "channel": "C0"}"#,
                "field token",
            ),
            (r#"{"xoxb-secret-secret": "botToken"}"#, "not shown"),
        ] {
            let error = parse(value).unwrap_err();
            assert!(
                error.starts_with("the SSM parameter /exuvia/slack ") && error.contains(named),
                "{value}: {error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        for value in [
            "https://hooks.slack.com/services/T0/B0/hidden",
            r#"{"botToken": "xoxb-hidden-hidden", "channel": "C0"}"#,
        ] {
            let shown = format!("{:?}", parse(value).unwrap());
            assert!(!shown.contains("hidden"), "{shown}");
        }
    }
}
