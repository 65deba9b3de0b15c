//! Where the SDK's clients meet the world: every HTTP request of every function passes here, and this is where a
//! function is killed, a call fails and an answer is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use tokio::sync::Notify;

use crate::calls::{Call, error_answer};
use crate::fault::{Action, Point, Visit};
use crate::privileges::Privilege;
use crate::recording::Exchange;
use crate::services::{Request, Response};
use crate::world::World;

tokio::task_local! {
    /// The invocation that the task at hand belongs to.
    pub static INVOCATION: Arc<Invocation>;
}

/// One invocation of a function.
pub struct Invocation {
    pub world: Arc<World>,
    pub visit: Visit,
    pub function: String,
    /// The ARN of the execution that it is a step of.
    pub execution: Option<String>,
    /// Healthy targets by target group as it begins, for a step that moves the traffic.
    at_begin: BTreeMap<String, usize>,
    calls: AtomicU32,
    /// Its calls; only in a world that tells.
    exchanges: std::sync::Mutex<Vec<Exchange>>,
    fate: std::sync::Mutex<Option<Fate>>,
    doomed: Notify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The process is gone.
    Killed,
    /// The process hangs.
    Hung,
}

impl Invocation {
    pub fn new(world: Arc<World>, visit: Visit, function: &str, execution: Option<String>) -> Self {
        let at_begin = if visit.state == "Shift Traffic" {
            crate::audit::healthy_by_group(&world.state().estate)
        } else {
            BTreeMap::new()
        };
        Self {
            at_begin,
            world,
            visit,
            function: function.to_owned(),
            execution,
            calls: AtomicU32::new(0),
            exchanges: std::sync::Mutex::default(),
            fate: std::sync::Mutex::new(None),
            doomed: Notify::new(),
        }
    }

    /// Ends when the process is killed, or hangs for good.
    pub async fn fate(&self) -> Fate {
        loop {
            let doomed = self.doomed.notified();
            if let Ok(fate) = self.fate.lock()
                && let Some(fate) = *fate
            {
                return fate;
            }
            doomed.await;
        }
    }

    fn record(&self, request: &Request, answer: &Response) {
        if let Ok(mut exchanges) = self.exchanges.lock() {
            exchanges.push(Exchange::of(request, answer));
        }
    }

    /// What it asked and was answered until now.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges
            .lock()
            .map(|exchanges| exchanges.clone())
            .unwrap_or_default()
    }

    async fn meet<T>(&self, with: Fate) -> T {
        if let Ok(mut fate) = self.fate.lock() {
            *fate = Some(with);
        }
        self.doomed.notify_one();
        std::future::pending().await
    }

    async fn call(&self, request: Request) -> Result<Response, ConnectorError> {
        let recorded = self.world.state().tells().then(|| request.clone());
        let answer = self.exchange(request).await?;
        if let Some(request) = recorded {
            self.record(&request, &answer);
        }
        Ok(answer)
    }

    async fn exchange(&self, request: Request) -> Result<Response, ConnectorError> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let call = Call::read(&request);
        let broken = |what: &str| ConnectorError::io(std::io::Error::other(what.to_owned()).into());
        let (before, after, fault) = {
            let mut state = self.world.state();
            let elapsed = self.world.elapsed();
            let point = Point::Call {
                visit: self.visit.clone(),
                call: number,
            };
            let mut fault = state.fire(&point, elapsed);
            if fault.is_none() && state.is_down(&call.service) {
                fault = Some(Action::ServerError);
            }
            if let Some(measure) = &mut state.estate.measure
                && !measure.throttle.admits(&call, elapsed)
            {
                fault = Some(Action::Throttle);
            }
            state.seen.tried_again |= fault.is_some();
            let privilege = Privilege::needed(&call, &request, &state.estate.cloud);
            let is_throttled = fault == Some(Action::Throttle);
            let made = call.made(self, number, privilege, is_throttled);
            state.seen.calls.push(made);
            let steady = state.estate.measure.as_ref().map(|one| one.pace.call / 2);
            let mut time = || {
                let random = || Duration::from_micros(state.random.u64(3_000..40_000));
                steady.unwrap_or_else(random)
            };
            (time(), time(), fault)
        };
        self.world.changed.notify_one();
        tokio::time::sleep(before).await;
        match fault {
            Some(Action::Pause(time)) => tokio::time::sleep(time).await,
            Some(Action::KillBefore) => return self.meet(Fate::Killed).await,
            Some(Action::Reset) => return Err(broken("connection reset by peer")),
            Some(Action::Throttle | Action::ServerError | Action::Deny | Action::Conflict) => {
                tokio::time::sleep(after).await;
                let answer = error_answer(&call, fault.as_ref());
                self.tell(&call, &answer);
                return Ok(answer);
            }
            _ => {}
        }
        let answer = self.perform(&call, &request);
        self.tell(&call, &answer);
        self.world.changed.notify_one();
        match fault {
            Some(Action::KillAfter) => return self.meet(Fate::Killed).await,
            Some(Action::Hang) => return self.meet(Fate::Hung).await,
            Some(Action::Lose) => return Err(broken("connection reset by peer")),
            _ => {}
        }
        tokio::time::sleep(after).await;
        Ok(answer)
    }

    fn perform(&self, call: &Call, request: &Request) -> Response {
        let elapsed = self.world.elapsed();
        let mut state = self.world.state();
        let suspicion = crate::audit::before(&state.estate, self.execution.as_deref(), call);
        let answer = state.answer(call, request);
        if answer.status().is_success()
            && self.visit.state == "Shift Traffic"
            && call.operation == "ModifyRule"
        {
            let floor = state.watch.floor;
            if let Some(what) = crate::audit::after_shift(&state.estate, floor, &self.at_begin) {
                state.violated("I1", format!("{}: {what}", self.visit));
            }
        }
        if answer.status().is_success()
            && crate::audit::is_change(call)
            && let Some(arn) = &self.execution
        {
            let mut executions = state.estate.executions.iter_mut();
            if let Some(execution) = executions.find(|one| one.arn == *arn) {
                execution.changes += 1;
            }
        }
        if answer.status().is_success()
            && let Some((invariant, what)) = suspicion
        {
            let what = format!(
                "{} after {}: {what}",
                self.visit,
                crate::world::told(elapsed)
            );
            state.violated(invariant, what);
        }
        state.turn(elapsed);
        answer
    }

    fn tell(&self, call: &Call, answer: &Response) {
        self.world.tell(|| {
            format!(
                "{}.{} {} {} -> {}",
                self.visit,
                self.calls.load(Ordering::Relaxed),
                call.operation,
                call.about,
                answer.status().as_u16()
            )
        });
    }
}

/// The HTTP client of all functions. It is the same for all schedules: to whose world a request goes is told by the
/// task that makes it.
#[derive(Debug, Clone, Copy)]
pub struct InProcess;

impl HttpClient for InProcess {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(*self)
    }
}

impl HttpConnector for InProcess {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(async move {
            let invocation = INVOCATION
                .try_with(Arc::clone)
                .map_err(|error| ConnectorError::user(error.into()))?;
            let request = request
                .try_into_http1x()
                .map_err(|error| ConnectorError::user(error.into()))?;
            let (parts, body) = request.into_parts();
            let body = body.bytes().map(<[u8]>::to_vec);
            let body = body.ok_or_else(|| {
                ConnectorError::user("a request whose body is not in memory".into())
            })?;
            let answer = invocation.call(Request::from_parts(parts, body)).await?;
            let answer = answer.map(SdkBody::from);
            HttpResponse::try_from(answer).map_err(|error| ConnectorError::user(error.into()))
        })
    }
}
