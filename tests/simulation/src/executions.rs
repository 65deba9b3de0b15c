//! Step Functions and `EventBridge`: executions are started, stopped, redriven and described, and events go to the
//! functions that wait for them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use exuvia_core::error::StepError;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::asl::{self, Ending, Event, Failure, Host, Kind, Position};
use crate::calls::{Call, response};
use crate::connector::{Fate, INVOCATION, Invocation};
use crate::fault::Point;
use crate::functions;
use crate::kit::Kit;
use crate::recording::Recording;
use crate::services::{Request, Response};
use crate::world::{
    ACCOUNT, ARTIFACTS, BUILD_STATE_MACHINE, Deed, Invoked, REGION, STATE_MACHINE, State, Upload,
    World,
};

/// What is known of an execution.
#[derive(Clone, Debug)]
pub struct Execution {
    pub arn: String,
    pub state_machine: &'static str,
    pub name: String,
    pub input: String,
    /// Step Functions' word, such as `RUNNING`.
    pub status: &'static str,
    pub started: Timestamp,
    pub stopped: Option<Timestamp>,
    pub redriven: Option<Timestamp>,
    pub failure: Option<Failure>,
    /// The beginning of the state that it is in, or ended in.
    pub position: Option<Position>,
    /// What a schedule calls it: `d1`, `r1`.
    pub who: String,
    /// The states that it entered.
    pub path: Vec<String>,
    /// Events in its history: 25,000 at the most.
    pub events: u32,
    /// These events, as `GetExecutionHistory` gives them; only of a world that tells.
    pub history: Vec<Value>,
    /// The most that it carried into a state, in bytes of JSON: its input and its variables. Only where it is measured.
    pub most_carried: usize,
    /// Whether somebody approved of it.
    pub approved: bool,
    /// Calls that change something, other than the record of its outcome.
    pub changes: u32,
}

impl Execution {
    pub fn is_running(&self) -> bool {
        self.status == "RUNNING"
    }

    pub fn is_recovery(&self) -> bool {
        self.who.starts_with('r')
    }

    /// Whether it is the recovery of that execution.
    pub fn puts_in_order(&self, execution: &str) -> bool {
        let input = serde_json::from_str::<Value>(&self.input);
        input.is_ok_and(|input| input["recover"] == execution)
    }

    /// Whether somebody asked it to remove the app.
    pub fn is_removal(&self) -> bool {
        let input = serde_json::from_str::<Value>(&self.input);
        input.is_ok_and(|input| input["operation"] == "remove")
    }

    /// Whether it builds, or puts a build in order; else it is a deploy's.
    pub fn is_build(&self) -> bool {
        self.state_machine == BUILD_STATE_MACHINE
    }
}

impl State {
    /// Starts an execution, or says which there is of that name.
    pub fn start(
        &mut self,
        state_machine: &'static str,
        name: &str,
        input: &str,
    ) -> Result<String, String> {
        let machine = state_machine.rsplit(':').next().unwrap_or_default();
        let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:execution:{machine}:{name}");
        let known = self.estate.executions.iter().find(|one| one.arn == arn);
        if let Some(known) = known {
            // The same name and input while it runs is the same execution:
            // https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
            return if known.is_running() && known.input == input {
                Ok(arn)
            } else {
                Err(arn)
            };
        }
        let is_recovery =
            serde_json::from_str::<Value>(input).is_ok_and(|input| input.get("recover").is_some());
        let letters = match (is_recovery, state_machine == BUILD_STATE_MACHINE) {
            (false, false) => "d",
            (true, false) => "r",
            (false, true) => "b",
            (true, true) => "rb",
        };
        let count = self.counts.entry(letters).or_default();
        *count += 1;
        let who = format!("{letters}{count}");
        self.estate.executions.push(Execution {
            arn: arn.clone(),
            state_machine,
            name: name.to_owned(),
            input: input.to_owned(),
            status: "RUNNING",
            started: self.estate.now,
            stopped: None,
            redriven: None,
            failure: None,
            position: None,
            who,
            path: Vec::new(),
            events: 1,
            history: Vec::new(),
            most_carried: 0,
            approved: false,
            changes: 0,
        });
        self.deeds.push(Deed::Run(self.estate.executions.len() - 1));
        Ok(arn)
    }

