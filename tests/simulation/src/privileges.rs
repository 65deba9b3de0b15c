//! What a call asks of IAM: the action, the resource, and the tags by which a policy may tell that resource from others.
//!
//! Operations and actions are not always named alike: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>
//! and its like say which permissions each needs, and so does the Service Authorization Reference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use exuvia_cloud::model::Cloud;
use exuvia_cloud::wire;
use exuvia_core::scaling::ALARM_PREFIX;
use serde_json::Value;

use crate::calls::Call;
use crate::scenario::PLACE;
use crate::services::Request;
use crate::slack;
use crate::world::{
    ARTIFACTS, BUILD_STATE_MACHINE, CallMade, KEY, LEDGER, SIGNING_KEY, STATE_MACHINE, TOPIC,
};

/// What a call needs, in the words of a policy: what differs from one deploy to the next is a `*`, and resources of the
/// pipeline's template have their names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privilege {
    /// `s3:GetObjectVersion`.
    pub action: String,
    /// `LedgerBucket/*/*/live.json`, `autoScalingGroup:*:autoScalingGroupName/*`.
    pub resource: String,
    /// The keys of our tags that it bears, or that the call gives it. `None` where there are no tags to go by, or nothing
    /// that bears them any more.
    pub tags: Option<BTreeSet<String>>,
}

impl Privilege {
    /// Of a call that is about to be made.
    pub fn needed(call: &Call, request: &Request, cloud: &Cloud) -> Self {
        let (action, resource) = match call.service.as_str() {
            "s3" => of_s3(call, request),
            "autoscaling" | "elasticloadbalancing" => {
                (call.operation.clone(), of_cloud(&call.operation).to_owned())
            }
            // https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html; metrics have no
            // resource, and composite alarms are told of only to whoever may describe all.
            "monitoring" => {
                let resource = match call.operation.as_str() {
                    "PutMetricAlarm" | "DeleteAlarms" => format!("alarm:{ALARM_PREFIX}*"),
                    _ => "*".to_owned(),
                };
                (call.operation.clone(), resource)
            }
            _ => {
                let body = serde_json::from_slice(request.body()).unwrap_or_default();
                (call.operation.clone(), of_body(&body, &call.form))
            }
        };
        let prefix = match call.service.as_str() {
            "monitoring" => "cloudwatch",
            service => service,
        };
        Self {
            action: format!("{prefix}:{action}"),
            tags: tags(call, cloud),
            resource,
        }
    }
}

fn of_s3(call: &Call, request: &Request) -> (String, String) {
    let uri = request.uri();
    let bucket = uri.path().trim_start_matches('/').split('/').next();
    let bucket = match bucket {
        Some(ARTIFACTS) => "ArtifactsBucket",
        Some(LEDGER) => "LedgerBucket",
        other => other.unwrap_or_default(),
    };
    let of_version = uri
        .query()
        .is_some_and(|query| query.split('&').any(|part| part.starts_with("versionId=")));
    let action = match call.operation.as_str() {
        "ListObjectsV2" => return ("ListBucket".to_owned(), bucket.to_owned()),
        "ListObjectVersions" => return ("ListBucketVersions".to_owned(), bucket.to_owned()),
        // There is no permission of that name.
        "HeadObject" => "GetObject",
        other => other,
    };
    let action = if of_version {
        format!("{action}Version")
    } else {
        action.to_owned()
    };
    (action, format!("{bucket}/{}", kind(&call.about)))
}

/// A key without what is of this place, release or execution: `hello/qa/releases/000001.json` is `*/*/releases/*.json`.
fn kind(key: &str) -> String {
    const ENDINGS: [&str; 6] = [
        ".src.tar.gz",
        ".tar.gz",
        ".tar.zst",
        ".tar",
        ".json",
        ".html",
    ];
    let (place, rest) = match key.strip_prefix(PLACE) {
        Some(rest) => ("*/*", rest),
        None => ("", key),
    };
    let part = |part: &str| {
        if !part.contains(|letter: char| letter.is_ascii_digit()) {
            return part.to_owned();
        }
        let ending = ENDINGS.iter().find(|ending| part.ends_with(**ending));
        format!("*{}", ending.unwrap_or(&""))
    };
    let rest: Vec<String> = rest.split('/').map(part).collect();
    format!("{place}{}", rest.join("/"))
}

/// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html> and that of Elastic
/// Load Balancing V2: what only looks has no resource.
fn of_cloud(operation: &str) -> &'static str {
    match operation {
        "CreateRule" => "listener/app/*",
        "ModifyRule" | "DeleteRule" | "SetRulePriorities" => "listener-rule/app/*",
        _ if operation.starts_with("Describe") => "*",
        _ if operation.contains("TargetGroup") => "targetgroup/*",
        _ => "autoScalingGroup:*:autoScalingGroupName/*",
    }
}

