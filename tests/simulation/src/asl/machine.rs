//! Goes from state to state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::definition::{Definition, State, Task, Until};
use super::expression::Scope;
use super::template::{Evaluation, Template};
use super::{Ending, Event, Execution, Failure, Host, Kind, ParseError, Position, Variables};
use super::{error, limit};

/// A state machine, parsed once and run any number of times.
pub struct Machine(Definition);

impl Machine {
    /// `substitutions` are what `DefinitionSubstitutions` puts in for each `${Name}`.
    ///
    /// Whatever is not understood here is an error, though it may be part of the language.
    pub fn parse(
        definition: &str,
        substitutions: &BTreeMap<String, String>,
    ) -> Result<Machine, ParseError> {
        Definition::parse(definition, substitutions).map(Machine)
    }

    /// In the order of their letters.
    pub fn state_names(&self) -> impl Iterator<Item = &str> {
        self.0.states.keys().map(String::as_str)
    }

    /// How long an execution may take.
    pub fn timeout_seconds(&self) -> Option<u64> {
        self.0.timeout
    }

    /// Before the first state.
    pub fn start(&self, execution: Execution, input: Value) -> Position {
        let input = Arc::new(input);
        Position {
            state: self.0.start_at.clone(),
            input: Arc::clone(&input),
            variables: Arc::default(),
            execution: Arc::new(execution),
            execution_input: input,
        }
    }

    /// Runs to the end. Dropping the future is `StopExecution`; running a position that a host kept is a redrive, for
    /// which the machine's time and the tasks' attempts are counted anew.
    /// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html>.
    pub async fn run(&self, position: Position, host: &impl Host) -> Ending {
        let states = self.run_states(position, host);
        let ending = match self.0.timeout {
            Some(seconds) => limit::within(host.sleep(Duration::from_secs(seconds)), states).await,
            None => Some(states.await),
        };
        let ending = match ending {
            Some(Ok(output)) => Ending::Succeeded { output },
            Some(Err(failure)) => Ending::Failed(failure),
            None => Ending::TimedOut,
        };
        host.record(match &ending {
            Ending::Succeeded { output } => Event::ExecutionSucceeded { output },
            Ending::Failed(failure) => Event::ExecutionFailed { failure },
            Ending::TimedOut => Event::ExecutionTimedOut,
        });
        ending
    }

    async fn run_states(&self, mut position: Position, host: &impl Host) -> Result<Value, Failure> {
        let mut context = json!({
            "Execution": {
                "Id": position.execution.id,
                "Input": *position.execution_input,
                "Name": position.execution.name,
                "RoleArn": position.execution.role_arn,
                "StartTime": text(position.execution.start_time),
            },
            "StateMachine": {
                "Id": position.execution.state_machine_id,
                "Name": position.execution.state_machine_id.rsplit(':').next(),
            },
        });
        loop {
            let transition = host.transition();
            if !transition.is_zero() {
                host.sleep(transition).await;
            }
            let Some(state) = self.0.states.get(&position.state) else {
                // Nothing but a position of another machine gets here.
                return Err(Failure::new(
                    "States.Runtime",
                    format!("there is no state `{}`", position.state),
                ));
            };
            context["State"] =
                json!({"EnteredTime": text(host.now()), "Name": position.state, "RetryCount": 0});
            let (name, kind) = (position.state.clone(), state.kind());
            host.record(Event::StateEntered {
                position: &position,
                kind,
            });
            let mut visit = Visit {
                position: &position,
                context: &mut context,
                host,
            };
            let Exit {
                next,
                output,
                assigned,
            } = match state {
                State::Task(task) => visit.task(task).await?,
                State::Choice { rules, default } => Exit::to(visit.choose(rules, default)?),
                State::Wait { until, next } => {
                    host.sleep(visit.pause(until)?).await;
                    Exit::to(next)
                }
                State::Succeed => Exit::default(),
                State::Fail { error, cause } => return Err(visit.fail(error, cause)?),
            };
            if let Some(output) = output {
                position.input = Arc::new(output);
            }
            host.record(Event::StateExited {
                name: &name,
                kind,
                output: &position.input,
                assigned: &assigned,
            });
            if !assigned.is_empty() {
                Arc::make_mut(&mut position.variables).extend(assigned);
            }
            match next {
                Some(next) => position.state = next.to_owned(),
                None => return Ok(Arc::unwrap_or_clone(position.input)),
            }
        }
    }
}

impl State {
    fn kind(&self) -> Kind {
        match self {
            State::Task(_) => Kind::Task,
            State::Choice { .. } => Kind::Choice,
            State::Wait { .. } => Kind::Wait,
            State::Succeed => Kind::Succeed,
            State::Fail { .. } => Kind::Fail,
        }
    }
}