    /// Stops an execution, as the console does; a function that it has invoked goes on.
    pub fn stop(&mut self, index: usize) {
        if let Some(task) = self.running.remove(&index) {
            task.abort();
            let now = self.estate.now;
            let execution = &mut self.estate.executions[index];
            execution.status = "ABORTED";
            execution.stopped = Some(now);
            execution.events += 1;
            self.note(
                index,
                "ExecutionAborted",
                "executionAbortedEventDetails",
                json!({}),
            );
            self.deeds.push(Deed::DeliverStatus(index));
        }
    }

    /// Runs an execution again from the state in which it ended badly.
    pub fn redrive(&mut self, index: usize) {
        let execution = &mut self.estate.executions[index];
        // https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html
        if ["RUNNING", "SUCCEEDED"].contains(&execution.status) || execution.position.is_none() {
            return;
        }
        execution.status = "RUNNING";
        execution.redriven = Some(self.estate.now);
        execution.stopped = None;
        execution.failure = None;
        execution.events += 1;
        self.deeds.push(Deed::Run(index));
    }

    /// Adds an event to an execution's history:
    /// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html>.
    fn note(&mut self, index: usize, kind: &str, about: &str, details: Value) {
        if !self.tells() {
            return;
        }
        let at = self.estate.now.as_duration().as_secs_f64();
        let history = &mut self.estate.executions[index].history;
        let mut event = json!({ "id": history.len() + 1, "type": kind, "timestamp": at });
        event[about] = details;
        history.push(event);
    }

    pub fn find(&self, who: &str) -> Option<usize> {
        let executions = &self.estate.executions;
        // The latest of that name: what an estate began with bears names of its own.
        executions
            .iter()
            .rposition(|execution| execution.who == who)
    }

    pub(crate) fn answer_for_states(&mut self, call: &Call, request: &Request) -> Response {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let kind = "application/x-amz-json-1.0";
        let refuse = |code: &str, message: String| {
            let body = json!({ "__type": code, "message": message }).to_string();
            response(400, kind, body)
        };
        match call.operation.as_str() {
            "StartExecution" => {
                let name = text("name");
                let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if name.is_empty() || name.len() > 80 || !name.chars().all(allowed) {
                    return refuse("InvalidName", format!("Invalid Name: '{name}'"));
                }
                let known = [STATE_MACHINE, BUILD_STATE_MACHINE];
                let asked = text("stateMachineArn");
                let Some(machine) = known.into_iter().find(|known| *known == asked) else {
                    return refuse(
                        "StateMachineDoesNotExist",
                        format!("State Machine Does Not Exist: '{asked}'"),
                    );
                };
                match self.start(machine, name, text("input")) {
                    Ok(arn) => {
                        let started = self.estate.now.as_second();
                        let body = json!({ "executionArn": arn, "startDate": started });
                        response(200, kind, body.to_string())
                    }
                    Err(arn) => refuse(
                        "ExecutionAlreadyExists",
                        format!("Execution Already Exists: '{arn}'"),
                    ),
                }
            }
            "DescribeExecution" => {
                let arn = text("executionArn");
                // https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeExecution.html: what it
                // tells is eventually consistent.
                let is_old =
                    |at: Timestamp| at + self.estate.cloud.describe_lag() <= self.estate.now;
                let mut executions = self.estate.executions.iter();
                let known = executions.find(|one| one.arn == arn && is_old(one.started));
                let Some(execution) = known else {
                    return refuse(
                        "ExecutionDoesNotExist",
                        format!("Execution Does Not Exist: '{arn}'"),
                    );
                };
                let seconds = |at: Timestamp| at.as_duration().as_secs_f64();
                let has_ended = execution.stopped.is_some_and(is_old);
                let mut body = json!({
                    "executionArn": arn,
                    "stateMachineArn": execution.state_machine,
                    "name": execution.name,
                    "status": if has_ended { execution.status } else { "RUNNING" },
                    "startDate": seconds(execution.started),
                    "input": execution.input,
                });
                if let Some(redriven) = execution.redriven {
                    body["redriveDate"] = seconds(redriven).into();
                }
                if let Some(stopped) = execution.stopped.filter(|_| has_ended) {
                    body["stopDate"] = seconds(stopped).into();
                }
                if let Some(failure) = execution.failure.as_ref().filter(|_| has_ended) {
                    body["error"] = failure.error.as_str().into();
                    body["cause"] = failure.cause.as_str().into();
                }
                response(200, kind, body.to_string())
            }
            "GetExecutionHistory" => {
                let arn = text("executionArn");
                let mut executions = self.estate.executions.iter();
                match executions.find(|one| one.arn == arn) {
                    Some(execution) => {
                        let body = json!({ "events": execution.history });
                        response(200, kind, body.to_string())
                    }
                    None => refuse(
                        "ExecutionDoesNotExist",
                        format!("Execution Does Not Exist: '{arn}'"),
                    ),
                }
            }
            send @ ("SendTaskSuccess" | "SendTaskFailure") => self.send_task(send, &body),
            other => response(501, kind, format!("states:{other} is not simulated")),
        }
    }
}