fn of_body(body: &Value, form: &str) -> String {
    let text = |name: &str| body[name].as_str();
    if let Some(topic) = wire::parameter(form, "TopicArn") {
        return if topic == TOPIC {
            "Topic".to_owned()
        } else {
            topic
        };
    }
    if text("QueueUrl") == Some(slack::QUEUE) {
        return "SlackQueue".to_owned();
    }
    if let Some(execution) = text("executionArn") {
        let machine = execution.split(':').nth(6).unwrap_or_default();
        return format!("execution:{machine}:*");
    }
    // Of a task that waits it is its state machine that counts.
    if text("taskToken").is_some() {
        let machine = STATE_MACHINE.rsplit(':').next().unwrap_or_default();
        return format!("stateMachine:{machine}");
    }
    let name = text("stateMachineArn").or(text("KeyId"));
    match name.or(text("Name")).unwrap_or_default() {
        STATE_MACHINE => "DeployStateMachine".to_owned(),
        BUILD_STATE_MACHINE => "BuildStateMachine".to_owned(),
        KEY => "Key".to_owned(),
        SIGNING_KEY => "SigningKey".to_owned(),
        slack::PARAMETER => "SlackParameter".to_owned(),
        name => format!("parameter{}", name.replace(PLACE, "*/*")),
    }
}

/// The keys of our tags on what is created or changed.
fn tags(call: &Call, cloud: &Cloud) -> Option<BTreeSet<String>> {
    let form = &call.form;
    let ours = |key: &str| key.starts_with("exuvia:");
    let is_ours = matches!(
        call.service.as_str(),
        "autoscaling" | "elasticloadbalancing"
    );
    if !is_ours || call.operation.starts_with("Describe") {
        return None;
    }
    if call.operation.starts_with("Create") && call.operation != "CreateOrUpdateTags" {
        let given = (1..).map_while(|n| wire::parameter(form, &format!("Tags.member.{n}.Key")));
        return Some(given.filter(|key| ours(key)).collect());
    }
    let named = match call.operation.as_str() {
        "SetRulePriorities" => wire::parameter(form, "RulePriorities.member.1.RuleArn")?,
        _ => call.about.clone(),
    };
    let (_, tags) = cloud.named(&named)?;
    Some(tags.into_keys().filter(|key| ours(key)).collect())
}

/// Of each action on each resource the tags that were there every time.
type Seen = BTreeMap<(String, String), Option<BTreeSet<String>>>;

/// What each function was seen to need.
#[derive(Clone, Debug, Default)]
pub struct Needs(BTreeMap<String, Seen>);

impl Needs {
    pub fn add(&mut self, call: &CallMade) {
        let Privilege {
            action,
            resource,
            tags,
        } = call.privilege.clone();
        let of_function = self.0.entry(call.function.clone()).or_default();
        let known = of_function.entry((action, resource)).or_default();
        // What a policy may ask for is what was there every time.
        *known = match (known.take(), tags) {
            (Some(known), Some(tags)) => Some(known.intersection(&tags).cloned().collect()),
            (known, tags) => known.or(tags),
        };
    }

    /// A table for each function, in Markdown: `cargo xtask lint` reads it.
    pub fn tables(&self) -> String {
        let mut text = String::new();
        for (function, needs) in &self.0 {
            let _ = write!(
                text,
                "## {function}\n\n| action | resource | bears the tags |\n| --- | --- | --- |\n"
            );
            for ((action, resource), tags) in needs {
                let tags: Vec<String> = tags
                    .iter()
                    .flatten()
                    .map(|tag| format!("`{tag}`"))
                    .collect();
                let _ = writeln!(text, "| `{action}` | `{resource}` | {} |", tags.join(", "));
            }
            text.push('\n');
        }
        text.trim_end().to_owned() + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_kind() {
        for (key, known) in [
            ("hello/qa/releases/000001.json", "*/*/releases/*.json"),
            ("hello/qa/live.json", "*/*/live.json"),
            ("hello/qa/boot/000001/i-00a.json", "*/*/boot/*/*.json"),
            ("hello/qa/v1.tar.gz", "*/*/*.tar.gz"),
            ("hello/qa/v1.src.tar.gz", "*/*/*.src.tar.gz"),
            ("hello/qa/config.env", "*/*/config.env"),
            ("refused/deploy-1.json", "refused/*.json"),
            ("hello/qa/slack/upload-1.json", "*/*/slack/*.json"),
        ] {
            assert_eq!(kind(key), known);
        }
    }
}
