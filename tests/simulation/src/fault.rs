//! Faults as data: what goes wrong, and at which point. A [`Schedule`] prints as one line and is read back from it:
//!
//! ```text
//! replace seed=7 kill-after@d1/Launch#1.3 stop@d1/Bake#2 upload:good@90s
//! ```
//!
//! The point of a fault is an AWS call (`<who>/<state>#<visit>.<call>`: before the call of that number, counted from 1
//! within that invocation of the state's function), a state's entry (`<who>/<state>#<visit>`), or a moment (`<n>s` or
//! `<n>ms` after the scenario's first event). Who is `d1`, `d2` ... for the deploys in the order of their start, `r1`,
//! `r2` ... for the recoveries, `b1` and `rb1` ... for builds and theirs, and `trigger` and `recover` for the functions that events invoke, whose state bears
//! the same name. Spaces in names of states are written as underscores.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A scenario, the seed of all that is random in it, and what goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Schedule {
    pub scenario: String,
    pub seed: u64,
    pub faults: Vec<Fault>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fault {
    pub what: Action,
    pub at: Point,
}

/// When a fault happens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before an AWS call; the answer to it where the fault concerns the answer.
    Call { visit: Visit, call: u32 },
    /// As an execution enters a state.
    Entry(Visit),
    /// A time after the scenario's first event.
    After(Duration),
}

/// The n-th time that an execution enters a state, or for a call the n-th time that it invokes the state's function.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Visit {
    pub who: String,
    pub state: String,
    pub number: u32,
}

/// What a call, an execution or the world suffers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The function's process dies before AWS gets the call.
    KillBefore,
    /// The function's process dies after AWS has performed the call.
    KillAfter,
    /// AWS performs the call, and the function hangs until its time is up.
    Hang,
    /// The call waits for so long before it goes out: less than the SDK's own time limit.
    Pause(Duration),
    /// AWS throttles the call.
    Throttle,
    /// AWS answers with a 5xx.
    ServerError,
    /// The connection breaks before AWS gets the call.
    Reset,
    /// AWS performs the call, and the connection breaks before the answer.
    Lose,
    /// AWS refuses the call: no permission.
    Deny,
    /// S3 answers a conditional write with 409: another is under way.
    Conflict,

    /// The execution is stopped; a function that runs goes on.
    Stop,
    /// That execution (`d1`) is stopped.
    StopOther(String),
    /// That execution is redriven, if it has ended unsuccessfully.
    Redrive(String),
    /// A person uploads an artifact of that behaviour as a new version.
    Upload(String),
    /// A person uploads something under that key, which need be no artifact's.
    UploadAs(String),
    /// A person uploads a source of that behaviour as a new version.
    Source(String),
    /// A person uploads settings.
    Config(String),
    /// A person starts an execution: `live`, `v1` (a version) or `1` (a release).
    Start(String),
    /// A renewal comes by its schedule: what is live has run for so many hours at least.
    Renew(u32),
    /// A person starts an execution that removes the app.
    Remove,
    /// The app's stack is updated: from now on its target says that the traffic moves like this.
    Strategy(String),
    /// The app's stack is updated: from now on its target is a worker's, `overlap` or `stop-first`.
    Worker(String),
    /// The app's stack is updated: from now on its target asks for approval, and waits for it for so many seconds.
    AskApproval(u32),
    /// The app's stack is updated: from now on its target keeps the old fleet for so many minutes.
    Retain(u32),
    /// From now on somebody approves so long after each notice that asks for it.
    Approve(Duration),
    /// From now on somebody refuses so long after each.
    Refuse(Duration),
    /// The app's stack is updated: its target keeps the processors half busy, and has larger sizes from a time of the day on
    /// which comes after so long, within a minute before that, and smaller ones from an hour before.
    Morning(Duration),
    /// From now on so many requests come in a minute.
    Load(u32),
    /// The app's stack is updated: its target names this alarm.
    WatchAlarm(String),
    /// An alarm goes into ALARM.
    AlarmFires(String),
    /// An alarm is made, or goes back to OK.
    AlarmRests(String),
    /// The event of the newest upload is delivered once more.
    RepeatEvent,
    /// The event of the first execution that ended badly is delivered once more.
    RepeatStatusEvent,
    /// The next event of an upload is delivered so much later.
    DelayEvent(Duration),
    /// The next status-change event is lost.
    LoseStatusEvent,
    /// From now on, describes of groups and target groups know only so much later what was created.
    Lag(Duration),
    /// So many instances of the fleet that has the traffic die.
    KillInstances(u32),
    /// All instances of a zone die.
    KillZone(String),
    /// So many instances of the newest fleet die.
    KillNewInstances(u32),
    /// So many instances of the oldest fleet die that has no traffic.
    KillOldInstances(u32),
    /// From now on an instance with the first artifact boots like that.
    FirstBoots(String),
    /// EC2 has no more capacity.
    NoCapacity,
    /// Somebody, or a policy, changes the live group's desired capacity by so many.
    Scale(i32),
    /// A scheduled action of the group of the release that `live.json` names, due after so long, wants a single instance.
    ScheduleScaleIn(Duration),
    /// Somebody deletes the live group by force.
    DeleteLiveGroup,
    /// Somebody deletes the app's rule.
    DeleteRule,
    /// Somebody gives all requests to the oldest fleet that stands.
    PointBack,
    /// Somebody gives the app's rule another priority, in its target.
    Priority(u32),
    /// The newest artifact is uploaded again under its key, with other bytes.
    Overwrite,
    /// The newest artifact is deleted.
    DeleteArtifact,
    /// The settings are deleted.
    DeleteConfig,
    /// Somebody who can write to the ledger puts the manifest of the oldest release in the place of the newest's, together
    /// with its signature.
    Forge,
    /// The pipeline's key is disabled for so long.
    DisableKey(Duration),
    /// The topic refuses what is published, for so long.
    TopicFails(Duration),
    /// A service is down for so long.
    Outage(String, Duration),
}