/// Runs an execution to its end.
pub async fn run(kit: Rc<Kit>, world: Arc<World>, index: usize) {
    let (who, machine, position) = {
        let state = world.state();
        let execution = &state.estate.executions[index];
        let machine = if execution.is_build() {
            &kit.machines.build
        } else {
            &kit.machines.deploy
        };
        let begin = || {
            let input = serde_json::from_str(&execution.input).unwrap_or_default();
            let context = asl::Execution {
                id: execution.arn.clone(),
                name: execution.name.clone(),
                start_time: execution.started,
                role_arn: format!("arn:aws:iam::{ACCOUNT}:role/exuvia"),
                state_machine_id: execution.state_machine.to_owned(),
            };
            machine.start(context, input)
        };
        (
            execution.who.clone(),
            machine,
            execution.position.clone().unwrap_or_else(begin),
        )
    };
    let host = Steps {
        kit: Rc::clone(&kit),
        world: Arc::clone(&world),
        index,
        who,
    };
    let ending = machine.run(position, &host).await;
    let mut state = world.state();
    state.running.remove(&index);
    let now = state.estate.now;
    let execution = &mut state.estate.executions[index];
    execution.stopped = Some(now);
    match ending {
        Ending::Succeeded { .. } => execution.status = "SUCCEEDED",
        Ending::Failed(failure) => {
            execution.status = "FAILED";
            execution.failure = Some(failure);
        }
        Ending::TimedOut => execution.status = "TIMED_OUT",
    }
    let told = format!("{} ends: {}", execution.who, execution.status);
    state.deeds.push(Deed::DeliverStatus(index));
    let elapsed = world.elapsed();
    state.tell(elapsed, || told);
    drop(state);
    world.changed.notify_one();
}

struct Steps {
    kit: Rc<Kit>,
    world: Arc<World>,
    index: usize,
    who: String,
}

impl Host for Steps {
    fn now(&self) -> Timestamp {
        self.world.now()
    }

    async fn sleep(&self, how_long: Duration) {
        tokio::time::sleep(how_long).await;
    }

    fn transition(&self) -> Duration {
        let state = self.world.state();
        let measure = state.estate.measure.as_ref();
        measure.map_or(Duration::ZERO, |measure| measure.pace.transition)
    }

    fn jitter(&self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(0);
        Duration::from_millis(self.world.state().random.u64(0..=most))
    }

