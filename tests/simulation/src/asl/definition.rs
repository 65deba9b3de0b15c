//! A definition: what of the language it may hold, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::expression::Place;
use super::template::Template;

/// Why a definition cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error("the definition: {0}")]
    Definition(String),
    #[error("the state `{state}`: {why}")]
    State { state: String, why: String },
    #[error("nothing was given to substitute for `${{{0}}}`")]
    Substitution(String),
}

pub(super) struct Definition {
    pub(super) start_at: String,
    pub(super) timeout: Option<u64>,
    pub(super) states: BTreeMap<String, State>,
}

pub(super) enum State {
    Task(Box<Task>),
    Choice {
        rules: Vec<(Template, String)>,
        default: String,
    },
    Wait {
        until: Until,
        next: String,
    },
    Succeed,
    Fail {
        error: Template,
        cause: Template,
    },
}

/// When a Wait ends.
pub(super) enum Until {
    Seconds(Template),
    Timestamp(Template),
}

pub(super) struct Task {
    pub(super) function: Template,
    pub(super) payload: Template,
    pub(super) output: Option<Template>,
    pub(super) assign: Option<Template>,
    /// Whether the function's answer is not the task's: that comes with its token.
    pub(super) waits_for_token: bool,
    pub(super) timeout: Template,
    pub(super) retry: Vec<Retrier>,
    pub(super) catch: Vec<Catcher>,
    pub(super) next: String,
}

pub(super) struct Retrier {
    pub(super) errors: Vec<String>,
    interval: f64,
    pub(super) max_attempts: u32,
    backoff: f64,
    max_delay: Option<f64>,
    pub(super) jitter: bool,
}

impl Retrier {
    /// How long to wait at most before trying again, after so many retries.
    pub(super) fn delay(&self, retries: u32) -> Duration {
        let delay = self.interval * self.backoff.powf(f64::from(retries));
        Duration::try_from_secs_f64(delay.min(self.max_delay.unwrap_or(f64::INFINITY)))
            .unwrap_or(Duration::MAX)
    }
}

pub(super) struct Catcher {
    pub(super) errors: Vec<String>,
    pub(super) output: Option<Template>,
    pub(super) assign: Option<Template>,
    pub(super) next: String,
}

impl Definition {
    pub(super) fn parse(
        text: &str,
        substitutions: &BTreeMap<String, String>,
    ) -> Result<Definition, ParseError> {
        let text = substitute(text, substitutions)?;
        let raw: RawDefinition = serde_json::from_str(&text)
            .map_err(|error| ParseError::Definition(error.to_string()))?;
        let states = raw.states.into_iter().map(|(name, state)| {
            let state = State::parse(state).map_err(|why| ParseError::State {
                state: name.clone(),
                why,
            })?;
            Ok((name, state))
        });
        let definition = Definition {
            start_at: raw.start_at,
            timeout: raw.timeout_seconds,
            states: states.collect::<Result<_, _>>()?,
        };
        definition.check_transitions()?;
        Ok(definition)
    }

    fn check_transitions(&self) -> Result<(), ParseError> {
        let known = |name: &&String| self.states.contains_key(*name);
        if !known(&&self.start_at) {
            return Err(ParseError::Definition(format!(
                "it starts at `{}`, which it has not",
                self.start_at
            )));
        }
        for (name, state) in &self.states {
            if let Some(missing) = state.next().into_iter().find(|next| !known(next)) {
                let why = format!("it goes on to `{missing}`, which there is not");
                return Err(ParseError::State {
                    state: name.clone(),
                    why,
                });
            }
        }
        Ok(())
    }
}

/// As `CloudFormation` puts them in: into the text, without a look at what is around.
fn substitute(text: &str, substitutions: &BTreeMap<String, String>) -> Result<String, ParseError> {
    let mut parts = text.split("${");
    let mut substituted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}') {
            Some((name, rest))
                if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                let value = substitutions
                    .get(name)
                    .ok_or_else(|| ParseError::Substitution(name.to_owned()))?;
                substituted.extend([value, rest]);
            }
            _ => substituted.extend(["${", part]),
        }
    }
    Ok(substituted)
}

