//! All that is ever said in a notice.

use jiff::{Timestamp, Unit};

use super::links::Console;
use super::mrkdwn::{block, code, escape, link};
use super::{Beside, Kind};
use crate::lock::Purpose;
use crate::name::{Place, ReleaseNumber};
use crate::request::Request;
use crate::step::{Deploy, NotifyInput, Recovered, Replaces};
use crate::target::Target;

/// At most this many characters of a reason are told; the rest is in the execution.
const MOST: usize = 1_500;

/// So much is told in a message, in characters as they are sent: Slack shows no more of a section than 3,000, and what is
/// longest of each part is within that, with the links. (The whole of a reason is in the notice's facts.)
const MOST_OF_CAUSE: usize = 700;
const MOST_OF_DETAIL: usize = 200;
const MOST_LINES: usize = 20;
const MOST_OF_OUTPUT: usize = 800;
const MOST_OF_STEP: usize = 350;

/// What a notice says.
pub(super) struct Wording {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) next_steps: Vec<String>,
}

/// The execution that was cut off, if it is a recovery that tells.
pub(super) fn recovered(told: &NotifyInput) -> Option<&Recovered> {
    told.deploy.as_ref()?.recovers.as_ref()
}

/// The app and environment that it is about, as far as that can be told.
pub(super) fn place(told: &NotifyInput) -> Option<Place> {
    let deploy = told.deploy.as_ref().map(Deploy::place);
    deploy.or_else(|| Request::place_of(&told.input))
}

/// Why, as a sentence in plain text; empty where there is nothing to tell. Why an execution was cut off, its cause tells;
/// that a recovery cleans up is no reason.
pub(super) fn because(told: &NotifyInput) -> String {
    let why = match (recovered(told), &told.why.error) {
        (Some(recovered), None) => {
            let cause = recovered.cause.as_deref();
            let cause = cause.map_or_else(String::new, |cause| format!(" ({})", cut(cause)));
            format!("The execution was cut off: {}{cause}", recovered.status)
        }
        _ => cut(&told.why.text()),
    };
    sentence(&why).trim_end().to_owned()
}

impl Wording {
    pub(super) fn of(told: &NotifyInput, execution: &str, beside: Beside<'_>) -> Self {
        let place = place(told);
        let telling = Telling {
            told,
            whom: place
                .as_ref()
                .map_or_else(|| "an execution".to_owned(), ToString::to_string),
            place: place.as_ref(),
            removal: told.deploy.as_ref().is_some_and(|deploy| deploy.removal),
            recovered: recovered(told).is_some(),
            console: Console::of(execution),
            beside,
        };
        let of_return = told.returns.then(|| telling.what_of_a_return()).flatten();
        let (title, says) = of_return.unwrap_or_else(|| telling.what());
        let says: Vec<String> = says
            .into_iter()
            .filter(|sentence| !sentence.is_empty())
            .collect();
        let output = telling.output();
        let links = telling.links();
        Self {
            title: format!("{}: {title}", telling.whom),
            description: format!("{}{output}{links}", says.join(" ")),
            next_steps: telling.next_steps(),
        }
    }
}

/// What is told, and all that it is told from. Every text in it that is not ours is escaped where it is put in.
struct Telling<'a> {
    told: &'a NotifyInput,
    whom: String,
    place: Option<&'a Place>,
    removal: bool,
    /// Whether a recovery tells it of the execution that was cut off.
    recovered: bool,
    console: Option<Console<'a>>,
    beside: Beside<'a>,
}