    async fn invoke(&self, state: &str, function: &str, payload: Value) -> Result<Value, Failure> {
        let arn = self.world.state().estate.executions[self.index].arn.clone();
        let (kit, world) = (Rc::clone(&self.kit), Arc::clone(&self.world));
        // A task of its own: whatever becomes of the execution, the function goes on.
        let (answer, answered) = oneshot::channel();
        let (who, state, function) = (self.who.clone(), state.to_owned(), function.to_owned());
        tokio::task::spawn_local(async move {
            let result = invoke(&kit, &world, &who, &state, &function, Some(arn), payload).await;
            let _ = answer.send(result);
        });
        answered.await.unwrap_or_else(|_| {
            Err(Failure {
                error: "Lambda.Unknown".to_owned(),
                cause: String::new(),
            })
        })
    }

    fn token(&self) -> String {
        self.world.state().tasks.issue(self.index)
    }

    async fn answer(&self, token: &str) -> Result<Value, Failure> {
        let answered = self.world.state().tasks.wait(token);
        match answered {
            Some(answered) => answered.await.unwrap_or_else(|_| {
                Err(Failure {
                    error: "States.Runtime".to_owned(),
                    cause: String::new(),
                })
            }),
            None => std::future::pending().await,
        }
    }

    fn record(&self, event: Event<'_>) {
        let elapsed = self.world.elapsed();
        let mut state = self.world.state();
        let execution = &mut state.estate.executions[self.index];
        execution.events += 1;
        if state.tells()
            && let Some((kind, about, details)) = noted(&event)
        {
            state.note(self.index, &kind, about, details);
        }
        let is_measured = state.estate.measure.is_some();
        let execution = &mut state.estate.executions[self.index];
        match event {
            Event::StateEntered { position, kind } => {
                if is_measured {
                    let carries = carried(position);
                    execution.most_carried = execution.most_carried.max(carries);
                }
                execution.position = Some(position.clone());
                execution.path.push(position.state.clone());
                let visit = state.visit(&self.who, &position.state, true);
                state.tell(elapsed, || {
                    format!("{} enters {}", self.who, position.state)
                });
                // A Choice takes no time: what happens on entering it happens on entering what follows.
                if kind != Kind::Choice {
                    state.seen.entries.push(visit.clone());
                }
                state.fire(&Point::Entry(visit), elapsed);
                drop(state);
                self.world.changed.notify_one();
            }
            Event::TaskFailed { failure } | Event::TaskTimedOut { failure } => {
                state.tell(elapsed, || {
                    format!("{}: {}: {}", self.who, failure.error, failure.cause)
                });
            }
            Event::EvaluationFailed {
                failure, location, ..
            } => {
                let what = format!("{location}: {}: {}", failure.error, failure.cause);
                state.violated("I5", what);
            }
            _ => {}
        }
    }
}

/// What an execution carries into a state, in bytes.
fn carried(position: &Position) -> usize {
    let size = |value: &Value| value.to_string().len();
    let variables = position.variables.iter();
    let variables = variables.map(|(name, value)| name.len() + size(value));
    size(&position.input) + variables.sum::<usize>()
}

/// What an execution's history says of an event: its type, the name of its details, and these.
fn noted(event: &Event<'_>) -> Option<(String, &'static str, Value)> {
    let failed = |failure: &Failure| json!({ "error": failure.error, "cause": failure.cause });
    let plain = |kind: &str, about, details| Some((kind.to_owned(), about, details));
    match event {
        Event::StateEntered { position, kind } => Some((
            format!("{kind:?}StateEntered"),
            "stateEnteredEventDetails",
            json!({ "name": position.state }),
        )),
        Event::StateExited {
            name, kind, output, ..
        } => Some((
            format!("{kind:?}StateExited"),
            "stateExitedEventDetails",
            json!({ "name": name, "output": output.to_string() }),
        )),
        Event::TaskSucceeded { .. } => {
            let details = json!({ "resourceType": "lambda", "resource": "invoke" });
            plain("TaskSucceeded", "taskSucceededEventDetails", details)
        }
        Event::TaskFailed { failure } => {
            let mut details = failed(failure);
            details["resourceType"] = "lambda".into();
            details["resource"] = "invoke".into();
            plain("TaskFailed", "taskFailedEventDetails", details)
        }
        Event::TaskTimedOut { failure } => {
            let mut details = failed(failure);
            details["resourceType"] = "lambda".into();
            details["resource"] = "invoke".into();
            plain("TaskTimedOut", "taskTimedOutEventDetails", details)
        }
        Event::ExecutionSucceeded { .. } => plain(
            "ExecutionSucceeded",
            "executionSucceededEventDetails",
            json!({}),
        ),
        Event::ExecutionFailed { failure } => plain(
            "ExecutionFailed",
            "executionFailedEventDetails",
            failed(failure),
        ),
        Event::ExecutionTimedOut => plain(
            "ExecutionTimedOut",
            "executionTimedOutEventDetails",
            json!({}),
        ),
        Event::TaskScheduled { .. }
        | Event::TaskStarted
        | Event::TaskSubmitted { .. }
        | Event::EvaluationFailed { .. } => None,
    }
}