impl State {
    fn parse(mut fields: Map<String, Value>) -> Result<State, String> {
        let kind = fields.remove("Type").ok_or("it has no Type")?;
        match kind.as_str() {
            Some("Task") => Task::parse(read(fields)?).map(|task| State::Task(Box::new(task))),
            Some("Choice") => {
                let raw: RawChoice = read(fields)?;
                let rules = raw
                    .choices
                    .into_iter()
                    .map(|rule| Ok((Template::parse(rule.condition, Place::Before)?, rule.next)));
                Ok(State::Choice {
                    rules: rules.collect::<Result<_, String>>()?,
                    default: raw.default,
                })
            }
            Some("Wait") => {
                let raw: RawWait = read(fields)?;
                let until = match (raw.seconds, raw.timestamp) {
                    (Some(seconds), None) => {
                        Until::Seconds(Template::parse(seconds, Place::Before)?)
                    }
                    (None, Some(timestamp)) => {
                        Until::Timestamp(Template::parse(timestamp, Place::Before)?)
                    }
                    _ => return Err("a Wait has either Seconds or a Timestamp".to_owned()),
                };
                let next = raw.next;
                Ok(State::Wait { until, next })
            }
            Some("Succeed") => read::<RawSucceed>(fields).map(|_| State::Succeed),
            Some("Fail") => {
                let raw: RawFail = read(fields)?;
                Ok(State::Fail {
                    error: Template::parse(raw.error, Place::Before)?,
                    cause: Template::parse(raw.cause, Place::Before)?,
                })
            }
            _ => Err(format!("a state of type {kind} is not understood")),
        }
    }

    fn next(&self) -> Vec<&String> {
        match self {
            State::Task(task) => task
                .catch
                .iter()
                .map(|catcher| &catcher.next)
                .chain([&task.next])
                .collect(),
            State::Choice { rules, default } => rules
                .iter()
                .map(|(_, next)| next)
                .chain([default])
                .collect(),
            State::Wait { next, .. } => vec![next],
            State::Succeed | State::Fail { .. } => Vec::new(),
        }
    }
}

impl Task {
    fn parse(raw: RawTask) -> Result<Task, String> {
        let waits_for_token = match raw.resource.as_str() {
            "arn:aws:states:::lambda:invoke" => false,
            "arn:aws:states:::lambda:invoke.waitForTaskToken" => true,
            other => return Err(format!("the resource `{other}` is not understood")),
        };
        check_errors(
            "Retry",
            &raw.retry
                .iter()
                .map(|retrier| &retrier.error_equals)
                .collect::<Vec<_>>(),
        )?;
        check_errors(
            "Catch",
            &raw.catch
                .iter()
                .map(|catcher| &catcher.error_equals)
                .collect::<Vec<_>>(),
        )?;
        let template =
            |json: Option<Value>, place| json.map(|json| Template::parse(json, place)).transpose();
        let assign = |fields: Option<Map<String, Value>>, place| {
            fields.map(|fields| parse_assign(fields, place)).transpose()
        };
        Ok(Task {
            function: Template::parse(raw.arguments.function_name, Place::Before)?,
            payload: Template::parse(raw.arguments.payload, Place::Before)?,
            output: template(raw.output, Place::Result)?,
            assign: assign(raw.assign, Place::Result)?,
            waits_for_token,
            timeout: Template::parse(raw.timeout_seconds, Place::Before)?,
            retry: raw
                .retry
                .into_iter()
                .map(Retrier::parse)
                .collect::<Result<_, _>>()?,
            catch: raw
                .catch
                .into_iter()
                .map(|raw| {
                    Ok(Catcher {
                        errors: raw.error_equals,
                        output: template(raw.output, Place::Error)?,
                        assign: assign(raw.assign, Place::Error)?,
                        next: raw.next,
                    })
                })
                .collect::<Result<_, String>>()?,
            next: raw.next,
        })
    }
}