impl Action {
    /// Whether it happens to a call, and so only at the point of one.
    pub fn concerns_a_call(&self) -> bool {
        matches!(
            self,
            Self::KillBefore
                | Self::KillAfter
                | Self::Hang
                | Self::Pause(_)
                | Self::Throttle
                | Self::ServerError
                | Self::Reset
                | Self::Lose
                | Self::Deny
                | Self::Conflict
        )
    }
}

/// Those that concern a call, in the order in which they are tried.
pub const AT_CALLS: [Action; 10] = [
    Action::Pause(Duration::from_secs(6)),
    Action::KillBefore,
    Action::KillAfter,
    Action::Hang,
    Action::Throttle,
    Action::ServerError,
    Action::Reset,
    Action::Lose,
    Action::Deny,
    Action::Conflict,
];

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what:?} is not {expected}")]
pub struct NotASchedule {
    what: String,
    expected: &'static str,
}

fn wrong(what: &str, expected: &'static str) -> NotASchedule {
    NotASchedule {
        what: what.to_owned(),
        expected,
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} seed={}", self.scenario, self.seed)?;
        self.faults
            .iter()
            .try_for_each(|fault| write!(f, " {fault}"))
    }
}

impl FromStr for Schedule {
    type Err = NotASchedule;

    fn from_str(line: &str) -> Result<Self, NotASchedule> {
        let mut words = line.split_whitespace();
        let scenario = words
            .next()
            .ok_or_else(|| wrong(line, "a scenario's name"))?;
        let mut schedule = Self {
            scenario: scenario.to_owned(),
            seed: 0,
            faults: Vec::new(),
        };
        for word in words {
            match word.strip_prefix("seed=") {
                Some(seed) => {
                    schedule.seed = seed.parse().map_err(|_| wrong(word, "seed=<number>"))?;
                }
                None => schedule.faults.push(word.parse()?),
            }
        }
        Ok(schedule)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.what, self.at)
    }
}

impl FromStr for Fault {
    type Err = NotASchedule;