/// Has what an estate tells of its executions reported: first their notices, then their ends.
pub async fn report(kit: Rc<Kit>, world: Arc<World>) {
    let (notices, ends) = {
        let state = world.state();
        let published = state.estate.services.sns.published.iter();
        let notices: Vec<Value> = published
            .map(|one| {
                let message = json!({ "Message": one.message, "Timestamp": one.at });
                json!({ "Records": [{ "EventSource": "aws:sns", "Sns": message }] })
            })
            .collect();
        let ended = state.estate.executions.iter();
        let ended = ended.filter(|one| one.stopped.is_some() && !one.is_build());
        let ends: Vec<Value> = ended
            .map(|one| {
                let detail = json!({ "executionArn": one.arn, "status": one.status });
                let at = one.stopped.unwrap_or(state.estate.now);
                let kind = "Step Functions Execution Status Change";
                envelope("aws.states", kind, at, &detail)
            })
            .collect();
        (notices, ends)
    };
    for event in notices.into_iter().chain(ends) {
        hand_over(&kit, &world, "report", event).await;
    }
}

/// One invocation of a function, as Lambda does it.
async fn invoke(
    kit: &Kit,
    world: &Arc<World>,
    who: &str,
    state: &str,
    function: &str,
    execution: Option<String>,
    payload: Value,
) -> Result<Value, Failure> {
    let (visit, start, recorded) = {
        let mut state_of_world = world.state();
        state_of_world.under_way += 1;
        let recorded = state_of_world.tells().then(|| payload.clone());
        let steady = state_of_world.estate.measure.as_ref();
        let start = match steady.map(|measure| measure.pace.start) {
            Some(start) => start,
            None => Duration::from_millis(state_of_world.random.u64(8..40)),
        };
        (state_of_world.visit(who, state, false), start, recorded)
    };
    tokio::time::sleep(start).await;
    let began = tokio::time::Instant::now();
    let limit = began + functions::timeout(function);
    let invocation = Arc::new(Invocation::new(
        Arc::clone(world),
        visit.clone(),
        function,
        execution,
    ));
    let work = INVOCATION.scope(
        Arc::clone(&invocation),
        kit.functions().invoke(function, payload),
    );
    let timed_out = || Failure {
        error: "Sandbox.Timedout".to_owned(),
        cause: cause("Sandbox.Timedout", "Task timed out"),
    };
    let result = tokio::select! {
        biased;
        fate = invocation.fate() => match fate {
            Fate::Killed => Err(Failure {
                error: "Runtime.ExitError".to_owned(),
                cause: cause("Runtime.ExitError", "Error: Runtime exited with error: signal: killed"),
            }),
            Fate::Hung => {
                tokio::time::sleep_until(limit).await;
                Err(timed_out())
            }
        },
        result = work => result.map_err(|error: StepError| Failure {
            error: error.name().to_owned(),
            cause: cause(error.name(), &error.to_string()),
        }),
        () = tokio::time::sleep_until(limit) => Err(timed_out()),
    };
    let took = began.elapsed();
    let mut state_of_world = world.state();
    state_of_world.under_way -= 1;
    state_of_world.seen.invocations.push(Invoked {
        visit,
        function: function.to_owned(),
        took,
        ended: world.elapsed(),
    });
    if let (Some(input), Ok(output)) = (recorded, &result) {
        state_of_world.seen.recordings.push(Recording {
            function: function.to_owned(),
            input,
            exchanges: invocation.exchanges(),
            output: output.clone(),
            took,
        });
    }
    drop(state_of_world);
    result
}