fn parse_assign(fields: Map<String, Value>, place: Place) -> Result<Template, String> {
    // At most 80 characters, and `states` is taken.
    // Source: https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html.
    let refused = fields
        .keys()
        .find(|name| *name == "states" || name.is_empty() || name.chars().count() > 80);
    match refused {
        Some(name) => Err(format!("`{name}` cannot be assigned")),
        None => Template::parse_object(fields, place),
    }
}

/// `States.ALL` stands alone and comes last; what followed it would never be looked at.
/// Source: <https://states-language.net/spec.html#retrying-after-error>.
fn check_errors(field: &str, each: &[&Vec<String>]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (index, errors) in each.iter().enumerate() {
        let all = errors.iter().any(|error| error == "States.ALL");
        if errors.is_empty() || all && (errors.len() > 1 || index + 1 < each.len()) {
            return Err(format!(
                "{field}[{index}] names no errors, or States.ALL not alone and last"
            ));
        }
        if let Some(twice) = errors.iter().find(|error| !seen.insert(*error)) {
            return Err(format!("{field}[{index}] names {twice} once more"));
        }
    }
    Ok(())
}

impl Retrier {
    fn parse(raw: RawRetrier) -> Result<Retrier, String> {
        let retrier = Retrier {
            errors: raw.error_equals,
            interval: f64::from(raw.interval_seconds.unwrap_or(1)),
            max_attempts: raw.max_attempts.unwrap_or(3),
            backoff: raw.backoff_rate.unwrap_or(2.0),
            max_delay: raw.max_delay_seconds.map(f64::from),
            jitter: matches!(raw.jitter_strategy, Some(Jitter::Full)),
        };
        // Source: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html.
        let cap_too_small = retrier
            .max_delay
            .is_some_and(|most| most <= retrier.interval);
        if retrier.interval < 1.0 || retrier.backoff < 1.0 || cap_too_small {
            return Err("a retrier waits less than it may".to_owned());
        }
        Ok(retrier)
    }
}

fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, String> {
    T::deserialize(Value::Object(fields)).map_err(|error| error.to_string())
}

/// A field that may be left out; `null` is a value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawDefinition {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    #[serde(rename = "QueryLanguage")]
    _query_language: QueryLanguage,
    start_at: String,
    timeout_seconds: Option<u64>,
    states: BTreeMap<String, Map<String, Value>>,
}

#[derive(Deserialize)]
enum QueryLanguage {
    #[serde(rename = "JSONata")]
    Jsonata,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawTask {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    resource: String,
    arguments: RawArguments,
    #[serde(default, deserialize_with = "present")]
    output: Option<Value>,
    assign: Option<Map<String, Value>>,
    timeout_seconds: Value,
    #[serde(default)]
    retry: Vec<RawRetrier>,
    #[serde(default)]
    catch: Vec<RawCatcher>,
    next: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawArguments {
    function_name: Value,
    payload: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawRetrier {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    error_equals: Vec<String>,
    interval_seconds: Option<u32>,
    max_attempts: Option<u32>,
    backoff_rate: Option<f64>,
    max_delay_seconds: Option<u32>,
    jitter_strategy: Option<Jitter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Jitter {
    None,
    Full,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawCatcher {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    error_equals: Vec<String>,
    #[serde(default, deserialize_with = "present")]
    output: Option<Value>,
    assign: Option<Map<String, Value>>,
    next: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawChoice {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    choices: Vec<RawRule>,
    default: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawRule {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    condition: Value,
    next: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawWait {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    seconds: Option<Value>,
    timestamp: Option<Value>,
    next: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawSucceed {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "PascalCase")]
struct RawFail {
    #[serde(rename = "Comment")]
    _comment: Option<String>,
    error: Value,
    cause: Value,
}