impl Telling<'_> {
    /// The title without the place, and the sentences.
    fn what(&self) -> (String, Vec<String>) {
        let what = self.subject();
        let stays = self.stays();
        let because = escape(&because(self.told), MOST_OF_CAUSE);
        match self.told.kind {
            Kind::Waiting => (
                format!("{what} waits"),
                vec![because, "It begins when that has ended.".to_owned()],
            ),
            Kind::Started if self.removal => ("removing the app".to_owned(), vec![self.goes()]),
            Kind::Started => (
                format!("deploying {what}"),
                vec![
                    self.renews(),
                    self.begins(),
                    self.settings(),
                    self.uploaded(),
                ],
            ),
            Kind::Progressing => match self.told.traffic {
                Some(_) if self.is_worker() => {
                    (format!("{what} is ready"), vec![self.watched_at_work()])
                }
                Some(percent) => (
                    format!("{what} has {percent}% of the traffic"),
                    vec![self.watched(percent)],
                ),
                None => (
                    format!("{what} is booting"),
                    vec![format!("{} healthy.", self.of_all()), self.meanwhile()],
                ),
            },
            Kind::WaitingForApproval => (
                format!("{what} waits for approval"),
                vec![
                    format!("{} healthy.", self.of_all()),
                    self.meanwhile(),
                    self.is_waited_for(),
                    self.settings(),
                    self.uploaded(),
                ],
            ),
            Kind::Succeeded => (
                format!("{what} is live"),
                vec![
                    self.if_recovered(because),
                    self.is_live(),
                    self.had_run(),
                    self.settings(),
                    self.uploaded(),
                ],
            ),
            Kind::Removed => (
                "removed".to_owned(),
                vec![
                    self.if_recovered(because),
                    self.is_gone(),
                    "Its releases and artifacts are kept.".to_owned(),
                ],
            ),
            Kind::RolledBack if self.removal => (
                "the removal was given up".to_owned(),
                vec![because, format!("{stays}.")],
            ),
            Kind::RolledBack => (
                format!("{what} was rolled back"),
                vec![
                    because,
                    self.had_traffic(),
                    format!("{stays}."),
                    self.uploaded(),
                ],
            ),
            // Before Plan nobody has looked at what is live.
            Kind::Superseded if self.told.release.is_none() => {
                (format!("{what} gave way"), vec![because])
            }
            Kind::Superseded => (
                format!("{what} gave way"),
                vec![because, self.had_traffic(), format!("{stays}.")],
            ),
            Kind::Skipped if self.removal => ("nothing was removed".to_owned(), vec![because]),
            Kind::Skipped => ("nothing was deployed".to_owned(), vec![because]),
            Kind::Rejected => (
                "refused".to_owned(),
                vec![because, "Nothing was touched.".to_owned(), self.uploaded()],
            ),
            Kind::NeedsAttention => (
                format!("{what} needs attention"),
                vec![because, "Something could not be put in order.".to_owned()],
            ),
        }
    }

    /// The same, of a release whose fleet was kept; `None` for what is told of it as of any other.
    fn what_of_a_return(&self) -> Option<(String, Vec<String>)> {
        let (what, stays) = (self.subject(), self.stays());
        Some(match self.told.kind {
            Kind::Started => (
                format!("returning to {what}"),
                vec![
                    "Its fleet was kept, so nothing is launched.".to_owned(),
                    format!("{stays} meanwhile."),
                    self.settings(),
                ],
            ),
            Kind::Progressing if self.told.traffic.is_none() => (
                format!("{what} is made ready"),
                vec![
                    format!("{} healthy.", self.of_all()),
                    format!("{stays} meanwhile."),
                ],
            ),
            Kind::Succeeded => (
                format!("returned to {what}, without a launch"),
                vec![self.is_live(), self.had_run(), self.settings()],
            ),
            Kind::RolledBack => (
                format!("the return to {what} was given up"),
                vec![
                    escape(&because(self.told), MOST_OF_CAUSE),
                    self.had_traffic(),
                    format!("{stays}."),
                    self.is_shed(),
                ],
            ),
            _ => return None,
        })
    }

    /// Names and versions have no letter in them that Slack would format.
    fn subject(&self) -> String {
        match (&self.told.version, self.told.release) {
            (Some(version), Some(release)) => format!("{version} (release {release})"),
            (Some(version), None) => version.to_string(),
            (None, Some(release)) => format!("release {release}"),
            (None, None) if self.removal => "the removal".to_owned(),
            (None, None) => "the deploy".to_owned(),
        }
    }

    fn stays(&self) -> String {
        match (&self.told.live_version, self.told.live) {
            (Some(version), Some(release)) => {
                format!("{version} (release {release}) {}", self.rules())
            }
            (None, Some(release)) => format!("Release {release} {}", self.rules()),
            _ => "Nothing is live".to_owned(),
        }
    }

    /// What is said of what is live. Of a worker, and where nothing tells whether it is one, that is all.
    fn rules(&self) -> &'static str {
        if self.is_worker() || self.removal || self.recovered {
            "is live"
        } else {
            "has the traffic"
        }
    }

    fn target(&self) -> Option<&Target> {
        self.told.deploy.as_ref()?.target.as_ref()
    }

    fn is_worker(&self) -> bool {
        self.target().is_some_and(Target::is_worker)
    }

    /// That it was cut off is told of what came to a good end as well.
    fn if_recovered(&self, because: String) -> String {
        if self.recovered {
            because
        } else {
            String::new()
        }
    }

    fn renews(&self) -> String {
        let deploy = self.told.deploy.as_ref();
        let renews = deploy.is_some_and(|deploy| deploy.purpose == Purpose::Renewal);
        match &self.told.replaces {
            Some(replaces) if renews => {
                let (release, age) = (replaces.release, age(replaces, self.told.now));
                format!("A renewal: release {release} has run for {age}.")
            }
            _ => String::new(),
        }
    }

    fn settings(&self) -> String {
        let replaces = self.told.replaces.as_ref();
        let changes = replaces.and_then(|replaces| replaces.settings.as_ref());
        changes.map_or_else(String::new, |changes| {
            format!(
                "Settings: {}.",
                escape(&changes.to_string(), MOST_OF_DETAIL)
            )
        })
    }

    fn uploaded(&self) -> String {
        let deploy = self.told.deploy.as_ref();
        let by = deploy.and_then(|deploy| deploy.by.as_deref());
        by.map_or_else(String::new, |by| {
            format!("Uploaded by {}.", escape(by, MOST_OF_DETAIL))
        })
    }

    fn goes(&self) -> String {
        match (&self.told.live_version, self.told.live) {
            (Some(version), Some(release)) => format!(
                "{version} (release {release}) is about to be live no more, and is then shed."
            ),
            _ => "Nothing is live; what is left of the app is shed.".to_owned(),
        }
    }

    fn is_gone(&self) -> String {
        let was = match (&self.told.live_version, self.told.live) {
            (Some(version), Some(release)) => {
                format!("{version} (release {release}) is live no more; it")
            }
            _ => "Nothing is live any more; what was".to_owned(),
        };
        format!("{was} is being shed.")
    }

    fn of_all(&self) -> String {
        match (self.told.healthy, self.told.wanted) {
            (Some(healthy), Some(wanted)) if healthy != wanted => {
                format!("{healthy} of {wanted} instances are")
            }
            (Some(1), _) => "1 instance is".to_owned(),
            (Some(healthy), _) => format!("{healthy} instances are"),
            (None, _) => "its instances are".to_owned(),
        }
    }

    fn begins(&self) -> String {
        let stops = self.target().is_some_and(Target::stops_first);
        match self.old() {
            Some(old) if stops => {
                format!("Ending release {old}, then launching a new fleet: one works at a time.")
            }
            _ => format!("Launching a new fleet. {}", self.meanwhile()),
        }
    }

    fn meanwhile(&self) -> String {
        if self.target().is_some_and(Target::stops_first) {
            return String::new();
        }
        format!("{} meanwhile.", self.stays())
    }

    fn watched_at_work(&self) -> String {
        let of_all = self.of_all();
        let stops = self.target().is_some_and(Target::stops_first);
        match self.old() {
            Some(old) if stops => {
                format!(
                    "{of_all} healthy. It is watched; until it is told as live, release {old} can be launched again."
                )
            }
            Some(old) => {
                format!(
                    "{of_all} healthy. It is watched before release {old}, which works as well until then, is shed."
                )
            }
            None => format!("{of_all} healthy. It is watched before it is told as live."),
        }
    }

    fn watched(&self, percent: u32) -> String {
        let of_all = self.of_all();
        match self.old() {
            Some(old) if percent < 100 => {
                format!(
                    "{of_all} healthy. Release {old} has the rest, and is ready to take all of it back."
                )
            }
            Some(old) => {
                format!(
                    "{of_all} healthy. It is watched before release {old} is shed, which can take the traffic back until then."
                )
            }
            None => format!("{of_all} healthy. It is watched before it is told as live."),
        }
    }

    fn is_waited_for(&self) -> String {
        let asked = self.told.approval.as_ref();
        asked.map_or_else(String::new, |asked| {
            let lasts = lasted(asked.seconds.into());
            format!("If nobody approves within {lasts}, it is rolled back; a newer deploy takes its place at once.")
        })
    }

    /// The release that was live, if another is now or is to be.
    fn old(&self) -> Option<ReleaseNumber> {
        let live = self.told.live;
        live.filter(|live| Some(*live) != self.told.release)
    }

    fn is_live(&self) -> String {
        let on = match self.told.healthy {
            Some(1) => "1 healthy instance".to_owned(),
            Some(healthy) => format!("{healthy} healthy instances"),
            None => "it".to_owned(),
        };
        // A recovery tells of another execution, whose start it does not know.
        let after = if self.recovered {
            String::new()
        } else {
            let start = self.told.execution.start_time;
            format!(
                " after {}",
                lasted(self.told.now.duration_since(start).as_secs())
            )
        };
        let shed = match (self.old(), &self.told.retained) {
            (_, Some(kept)) => format!(
                "; release {} is kept until {}, to return to it without a launch",
                kept.release,
                to_the_second(kept.until)
            ),
            (Some(old), None) => format!("; release {old} is being shed"),
            (None, None) => String::new(),
        };
        let all = if self.is_worker() {
            "It works"
        } else {
            "All traffic is"
        };
        format!("{all} on {on}{after}{shed}.")
    }

    /// What comes of the fleet that was kept.
    fn is_shed(&self) -> String {
        let release = self.told.release;
        release.map_or_else(String::new, |release| {
            format!(
                "Release {release} is kept no longer: its fleet is being shed, and it can be deployed again with a launch."
            )
        })
    }

    fn had_run(&self) -> String {
        let replaces = self.told.replaces.as_ref();
        replaces.map_or_else(String::new, |replaces| {
            let (release, age) = (replaces.release, age(replaces, self.told.now));
            format!("Release {release} had run for {age}.")
        })
    }

    /// Whether what was given up ever had traffic, and for how long.
    fn had_traffic(&self) -> String {
        let Some(release) = self.told.release else {
            return String::new();
        };
        if Some(release) == self.told.live || self.is_worker() {
            return String::new();
        }
        let since = self.told.traffic_since;
        let lasted = since.map(|since| lasted(self.told.now.duration_since(since).as_secs()));
        match (self.told.traffic, lasted) {
            (Some(percent), Some(lasted)) => {
                format!("Release {release} had traffic for {lasted}, up to {percent}% of it.")
            }
            // The recovery of one that was cut off knows only what it found.
            (Some(percent), None) => {
                format!("Release {release} had {percent}% of the traffic until now.")
            }
            (None, Some(lasted)) => format!("Release {release} may have had traffic for {lasted}."),
            (None, None) if self.recovered || self.told.returns => String::new(),
            (None, None) => format!("Release {release} never had traffic."),
        }
    }

    /// What an instance of it printed last.
    fn output(&self) -> String {
        let boot = self
            .beside
            .boot
            .filter(|_| self.told.kind == Kind::RolledBack);
        boot.map_or_else(String::new, |report| {
            block(&report.output, MOST_LINES, MOST_OF_OUTPUT)
        })
    }

    fn links(&self) -> String {
        let Some(console) = &self.console else {
            return String::new();
        };
        let execution = link(&console.execution(), "Execution");
        let report = self.place.map_or_else(String::new, |place| {
            let url = console.report(self.beside.ledger, place);
            format!(" · {}", link(&url, "Report"))
        });
        format!("\n{execution}{report}")
    }

    fn next_steps(&self) -> Vec<String> {
        if let (Kind::WaitingForApproval, Some(asked), Some(console)) =
            (self.told.kind, &self.told.approval, &self.console)
        {
            let [yes, no] = console.answers(&asked.task_token);
            return vec![
                format!("To approve: {}", code(&yes)),
                format!(
                    "To refuse, with a {} if you like: {}",
                    code("--cause"),
                    code(&no)
                ),
            ];
        }
        let step = match self.told.kind {
            Kind::Succeeded => self.old().and_then(|old| self.back(old)),
            Kind::Removed => Some("An upload deploys it again; else its stack may be deleted once the execution has ended".to_owned()),
            Kind::Rejected => Some("Mend what it names, then upload or start it again".to_owned()),
            Kind::RolledBack if self.told.returns => {
                let release = self.told.release;
                release.and_then(|release| self.deploy_again("To deploy it with a launch", release))
            }
            Kind::RolledBack if self.recovered => None,
            Kind::RolledBack if self.told.why.error.is_none() && !self.removal => {
                Some("Mend it and upload a new version".to_owned())
            }
            Kind::RolledBack => {
                Some("Look at what it names, then start the execution again".to_owned())
            }
            Kind::NeedsAttention => self.again(),
            _ => None,
        };
        step.into_iter().collect()
    }

    fn back(&self, old: ReleaseNumber) -> Option<String> {
        let kept = self.told.retained.as_ref();
        let what_for = kept.map_or_else(
            || "To go back".to_owned(),
            |kept| {
                format!(
                    "To go back, until {} without a launch",
                    to_the_second(kept.until)
                )
            },
        );
        self.deploy_again(&what_for, old)
    }

    fn deploy_again(&self, what_for: &str, release: ReleaseNumber) -> Option<String> {
        let Place { app, environment } = self.place?;
        let input = format!(
            "{{\"app\":\"{app}\",\"environment\":\"{environment}\",\"release\":{release}}}"
        );
        Some(self.start(what_for, &input))
    }

    fn again(&self) -> Option<String> {
        let Place { app, environment } = self.place?;
        let place = format!("\"app\":\"{app}\",\"environment\":\"{environment}\"");
        Some(if self.removal {
            let input = format!("{{{place},\"operation\":\"remove\"}}");
            self.start("Remove it again, which sheds what is left as well", &input)
        } else {
            self.start(
                "Deploy what is live again, which sheds what is left as well",
                &format!("{{{place}}}"),
            )
        })
    }

    /// How to start an execution: a command where there is room for it.
    fn start(&self, what_for: &str, input: &str) -> String {
        let command = self.console.as_ref().map(|console| console.start(input));
        let command = command.map(|command| format!("{what_for}: {}", code(&command)));
        command
            .filter(|step| step.chars().count() <= MOST_OF_STEP)
            .unwrap_or_else(|| {
                format!(
                    "{what_for}: start an execution with the input {}",
                    code(input)
                )
            })
    }
}