/// What Step Functions gives as the cause of a function's error: the function's answer.
fn cause(error: &str, message: &str) -> String {
    json!({ "errorType": error, "errorMessage": message }).to_string()
}

/// Hands an event to a function, as an asynchronous invocation: two more tries, after one and after two minutes.
/// <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>
async fn hand_over(kit: &Kit, world: &Arc<World>, function: &str, event: Value) {
    for pause in [60, 120, 0] {
        let result = invoke(
            kit,
            world,
            function,
            function,
            function,
            None,
            event.clone(),
        )
        .await;
        let Err(failure) = result else { return };
        world.tell(|| format!("{function}: {}: {}", failure.error, failure.cause));
        if pause == 0 {
            let mut state = world.state();
            state
                .seen
                .dead_letters
                .push(format!("{function}: {}", failure.cause));
        } else {
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }
}

/// From what has happened until the function is invoked that waits for the event.
fn event_takes(state: &mut State) -> Duration {
    match &state.estate.measure {
        Some(measure) => measure.pace.event,
        None => Duration::from_millis(state.random.u64(200..1500)),
    }
}

/// Delivers the event of an upload to the trigger.
pub async fn deliver_upload(kit: Rc<Kit>, world: Arc<World>, upload: Upload) {
    let (delay, now) = {
        let mut state = world.state();
        state.under_way += 1;
        let usual = event_takes(&mut state);
        (state.delay_event.take().unwrap_or(usual), state.estate.now)
    };
    tokio::time::sleep(delay).await;
    let event = envelope(
        "aws.s3",
        "Object Created",
        now,
        &json!({
            "version": "0",
            "bucket": { "name": ARTIFACTS },
            "object": {
                "key": upload.key,
                "size": upload.size,
                "etag": "0",
                "version-id": upload.version_id,
                "sequencer": upload.version_id,
            },
            "reason": "PutObject",
        }),
    );
    hand_over(&kit, &world, "trigger", event).await;
    world.state().under_way -= 1;
    world.changed.notify_one();
}

/// Delivers the event that an execution has ended badly to the function that recovers.
pub async fn deliver_status(kit: Rc<Kit>, world: Arc<World>, index: usize) {
    let (delay, event) = {
        let mut state = world.state();
        let execution = &state.estate.executions[index];
        let (arn, status, stopped) = (execution.arn.clone(), execution.status, execution.stopped);
        let state_machine = execution.state_machine;
        if !["FAILED", "TIMED_OUT", "ABORTED"].contains(&status) {
            return;
        }
        if std::mem::take(&mut state.lose_status_event) {
            return;
        }
        state.under_way += 1;
        let delay = event_takes(&mut state);
        let stopped = stopped.map(Timestamp::as_millisecond);
        let now = state.estate.now;
        let detail = json!({
            "executionArn": arn,
            "stateMachineArn": state_machine,
            "status": status,
            "stopDate": stopped,
        });
        let kind = "Step Functions Execution Status Change";
        (delay, envelope("aws.states", kind, now, &detail))
    };
    tokio::time::sleep(delay).await;
    hand_over(&kit, &world, "recover", event).await;
    world.state().under_way -= 1;
    world.changed.notify_one();
}

fn envelope(source: &str, kind: &str, at: Timestamp, detail: &Value) -> Value {
    json!({
        "version": "0",
        "id": "00000000-0000-0000-0000-000000000000",
        "detail-type": kind,
        "source": source,
        "account": ACCOUNT,
        "time": format!("{at:.0}"),
        "region": REGION,
        "resources": [],
        "detail": detail,
    })
}