    fn from_str(text: &str) -> Result<Self, NotASchedule> {
        let (what, at) = text
            .split_once('@')
            .ok_or_else(|| wrong(text, "a fault, such as stop@d1/Bake#1"))?;
        let fault = Self {
            what: what.parse()?,
            at: at.parse()?,
        };
        if fault.what.concerns_a_call() && !matches!(fault.at, Point::Call { .. }) {
            return Err(wrong(at, "the point of a call, such as d1/Launch#1.3"));
        }
        Ok(fault)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { visit, call } => write!(f, "{visit}.{call}"),
            Self::Entry(visit) => visit.fmt(f),
            Self::After(time) => f.write_str(&told(*time)),
        }
    }
}

impl FromStr for Point {
    type Err = NotASchedule;

    fn from_str(text: &str) -> Result<Self, NotASchedule> {
        let Some((who, rest)) = text.split_once('/') else {
            return duration(text).map(Self::After);
        };
        let expected = "a point, such as d1/Launch#1, d1/Launch#1.3 or 90s";
        let (state, rest) = rest.split_once('#').ok_or_else(|| wrong(text, expected))?;
        let (number, call) = match rest.split_once('.') {
            Some((number, call)) => (number, Some(call)),
            None => (rest, None),
        };
        let read = |digits: &str| digits.parse().map_err(|_| wrong(text, expected));
        let visit = Visit {
            who: who.to_owned(),
            state: state.replace('_', " "),
            number: read(number)?,
        };
        Ok(match call {
            Some(call) => Self::Call {
                visit,
                call: read(call)?,
            },
            None => Self::Entry(visit),
        })
    }
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.replace(' ', "_");
        write!(f, "{}/{state}#{}", self.who, self.number)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillBefore => f.write_str("kill-before"),
            Self::KillAfter => f.write_str("kill-after"),
            Self::Hang => f.write_str("hang"),
            Self::Pause(time) => write!(f, "pause:{}", told(*time)),
            Self::Throttle => f.write_str("throttle"),
            Self::ServerError => f.write_str("server-error"),
            Self::Reset => f.write_str("reset"),
            Self::Lose => f.write_str("lose"),
            Self::Deny => f.write_str("deny"),
            Self::Conflict => f.write_str("conflict"),
            Self::Stop => f.write_str("stop"),
            Self::StopOther(who) => write!(f, "stop:{who}"),
            Self::Redrive(who) => write!(f, "redrive:{who}"),
            Self::Upload(behaviour) => write!(f, "upload:{behaviour}"),
            Self::UploadAs(key) => write!(f, "upload-as:{key}"),
            Self::Source(behaviour) => write!(f, "source:{behaviour}"),
            Self::Config(settings) => write!(f, "config:{settings}"),
            Self::Start(what) => write!(f, "start:{what}"),
            Self::Remove => f.write_str("remove"),
            Self::Strategy(name) => write!(f, "strategy:{name}"),
            Self::Worker(order) => write!(f, "worker:{order}"),
            Self::AskApproval(seconds) => write!(f, "ask-approval:{seconds}"),
            Self::Retain(minutes) => write!(f, "retain:{minutes}"),
            Self::Approve(after) => write!(f, "approve:{}", told(*after)),
            Self::Refuse(after) => write!(f, "refuse:{}", told(*after)),
            Self::Morning(time) => write!(f, "morning:{}", told(*time)),
            Self::Load(requests) => write!(f, "load:{requests}"),
            Self::WatchAlarm(name) => write!(f, "watch-alarm:{name}"),
            Self::AlarmFires(name) => write!(f, "alarm-fires:{name}"),
            Self::AlarmRests(name) => write!(f, "alarm-rests:{name}"),
            Self::Renew(hours) => write!(f, "renew:{hours}"),
            Self::RepeatEvent => f.write_str("repeat-event"),
            Self::RepeatStatusEvent => f.write_str("repeat-status-event"),
            Self::DelayEvent(time) => write!(f, "delay-event:{}", told(*time)),
            Self::LoseStatusEvent => f.write_str("lose-status-event"),
            Self::Lag(time) => write!(f, "lag:{}", told(*time)),
            Self::KillInstances(count) => write!(f, "kill-instances:{count}"),
            Self::KillZone(zone) => write!(f, "kill-zone:{zone}"),
            Self::KillNewInstances(count) => write!(f, "kill-new-instances:{count}"),
            Self::KillOldInstances(count) => write!(f, "kill-old-instances:{count}"),
            Self::FirstBoots(behaviour) => write!(f, "first-boots:{behaviour}"),
            Self::NoCapacity => f.write_str("no-capacity"),
            Self::Scale(by) => write!(f, "scale:{by:+}"),
            Self::ScheduleScaleIn(time) => write!(f, "schedule-scale-in:{}", told(*time)),
            Self::DeleteLiveGroup => f.write_str("delete-live-group"),
            Self::DeleteRule => f.write_str("delete-rule"),
            Self::PointBack => f.write_str("point-back"),
            Self::Priority(priority) => write!(f, "priority:{priority}"),
            Self::Overwrite => f.write_str("overwrite"),
            Self::DeleteArtifact => f.write_str("delete-artifact"),
            Self::DeleteConfig => f.write_str("delete-config"),
            Self::Forge => f.write_str("forge"),
            Self::DisableKey(time) => write!(f, "disable-key:{}", told(*time)),
            Self::TopicFails(time) => write!(f, "topic-fails:{}", told(*time)),
            Self::Outage(service, time) => write!(f, "outage:{service}:{}", told(*time)),
        }
    }
}

