//! The function `slack`, which no workflow invokes: with its clients, the services in memory, and Slack's stand-in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use exuvia_aws::{Region, Settings, function};
use exuvia_cloud::model::{Cloud, Settings as CloudSettings};
use exuvia_slack_stand_in::Slack;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::calls::{Call, error_answer, response};
use crate::fault::{Action, Visit};
use crate::privileges::Privilege;
use crate::recording::{Exchange, Recording};
use crate::services::{Kms, Request, Response, S3, Ssm};
use crate::world::{CallMade, KEY, LEDGER, REGION};

pub const PARAMETER: &str = "/slack/deploys";
pub const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/000000000000/exuvia-SlackQueue";
pub const EXECUTION: &str =
    "arn:aws:states:us-east-1:000000000000:execution:exuvia-deploy:upload-hello_qa-1";
/// The key of its conversation.
pub const CONVERSATION: &str = "hello/qa/slack/upload-hello_qa-1.json";

/// An operation, and which of its calls: that and those after it.
pub type Denied = (&'static str, u32);

#[derive(Debug)]
struct Account {
    s3: S3,
    ssm: Ssm,
    kms: Kms,
    /// Messages that were given back: by their receipts, after how many seconds they are given again.
    given_back: Vec<(String, u64)>,
    calls: Vec<CallMade>,
    exchanges: Vec<Exchange>,
    denied: Option<Denied>,
}

impl Account {
    fn answer(&mut self, request: &Request) -> Response {
        let call = Call::read(request);
        let privilege = Privilege::needed(&call, request, &Cloud::new(1, CloudSettings::default()));
        let number = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        self.calls.push(CallMade {
            visit: Visit {
                who: "slack".to_owned(),
                state: String::new(),
                number: 1,
            },
            call: number,
            function: "slack".to_owned(),
            service: call.service.clone(),
            operation: call.operation.clone(),
            privilege,
            is_conditional_write: false,
            at: std::time::Duration::ZERO,
            is_throttled: false,
        });
        if let Some((operation, left)) = &mut self.denied
            && *operation == call.operation
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return error_answer(&call, Some(&Action::Deny));
            }
        }
        match call.service.as_str() {
            "s3" => self.s3.answer(request, Timestamp::now(), &self.kms),
            "ssm" => self.ssm.answer(request),
            "sqs" => self.give_back(&call, request),
            other => response(501, "text/plain", format!("there is no {other} here")),
        }
    }

    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>
    fn give_back(&mut self, call: &Call, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let seconds = body["VisibilityTimeout"]
            .as_u64()
            .filter(|seconds| *seconds <= 43_200);
        let (Some(receipt), Some(seconds)) = (body["ReceiptHandle"].as_str(), seconds) else {
            return response(
                400,
                "application/x-amz-json-1.0",
                json!({"__type": "InvalidParameterValue"}).to_string(),
            );
        };
        if call.operation != "ChangeMessageVisibility" || body["QueueUrl"] != QUEUE {
            return response(
                501,
                "text/plain",
                "it has one queue, and is asked for nothing else",
            );
        }
        self.given_back.push((receipt.to_owned(), seconds));
        response(200, "application/x-amz-json-1.0", "{}")
    }
}

#[derive(Clone, Debug)]
struct InMemory(Arc<Mutex<Account>>);

impl InMemory {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let other = |error: &dyn ToString| ConnectorError::other(error.to_string().into(), None);
        let request = request.try_into_http1x().map_err(|error| other(&error))?;
        let (parts, body) = request.into_parts();
        let body = body.bytes().unwrap_or_default().to_vec();
        let request = Request::from_parts(parts, body);
        let mut account = self.account();
        let answer = account.answer(&request);
        account.exchanges.push(Exchange::of(&request, &answer));
        drop(account);
        answer
            .map(SdkBody::from)
            .try_into()
            .map_err(|error| other(&error))
    }
}

impl HttpConnector for InMemory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(self.answer(request))
    }
}

impl HttpClient for InMemory {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// An account and a workspace.
pub struct Stage {
    pub slack: Slack,
    account: InMemory,
}

/// A process of the function, and what it has kept from one invocation to the next.
pub struct Process {
    handler: exuvia_slack::Handler,
}

impl Stage {
    /// `credential`: the parameter's value; none, if there is no parameter.
    pub async fn new(credential: Option<&str>) -> Result<Self> {
        let stage = Self {
            slack: Slack::start().await?,
            account: InMemory(Arc::new(Mutex::new(Account {
                s3: S3::new([LEDGER.to_owned()], KEY.to_owned()),
                ssm: Ssm::default(),
                kms: Kms::new([KEY.to_owned()]),
                given_back: Vec::new(),
                calls: Vec::new(),
                exchanges: Vec::new(),
                denied: None,
            }))),
        };
        if let Some(credential) = credential {
            stage.put_credential(credential);
        }
        Ok(stage)
    }

    pub fn put_credential(&self, credential: &str) {
        let ssm = &mut self.account.account().ssm;
        ssm.put_secret(PARAMETER, credential.to_owned(), Timestamp::now());
    }

    /// Denies calls from the one named on; `None`: allows all.
    pub fn deny(&self, denied: Option<Denied>) {
        self.account.account().denied = denied;
    }