/// How a state is left.
#[derive(Default)]
struct Exit<'a> {
    /// `None` after the last one.
    next: Option<&'a str>,
    /// `None` if it is the state's input.
    output: Option<Value>,
    assigned: Variables,
}

impl<'a> Exit<'a> {
    fn to(next: &'a str) -> Exit<'a> {
        Exit {
            next: Some(next),
            ..Exit::default()
        }
    }
}

/// A state while the execution is in it.
struct Visit<'a, H> {
    position: &'a Position,
    context: &'a mut Value,
    host: &'a H,
}

/// What a state came to, or why it did not.
type Attempt<T> = Result<T, Failure>;

impl<H: Host> Visit<'_, H> {
    fn scope(&self) -> Scope<'_> {
        Scope {
            variables: &self.position.variables,
            input: &self.position.input,
            result: None,
            error_output: None,
            context: self.context,
        }
    }

    /// Writes an evaluation that failed into the history.
    fn evaluated<T>(&self, result: Result<T, Evaluation>) -> Attempt<T> {
        result.map_err(|error| {
            let failure = Failure::evaluation(&error);
            let (state, location) = (self.position.state.as_str(), error.location.as_str());
            self.host.record(Event::EvaluationFailed {
                state,
                failure: &failure,
                location,
            });
            failure
        })
    }

    fn evaluate(&self, template: &Template, field: &str, scope: &Scope) -> Attempt<Value> {
        self.evaluated(template.evaluate(field, scope))
    }

    fn string(&self, template: &Template, field: &str) -> Attempt<String> {
        let string = |value: &Value| value.as_str().map(str::to_owned);
        self.evaluated(template.evaluate_as(field, &self.scope(), "a string", string))
    }

    fn choose<'t>(&self, rules: &'t [(Template, String)], default: &'t str) -> Attempt<&'t str> {
        for (index, (condition, next)) in rules.iter().enumerate() {
            let field = format!("Choices[{index}]/Condition");
            let met = condition.evaluate_as(&field, &self.scope(), "a boolean", Value::as_bool);
            if self.evaluated(met)? {
                return Ok(next);
            }
        }
        Ok(default)
    }

    /// Source: <https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html>. A timestamp that has passed is not
    /// waited for.
    fn pause(&self, until: &Until) -> Attempt<Duration> {
        match until {
            Until::Seconds(seconds) => {
                let seconds = self.whole_seconds(seconds, "Seconds")?;
                Ok(Duration::from_secs(seconds))
            }
            Until::Timestamp(timestamp) => {
                let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
                let what = "an ISO 8601 timestamp";
                let until = timestamp.evaluate_as("Timestamp", &self.scope(), what, time);
                let left = self.evaluated(until)?.duration_since(self.host.now());
                Ok(Duration::try_from(left).unwrap_or_default())
            }
        }
    }

    fn whole_seconds(&self, seconds: &Template, field: &str) -> Attempt<u64> {
        // Source: https://docs.aws.amazon.com/step-functions/latest/dg/state-wait.html, and state-task.html.
        let whole = |value: &Value| value.as_u64().filter(|seconds| *seconds <= 99_999_999);
        self.evaluated(seconds.evaluate_as(
            field,
            &self.scope(),
            "whole seconds from 0 to 99999999",
            whole,
        ))
    }

    fn fail(&self, error: &Template, cause: &Template) -> Attempt<Failure> {
        Ok(Failure {
            error: self.string(error, "Error")?,
            cause: self.string(cause, "Cause")?,
        })
    }

    async fn task<'t>(&mut self, task: &'t Task) -> Result<Exit<'t>, Failure> {
        let mut counts = vec![0; task.retry.len()];
        loop {
            self.context["State"]["RetryCount"] = counts.iter().sum::<u32>().into();
            let failure = match self.attempt(task).await {
                Ok(exit) => return Ok(exit),
                Err(failure) => failure,
            };
            // The first that takes the error decides; when it has no more attempts, the error is for the catchers.
            let retrier = task
                .retry
                .iter()
                .zip(&mut counts)
                .find(|(retrier, _)| error::takes(&retrier.errors, &failure.error));
            match retrier {
                Some((retrier, count)) if *count < retrier.max_attempts => {
                    let delay = retrier.delay(*count);
                    *count += 1;
                    let delay = if retrier.jitter {
                        self.host.jitter(delay)
                    } else {
                        delay
                    };
                    self.host.sleep(delay).await;
                }
                _ => return self.catch(task, failure),
            }
        }
    }

    async fn attempt<'t>(&mut self, task: &'t Task) -> Attempt<Exit<'t>> {
        let state = self.position.state.clone();
        // Each attempt has a token of its own, and other states have none.
        let token = task.waits_for_token.then(|| self.host.token());
        match &token {
            Some(token) => self.context["Task"] = json!({"Token": token}),
            None => drop(
                self.context
                    .as_object_mut()
                    .and_then(|all| all.remove("Task")),
            ),
        }
        let timeout = self.whole_seconds(&task.timeout, "TimeoutSeconds")?;
        let function = self.string(&task.function, "Arguments/FunctionName")?;
        let payload = self.evaluate(&task.payload, "Arguments/Payload", &self.scope())?;
        if limit::is_too_much(&payload) {
            return Err(Failure::too_much(&state, "arguments"));
        }
        self.host.record(Event::TaskScheduled {
            function: &function,
            payload: &payload,
        });
        self.host.record(Event::TaskStarted);
        let invocation = self.host.invoke(&state, &function, payload);
        let work = async {
            let Some(token) = &token else {
                return invocation.await;
            };
            let submitted = |answer| {
                let output = invoked(&answer);
                self.host.record(Event::TaskSubmitted { output: &output });
            };
            limit::answered(self.host.answer(token), invocation, submitted).await
        };
        let sleep = self.host.sleep(Duration::from_secs(timeout));
        let result = match limit::within(sleep, work).await {
            Some(Ok(answer)) if limit::is_too_much(&answer) => {
                Err(Failure::too_much(&state, "a result"))
            }
            Some(result) => result,
            None => {
                // It has no cause, and is caught with an empty one.
                let failure = Failure::new(error::TIMEOUT, "");
                self.host.record(Event::TaskTimedOut { failure: &failure });
                return Err(failure);
            }
        };
        let result = match result {
            Ok(answer) if token.is_some() => answer,
            Ok(answer) => invoked(&answer),
            Err(failure) => {
                self.host.record(Event::TaskFailed { failure: &failure });
                return Err(failure);
            }
        };
        self.host.record(Event::TaskSucceeded { output: &result });
        let scope = Scope {
            result: Some(&result),
            ..self.scope()
        };
        let (output, assigned) =
            self.leave("", task.output.as_ref(), task.assign.as_ref(), &scope)?;
        Ok(Exit {
            next: Some(&task.next),
            output: Some(output.unwrap_or(result)),
            assigned,
        })
    }

    fn catch<'t>(&self, task: &'t Task, failure: Failure) -> Result<Exit<'t>, Failure> {
        let catchers = task.catch.iter().enumerate();
        let Some((index, catcher)) = catchers
            .into_iter()
            .find(|(_, catcher)| error::takes(&catcher.errors, &failure.error))
        else {
            return Err(failure);
        };
        let error_output = json!({"Error": failure.error, "Cause": failure.cause});
        let scope = Scope {
            error_output: Some(&error_output),
            ..self.scope()
        };
        let within = format!("Catch[{index}]/");
        let (output, assigned) = self.leave(
            &within,
            catcher.output.as_ref(),
            catcher.assign.as_ref(),
            &scope,
        )?;
        Ok(Exit {
            next: Some(&catcher.next),
            output: Some(output.unwrap_or(error_output)),
            assigned,
        })
    }

    /// What is given on, if it is said, and assigned. Both see the variables as they were before.
    fn leave(
        &self,
        within: &str,
        output: Option<&Template>,
        assign: Option<&Template>,
        scope: &Scope,
    ) -> Attempt<(Option<Value>, Variables)> {
        let state = self.position.state.as_str();
        let output = output
            .map(|output| self.evaluate(output, &format!("{within}Output"), scope))
            .transpose()?;
        if output.as_ref().is_some_and(limit::is_too_much) {
            return Err(Failure::too_much(state, "an output"));
        }
        let assigned =
            assign.map(|assign| self.evaluate(assign, &format!("{within}Assign"), scope));
        let Some(Value::Object(assigned)) = assigned.transpose()? else {
            return Ok((output, Variables::new()));
        };
        if limit::is_too_much(&assigned) {
            return Err(Failure::too_much(state, "variables"));
        }
        Ok((
            output,
            assigned
                .into_iter()
                .map(|(name, value)| (name, Arc::new(value)))
                .collect(),
        ))
    }
}

/// The result of a task whose function answered.
fn invoked(answer: &Value) -> Value {
    json!({"ExecutedVersion": "$LATEST", "Payload": answer, "StatusCode": 200})
}

/// As `$states.context` tells times.
fn text(time: Timestamp) -> Value {
    Value::String(format!("{time:.3}"))
}