impl FromStr for Action {
    type Err = NotASchedule;

    fn from_str(text: &str) -> Result<Self, NotASchedule> {
        let (name, rest) = text.split_once(':').unwrap_or((text, ""));
        let number = || {
            rest.parse()
                .map_err(|_| wrong(text, "a fault with a number, such as kill-instances:1"))
        };
        Ok(match name {
            "kill-before" => Self::KillBefore,
            "kill-after" => Self::KillAfter,
            "hang" => Self::Hang,
            "pause" => Self::Pause(duration(rest)?),
            "throttle" => Self::Throttle,
            "server-error" => Self::ServerError,
            "reset" => Self::Reset,
            "lose" => Self::Lose,
            "deny" => Self::Deny,
            "conflict" => Self::Conflict,
            "stop" if rest.is_empty() => Self::Stop,
            "stop" => Self::StopOther(rest.to_owned()),
            "redrive" => Self::Redrive(rest.to_owned()),
            "upload" => Self::Upload(rest.to_owned()),
            "upload-as" => Self::UploadAs(rest.to_owned()),
            "source" => Self::Source(rest.to_owned()),
            "config" => Self::Config(rest.to_owned()),
            "start" => Self::Start(rest.to_owned()),
            "remove" => Self::Remove,
            "strategy" => Self::Strategy(rest.to_owned()),
            "worker" => Self::Worker(rest.to_owned()),
            "ask-approval" => Self::AskApproval(number()?),
            "retain" => Self::Retain(number()?),
            "approve" => Self::Approve(duration(rest)?),
            "refuse" => Self::Refuse(duration(rest)?),
            "morning" => Self::Morning(duration(rest)?),
            "load" => Self::Load(number()?),
            "watch-alarm" => Self::WatchAlarm(rest.to_owned()),
            "alarm-fires" => Self::AlarmFires(rest.to_owned()),
            "alarm-rests" => Self::AlarmRests(rest.to_owned()),
            "renew" => Self::Renew(number()?),
            "repeat-event" => Self::RepeatEvent,
            "repeat-status-event" => Self::RepeatStatusEvent,
            "delay-event" => Self::DelayEvent(duration(rest)?),
            "lose-status-event" => Self::LoseStatusEvent,
            "lag" => Self::Lag(duration(rest)?),
            "kill-instances" => Self::KillInstances(number()?),
            "kill-zone" => Self::KillZone(rest.to_owned()),
            "kill-new-instances" => Self::KillNewInstances(number()?),
            "kill-old-instances" => Self::KillOldInstances(number()?),
            "first-boots" => Self::FirstBoots(rest.to_owned()),
            "no-capacity" => Self::NoCapacity,
            "scale" => Self::Scale(
                rest.parse()
                    .map_err(|_| wrong(text, "a change of capacity, such as scale:+1"))?,
            ),
            "schedule-scale-in" => Self::ScheduleScaleIn(duration(rest)?),
            "delete-live-group" => Self::DeleteLiveGroup,
            "delete-rule" => Self::DeleteRule,
            "point-back" => Self::PointBack,
            "priority" => Self::Priority(number()?),
            "overwrite" => Self::Overwrite,
            "delete-artifact" => Self::DeleteArtifact,
            "delete-config" => Self::DeleteConfig,
            "forge" => Self::Forge,
            "disable-key" => Self::DisableKey(duration(rest)?),
            "topic-fails" => Self::TopicFails(duration(rest)?),
            "outage" => match rest.split_once(':') {
                Some((service, time)) => Self::Outage(service.to_owned(), duration(time)?),
                None => return Err(wrong(text, "an outage, such as outage:s3:30s")),
            },
            _ => {
                return Err(wrong(
                    text,
                    "a fault; tests/simulation/src/fault.rs lists them",
                ));
            }
        })
    }
}