    pub async fn process(&self) -> Result<Process> {
        let config = exuvia_aws::loader()
            .http_client(self.account.clone())
            .test_credentials()
            .region(Region::from_static(REGION))
            .endpoint_url("http://127.0.0.1:1")
            .load()
            .await;
        let server = self.slack.url();
        let settings: Settings = [
            ("LEDGER_BUCKET", LEDGER),
            ("SLACK_PARAMETER", PARAMETER),
            ("QUEUE_URL", QUEUE),
            (exuvia_core::slack::SERVER, server.as_str()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        let handler = exuvia_slack::Handler::new(&config, &settings)?;
        Ok(Process { handler })
    }

    /// The record of a conversation.
    pub fn record(&self, key: &str) -> Option<Value> {
        let account = self.account.account();
        serde_json::from_slice(account.s3.get(LEDGER, key)?).ok()
    }

    pub fn write_record(&self, key: &str, record: &Value) {
        let s3 = &mut self.account.account().s3;
        s3.put(
            LEDGER,
            key,
            record.to_string().into_bytes(),
            Timestamp::now(),
        );
    }

    /// What was given back since this was last asked.
    pub fn given_back(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.account.account().given_back)
    }

    pub fn calls(&self) -> Vec<CallMade> {
        self.account.account().calls.clone()
    }
}

impl Process {
    /// Gives it messages as the queue does, all of them for the so-manieth time; the places of those that it gives back.
    pub async fn give(&self, messages: &[String], tries: u32) -> Result<Vec<usize>> {
        let event = event(messages, tries);
        let answer = function::invoke(|event| self.handler.handle(event), event).await?;
        let failed = answer["batchItemFailures"].as_array().into_iter().flatten();
        Ok(failed
            .filter_map(|failed| failed["itemIdentifier"].as_str()?.parse().ok())
            .collect())
    }
}

fn event(messages: &[String], tries: u32) -> Value {
    let records = messages.iter().enumerate().map(|(index, body)| {
        json!({
            "messageId": index.to_string(), "receiptHandle": format!("receipt-{index}"), "body": body,
            "attributes": {"ApproximateReceiveCount": tries.to_string()},
            "eventSource": "aws:sqs", "awsRegion": REGION,
        })
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

/// A notice of a deploy that begins, told by a process that has told nothing yet.
pub async fn recording() -> Result<Recording> {
    let stage = Stage::new(Some(&bot())).await?;
    let process = stage.process().await?;
    let input = event(&[notice("started", 1).to_string()], 1);
    let handle = |event| process.handler.handle(event);
    let began = tokio::time::Instant::now();
    let output = function::invoke(handle, input.clone()).await?;
    let took = began.elapsed();
    let exchanges = stage.account.account().exchanges.clone();
    Ok(Recording {
        function: "slack".to_owned(),
        input,
        exchanges,
        output,
        took,
    })
}

/// A notice of a deploy of hello to qa, so many seconds after its start.
pub fn notice(kind: &str, seconds: i64) -> Value {
    let since = Timestamp::from_second(1_795_255_200).unwrap_or_default();
    let at = since + jiff::SignedDuration::from_secs(seconds);
    json!({
        "version": "1.0", "source": "custom", "id": format!("{kind}-{seconds}"),
        "content": {
            "textType": "client-markdown", "title": format!("hello/qa: v2 (release 43) {kind}"),
            "description": format!("It is {kind}."), "nextSteps": [], "keywords": [kind],
        },
        "metadata": {
            "threadId": "hello-qa-000043", "summary": "x", "eventType": format!("exuvia.{kind}"),
            "relatedResources": [EXECUTION],
            "additionalContext": {
                "kind": kind, "about": "deploy", "execution": EXECUTION, "app": "hello", "environment": "qa",
                "release": "43", "version": "v2", "live": "42", "liveVersion": "v1", "by": "ci",
                "at": at.to_string(), "since": since.to_string(), "healthy": "1", "wanted": "2", "traffic": "20",
                "executionLink": "https://console.aws.amazon.com/states/home?region=us-east-1#/v2/executions/details/x",
            },
        },
    })
}

/// A bot's credential that the stand-in takes.
pub fn bot() -> String {
    let (token, channel) = (exuvia_slack_stand_in::TOKEN, exuvia_slack_stand_in::CHANNEL);
    json!({"botToken": token, "channel": channel}).to_string()
}

/// What the function calls in AWS, of all that it does.
pub async fn calls() -> Result<Vec<CallMade>> {
    let stage = Stage::new(Some(&bot())).await?;
    let process = stage.process().await?;
    let mut refused = notice("rejected", 1);
    if let Some(context) = refused["metadata"]["additionalContext"].as_object_mut() {
        context.remove("app");
        context.insert(
            "execution".to_owned(),
            EXECUTION.replace("upload-hello_qa-1", "upload-2").into(),
        );
    }
    let messages = [
        notice("started", 1).to_string(),
        notice("succeeded", 2).to_string(),
        refused.to_string(),
        "no notice".to_owned(),
    ];
    let given_back = process.give(&messages, 1).await?;
    anyhow::ensure!(
        given_back == [3],
        "{given_back:?}: {:?}",
        stage.slack.workspace().refused
    );
    Ok(stage.calls())
}