/// Without control characters, and no longer than a person reads.
pub(crate) fn cut(text: &str) -> String {
    let mut kept: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MOST)
        .collect();
    if text.chars().count() > MOST {
        kept.push('…');
    }
    kept
}

/// As a sentence that another may follow.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    // A name, such as config.env, keeps its case.
    let is_word = text
        .split(' ')
        .next()
        .is_some_and(|word| word.chars().all(char::is_alphabetic));
    match chars.next() {
        None => String::new(),
        Some(first) if !is_word => {
            let stop = if text.ends_with(['.', '!', '?', '…']) {
                " "
            } else {
                ". "
            };
            format!("{first}{}{stop}", chars.as_str())
        }
        Some(first) => {
            let stop = if text.ends_with(['.', '!', '?', '…']) {
                " "
            } else {
                ". "
            };
            format!("{}{}{stop}", first.to_uppercase(), chars.as_str())
        }
    }
}

fn to_the_second(time: Timestamp) -> Timestamp {
    time.round(Unit::Second).unwrap_or(time)
}

/// How long what was replaced had run by then.
fn age(replaces: &Replaces, now: Timestamp) -> String {
    lasted(replaces.age_seconds(now))
}

/// A time as a person tells it.
pub(crate) fn lasted(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let (count, unit) = match seconds {
        ..120 => (seconds.max(0), "second"),
        120..7_200 => (seconds / MINUTE, "minute"),
        7_200..172_800 => (seconds / HOUR, "hour"),
        _ => (seconds / DAY, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_it_has_two_of() {
        for (seconds, told) in [
            (-5, "0 seconds"),
            (1, "1 second"),
            (119, "119 seconds"),
            (120, "2 minutes"),
            (7_199, "119 minutes"),
            (7_200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
            (6 * 86_400 + 3_600, "6 days"),
        ] {
            assert_eq!(lasted(seconds), told);
        }
    }
}