fn told(time: Duration) -> String {
    let millis = time.as_millis();
    if millis.is_multiple_of(1000) {
        format!("{}s", millis / 1000)
    } else {
        format!("{millis}ms")
    }
}

fn duration(text: &str) -> Result<Duration, NotASchedule> {
    let expected = "a time, such as 90s or 250ms";
    let number = |digits: &str| digits.parse().map_err(|_| wrong(text, expected));
    if let Some(digits) = text.strip_suffix("ms") {
        return Ok(Duration::from_millis(number(digits)?));
    }
    let digits = text
        .strip_suffix('s')
        .ok_or_else(|| wrong(text, expected))?;
    Ok(Duration::from_secs(number(digits)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_read_back_from_its_line() {
        for line in [
            "replace seed=7",
            "replace seed=7 kill-after@d1/Launch#1.3 stop@d1/Wait_For_Boot#2 upload:good@90s",
            "first seed=0 scale:-1@1500ms stop:d2@r1/Roll_Back#1 outage:s3:30s@trigger/trigger#1.1",
            "x seed=1 delete-rule@d1/Plan#1 priority:7@2s upload-as:readme@3s",
            "x seed=1 kill-zone:us-east-1a@1s kill-instances:2@2s disable-key:60s@d1/Plan#1 redrive:d1@300s",
        ] {
            let schedule: Schedule = line.parse().unwrap();
            assert_eq!(schedule.to_string(), line);
        }
        for what in AT_CALLS
            .into_iter()
            .chain([Action::Forge, Action::Renew(24), Action::Remove])
            .chain([Action::Strategy("canary".to_owned()), Action::Load(600)])
            .chain([Action::AskApproval(600), Action::Retain(10)])
            .chain([Action::KillOldInstances(1)])
            .chain([Action::FirstBoots("never".to_owned())])
            .chain([Action::Worker("overlap".to_owned())])
            .chain(
                [Action::Approve, Action::Refuse, Action::Morning]
                    .map(|of| of(Duration::from_secs(90))),
            )
            .chain(
                [Action::WatchAlarm, Action::AlarmFires, Action::AlarmRests]
                    .map(|of| of("x".to_owned())),
            )
        {
            assert_eq!(what.to_string().parse::<Action>().unwrap(), what);
        }
    }

    #[test]
    fn a_line_that_is_wrong_is_refused_by_what_is_wrong() {
        for (line, names) in [
            ("", "a scenario"),
            ("replace seed=x", "seed="),
            ("replace stop", "a fault, such as"),
            ("replace explode@3s", "a fault;"),
            ("replace stop@d1/Bake", "a point"),
            ("replace stop@3", "a time"),
            ("replace kill-after@3s", "the point of a call"),
            ("replace kill-after@d1/Launch#1", "the point of a call"),
        ] {
            let error = line.parse::<Schedule>().unwrap_err().to_string();
            assert!(error.contains(names), "{line}: {error}");
        }
    }
}
