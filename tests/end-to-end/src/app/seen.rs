//! What there is to see of an app: what it serves, what was told of it, and what is there.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::types::Filter;
use aws_sdk_elasticloadbalancingv2::types::{ForwardActionConfig, Rule};
use exuvia_core::fleet::{FleetName, TAG_APP, TAG_ENVIRONMENT};
use exuvia_core::name::ReleaseNumber;
use serde_json::Value;

use super::App;
use crate::execution::Execution;
use crate::setting;

/// A notice that came out of the topic.
#[derive(Clone, Debug)]
pub struct Notice {
    pub kind: String,
    pub id: String,
    pub text: String,
    pub next_steps: Vec<String>,
}

impl App {
    /// Asserts that users get this version.
    pub async fn serves(&self, version: &str) {
        let (status, body) = crate::client::ask(&self.host).await;
        assert_eq!(status, 200, "{body}");
        assert!(
            body.contains(&format!("\"version\":\"{version}\"")),
            "{version} is not live: {body}"
        );
    }

    /// All notices about this app so far.
    pub async fn notices(&self) -> Vec<Notice> {
        let mut heard = self.heard.lock().await;
        loop {
            let received = self
                .sqs
                .receive_message()
                .queue_url(&self.queue)
                .max_number_of_messages(10)
                .send()
                .await
                .unwrap();
            if received.messages().is_empty() {
                break;
            }
            for message in received.messages() {
                heard.push(serde_json::from_str(message.body().unwrap()).unwrap());
                let handle = message.receipt_handle().unwrap();
                self.sqs
                    .delete_message()
                    .queue_url(&self.queue)
                    .receipt_handle(handle)
                    .send()
                    .await
                    .unwrap();
            }
        }
        let context = |message: &Value, name: &str| {
            message["metadata"]["additionalContext"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        heard
            .iter()
            .filter(|message| context(message, "app") == self.place.app.as_str())
            .map(|message| Notice {
                kind: context(message, "kind"),
                id: message["id"].as_str().unwrap().to_owned(),
                text: format!(
                    "{}: {}",
                    message["content"]["title"].as_str().unwrap(),
                    message["content"]["description"].as_str().unwrap()
                ),
                next_steps: serde_json::from_value(message["content"]["nextSteps"].clone())
                    .unwrap(),
            })
            .collect()
    }

    /// The one final outcome that was told of an execution.
    pub async fn outcome(&self, execution: &Execution) -> Notice {
        self.told_once(&format!("outcome-{}", execution.name()))
            .await
    }

    /// The one notice that bears this id.
    pub(super) async fn told_once(&self, id: &str) -> Notice {
        let told: Vec<Notice> = self
            .notices()
            .await
            .into_iter()
            .filter(|notice| notice.id == id)
            .collect();
        assert_eq!(told.len(), 1, "{id} was not told exactly once: {told:?}");
        told[0].clone()
    }

    /// Asserts that nothing is there besides the live release's fleet (or nothing at all), and that it is whole:
    /// the rule names it alone, nothing is held or locked, and the ledger says so. It is what a scenario ends with, so
    /// here its executions are held against the simulation, too.
    pub async fn is_clean(&self, live: Option<u32>) {
        let live: Vec<ReleaseNumber> = live
            .map(|n| ReleaseNumber::try_from(n).unwrap())
            .into_iter()
            .collect();
        let filter = |tag: &str, value: &str| {
            Filter::builder()
                .name(format!("tag:{tag}"))
                .values(value)
                .build()
        };
        let groups = self
            .autoscaling
            .describe_auto_scaling_groups()
            .filters(filter(TAG_APP, self.place.app.as_str()))
            .filters(filter(TAG_ENVIRONMENT, self.place.environment.as_str()))
            .send()
            .await
            .unwrap();
        let mut standing = Vec::new();
        for group in groups.auto_scaling_groups() {
            let name = group.auto_scaling_group_name().unwrap();
            standing.push(FleetName::of_name(&self.place, name).unwrap().release());
            assert!(
                group.suspended_processes().is_empty(),
                "{name} has suspended processes"
            );
            assert!(
                !group
                    .tags()
                    .iter()
                    .any(|tag| tag.key() == Some("exuvia:held")),
                "{name} is held"
            );
        }
        assert_eq!(standing, live, "groups");

        let target_groups = self.elb.describe_target_groups().send().await.unwrap();
        let target_groups: Vec<_> = target_groups
            .target_groups()
            .iter()
            .filter_map(|group| {
                FleetName::of_target_group(&self.place, group.target_group_arn().unwrap())
            })
            .map(|fleet| fleet.release())
            .collect();
        // A worker has neither a target group nor a rule.
        let served = if self.is_worker {
            Vec::new()
        } else {
            live.clone()
        };
        assert_eq!(target_groups, served, "target groups");

        let weights = self.weights().await;
        let wanted: BTreeMap<_, _> = served.iter().map(|release| (release.get(), 100)).collect();
        assert_eq!(weights, wanted, "weights");

        let ledger = setting("EXUVIA_LEDGER_BUCKET");
        let pointer = live.is_empty().then_some("live.json");
        for name in ["lock.json", "waiting.json"].into_iter().chain(pointer) {
            let head = self
                .s3
                .head_object()
                .bucket(&ledger)
                .key(format!("{}/{name}", self.place))
                .send()
                .await;
            assert!(head.is_err(), "{name} is left over");
        }
        if let [live] = live[..] {
            let record = self.ledger("live.json").await;
            assert_eq!(record["release"], live.get());
        }

        self.goes_as_simulated().await;
    }

    /// The listener rule's weights, by release.
    pub async fn weights(&self) -> BTreeMap<u32, i32> {
        let rules = self.rules().await;
        rules.iter().flat_map(|rule| self.shares(rule)).collect()
    }

    /// The rules that forward to fleets of this app.
    pub(super) async fn rules(&self) -> Vec<Rule> {
        let listener = setting("EXUVIA_LISTENER_ARN");
        let rules = self
            .elb
            .describe_rules()
            .listener_arn(listener)
            .send()
            .await
            .unwrap();
        let rules = rules.rules.unwrap();
        rules
            .into_iter()
            .filter(|rule| !self.shares(rule).is_empty())
            .collect()
    }

    fn shares(&self, rule: &Rule) -> Vec<(u32, i32)> {
        let configs = rule
            .actions()
            .iter()
            .filter_map(|action| action.forward_config());
        configs
            .flat_map(ForwardActionConfig::target_groups)
            .filter_map(|group| {
                let fleet = FleetName::of_target_group(&self.place, group.target_group_arn()?)?;
                Some((fleet.release().get(), group.weight()?))
            })
            .collect()
    }

    /// An object of the app's ledger.
    pub async fn ledger(&self, name: &str) -> Value {
        let object = self
            .s3
            .get_object()
            .bucket(setting("EXUVIA_LEDGER_BUCKET"))
            .key(format!("{}/{name}", self.place))
            .send()
            .await
            .unwrap();
        let body = object.body.collect().await.unwrap();
        serde_json::from_slice(&body.into_bytes()).unwrap()
    }

    /// How many releases have been numbered.
    pub async fn releases(&self) -> usize {
        let listed = self
            .s3
            .list_objects_v2()
            .bucket(setting("EXUVIA_LEDGER_BUCKET"))
            .prefix(format!("{}/releases/", self.place))
            .send()
            .await
            .unwrap();
        listed.contents().len()
    }
}
