//! What must hold when nothing runs any more: the invariants of `ARCHITECTURE.md`, read off what is left.
//!
//! I1, I4, I7 and I9's half about instances are checked while a schedule runs: in [`crate::watch`], [`crate::audit`]
//! and [`crate::machines`].

mod removals;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use exuvia_cloud::model::{GroupState, Survey};
use exuvia_core::build::{self, BuildId, METADATA_BUILD};
use exuvia_core::fleet::FleetName;
use exuvia_core::lock::Record;
use exuvia_core::manifest::{Live, Manifest, live_key, lock_key, releases_prefix, waiting_key};
use exuvia_core::name::{Place, ReleaseNumber};
use exuvia_core::notice::Kind;
use exuvia_core::request::UploadName;
use exuvia_core::scaling::{ALARM_PREFIX, Policy, Scaling};
use jiff::{SignedDuration, Timestamp};
use jsonschema::Validator;
use serde_json::Value;

use crate::executions::Execution;
use crate::fault::{Action, Schedule};
use crate::machines::Behaviour;
use crate::retains;
use crate::run::Outcome;
use crate::scenario::{PLACE, Scenario};
use crate::watch;
use crate::world::{ARTIFACTS, CallMade, Estate, LEDGER, Violation};

/// History events that an execution may have:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html>.
const MOST_EVENTS: u32 = 25_000;

/// A notice, as far as it is checked.
struct Told {
    at: Timestamp,
    id: String,
    kind: String,
    release: Option<u32>,
    execution: String,
    description: String,
    /// The whole of it.
    message: Value,
}

/// The contract of what is published.
static CONTRACT: LazyLock<Validator> = LazyLock::new(|| {
    let schema = include_str!("../../../docs/notice.schema.json");
    let schema = serde_json::from_str(schema).unwrap_or_default();
    jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("the contract: {error}"))
});

struct Check<'a> {
    before: &'a Estate,
    after: &'a Estate,
    outcome: &'a Outcome,
    schedule: &'a Schedule,
    survey: Survey,
    place: Place,
    live: Option<Live>,
    told: Vec<Told>,
    found: Vec<Violation>,
}

/// All that is wrong after a schedule.
pub fn violations(before: &Estate, outcome: &Outcome, schedule: &Schedule) -> Vec<Violation> {
    let Ok(place) = PLACE.split_once('/').map_or(Err(()), |(app, environment)| {
        Place::new(app, environment).map_err(drop)
    }) else {
        return Vec::new();
    };
    let after = &outcome.estate;
    let mut check = Check {
        before,
        after,
        outcome,
        schedule,
        survey: after.cloud.survey(),
        live: live(after, &place),
        told: told(before, after),
        place,
        found: outcome.seen.violations.clone(),
    };
    check.every_execution_ends();
    check.manifests_never_change();
    check.refusals_touch_nothing();
    check.outcomes_are_true();
    check.the_newest_upload_goes_first();
    check.what_is_removed_stays_removed();
    check.nobody_is_passed_over();
    if check.is_terminal() {
        check.one_release_has_the_traffic();
        check.nothing_is_left();
        check.what_was_live_is_as_it_was();
        check.the_live_fleet_scales_as_declared();
        check.capacity_is_there();
    }
    check.found
}

/// What is not as the scenario says, in a run without a fault.
pub fn surprise(before: &Estate, outcome: &Outcome, scenario: &Scenario) -> Option<String> {
    let told = told(before, &outcome.estate);
    let executions = &outcome.estate.executions[before.executions.len()..];
    let outcomes: Vec<&str> = executions
        .iter()
        .filter_map(|execution| {
            let of_it = told.iter().filter(|told| told.execution == execution.arn);
            let mut outcomes = of_it.filter(|told| is_outcome(&told.kind));
            outcomes.next().map(|told| told.kind.as_str())
        })
        .collect();
    let mut paths = executions.iter().flat_map(|execution| &execution.path);
    let shifts = paths.any(|state| state == "Bake");
    let (expected, is_to) = (scenario.outcomes, scenario.shifts);
    (outcomes != expected || shifts != is_to).then(|| {
        format!(
            "it comes to {outcomes:?} (the traffic is moved: {shifts}), not to {expected:?} ({is_to})"
        )
    })
}

/// What a schedule comes to: for comparing one with faults to one without. A step that is cut off and run again ends
/// as if it had run once (I10).
pub fn essence(before: &Estate, outcome: &Outcome) -> String {
    let after = &outcome.estate;
    let survey = after.cloud.survey();
    let rules = survey
        .rules
        .iter()
        .map(|rule| format!("{:?}", rule.weights));
    let groups = survey
        .groups
        .iter()
        .map(|group| format!("{} {}", group.name, group.desired));
    let mut outcomes: Vec<String> = told(before, after)
        .into_iter()
        .filter(|told| is_outcome(&told.kind))
        .map(|told| format!("{} {:?}", told.kind, told.release))
        .collect();
    outcomes.sort();
    outcomes.dedup();
    let all: Vec<String> = rules.chain(groups).chain(outcomes).collect();
    all.join("; ")
}

impl Check<'_> {
    fn violated(&mut self, invariant: &'static str, what: String) {
        self.found.push(Violation { invariant, what });
    }

    fn suffers(&self, which: impl Fn(&Action) -> bool) -> bool {
        self.schedule.faults.iter().any(|fault| which(&fault.what))
    }

    /// The executions of this schedule.
    fn executions(&self) -> &[Execution] {
        &self.after.executions[self.before.executions.len()..]
    }

    /// Whether everything has ended that AWS would have let end: an execution that was cut off was recovered, or a
    /// later one has put things in order.
    fn is_terminal(&self) -> bool {
        // Where somebody else has moved the traffic it stays, and with it what it needs.
        if self.suffers(|action| matches!(action, Action::PointBack)) {
            return false;
        }
        let cut_off = |execution: &&Execution| {
            let error = execution
                .failure
                .as_ref()
                .map(|failure| failure.error.as_str());
            let ended_itself = ["Rejected", "RolledBack", "NeedsAttention", "BuildFailed"];
            execution.status != "SUCCEEDED"
                && !error.is_some_and(|error| ended_itself.contains(&error))
        };
        let put_in_order = |index: usize| {
            let is_build = self.executions()[index].is_build();
            let mut later = self.executions().iter().skip(index + 1);
            // The next deploy puts a deploy in order, a build only its own recovery.
            later.any(|execution| {
                let same = execution.is_build() == is_build;
                same && !cut_off(&execution) && (!is_build || execution.is_recovery())
            })
        };
        let mut executions = self.executions().iter().enumerate();
        executions.all(|(index, execution)| !cut_off(&execution) || put_in_order(index))
    }

    /// Whether a person was told that something is left to do; that is only right where AWS refused something for
    /// good.
    fn needs_attention(&self) -> bool {
        let kind = Kind::NeedsAttention.as_str();
        if self.told.iter().any(|told| told.kind == kind) {
            return true;
        }
        // Where the notice could not be sent, the console still says so.
        let unheard = |action: &Action| match action {
            Action::TopicFails(_) | Action::DisableKey(_) => true,
            Action::Outage(service, _) => service == "sns",
            _ => false,
        };
        let says = |execution: &Execution| {
            let failure = execution.failure.as_ref();
            failure.is_some_and(|failure| failure.error == "NeedsAttention")
        };
        self.suffers(unheard) && self.executions().iter().any(says)
    }

    fn may_need_attention(&self) -> bool {
        let for_good = |action: &Action| {
            matches!(
                action,
                Action::Deny
                    | Action::Outage(..)
                    | Action::DeleteLiveGroup
                    | Action::PointBack
                    | Action::TopicFails(_)
            )
        };
        self.suffers(for_good)
    }

    fn every_execution_ends(&mut self) {
        let mut wrong = Vec::new();
        for execution in self.executions() {
            if execution.is_running() {
                wrong.push(format!("{} has no end", execution.who));
            }
            if execution.events >= MOST_EVENTS {
                wrong.push(format!("{} has {} events", execution.who, execution.events));
            }
        }
        for letter in &self.outcome.seen.dead_letters {
            if !self.may_need_attention() {
                wrong.push(format!("an event was given up: {letter}"));
            }
        }
        for what in wrong {
            self.violated("I8", what);
        }
        if self.needs_attention() && !self.may_need_attention() {
            let told = self.told.iter().find(|told| told.kind == "needsAttention");
            let what = told.map_or(String::new(), |told| told.description.clone());
            self.violated("I3", format!("needs attention, for no good reason: {what}"));
        }
    }

    fn manifests_never_change(&mut self) {
        let keys = self
            .after
            .services
            .s3
            .keys(LEDGER, &releases_prefix(&self.place));
        let changed: Vec<String> = keys
            .into_iter()
            .filter(|key| self.after.services.s3.versions(LEDGER, key).len() != 1)
            .filter(|_| !self.suffers(|action| *action == Action::Forge))
            .map(ToOwned::to_owned)
            .collect();
        for key in changed {
            self.violated("I9", format!("{key} was written more than once"));
        }
    }

    fn refusals_touch_nothing(&mut self) {
        let refused = |execution: &&Execution| {
            execution
                .path
                .iter()
                .any(|state| state == "Announce Rejected")
        };
        let wrong: Vec<String> = self
            .executions()
            .iter()
            .filter(refused)
            .filter(|execution| execution.changes > 0)
            .map(|execution| format!("{} was refused, and changed something", execution.who))
            .collect();
        for what in wrong {
            self.violated("I11", what);
        }
    }

    fn outcomes_are_true(&mut self) {
        let mut wrong: Vec<String> = self
            .told
            .iter()
            .filter_map(|told| {
                let error = CONTRACT.validate(&told.message).err()?;
                let at = error.instance_path();
                Some(format!("{} breaks the contract: {at}: {error}", told.id))
            })
            .collect();
        for execution in self.executions().iter().filter(|one| !one.is_recovery()) {
            let of_it = self
                .told
                .iter()
                .filter(|told| told.execution == execution.arn);
            let outcomes: Vec<&Told> = of_it.filter(|told| is_outcome(&told.kind)).collect();
            let ids: BTreeSet<(&str, &str)> = outcomes
                .iter()
                .map(|told| (told.id.as_str(), told.kind.as_str()))
                .collect();
            let who = &execution.who;
            if ids.len() > 1 {
                wrong.push(format!("{who} has more than one outcome: {ids:?}"));
            }
            if ids.is_empty() && self.must_tell(execution) {
                wrong.push(format!("nobody was told what became of {who}"));
            }
            for told in outcomes {
                if let Some(problem) = self.lie(told, execution) {
                    wrong.push(format!("{who} was told as {}: {problem}", told.kind));
                }
            }
        }
        for what in wrong {
            self.violated("I5", what);
        }
    }

    /// No deploy of an upload gives way to one of an upload before it, in whichever order their events came. (Those of
    /// one second are one to S3.)
    fn the_newest_upload_goes_first(&mut self) {
        // What a person starts by hand goes first, whatever its artifact is.
        let upload = |execution: &Execution| {
            if !UploadName::is_one(&execution.name) {
                return None;
            }
            let input: Value = serde_json::from_str(&execution.input).ok()?;
            let id = input["artifact"]["versionId"].as_str()?;
            let mut uploads = self.after.uploads.iter();
            let upload = uploads.find(|upload| upload.version_id == id)?;
            Some(upload.at.as_second())
        };
        let versions = self
            .after
            .services
            .s3
            .versions(LEDGER, &live_key(&self.place));
        let made_live = versions.iter().filter_map(|version| {
            let live: Live = serde_json::from_slice(&version.content.as_ref()?.body).ok()?;
            let mut executions = self.executions().iter();
            upload(executions.find(|one| one.arn == live.execution)?)
        });
        let made_live: Vec<i64> = made_live.collect();
        if !made_live.is_sorted() {
            self.violated(
                "I5",
                "an older upload was put live over a newer one".to_owned(),
            );
            return;
        }
        let Some(live) = &self.live else { return };
        let mut executions = self.executions().iter();
        let Some(made) = executions
            .find(|one| one.arn == live.execution)
            .and_then(upload)
        else {
            return;
        };
        let newest = self.executions().iter().filter_map(upload).max();
        let of_newest = self.executions().iter().map(upload);
        if of_newest.filter(|one| *one == newest).count() > 1 {
            return;
        }
        let gave_way = |execution: &&Execution| {
            let mut told = self.told.iter();
            told.any(|told| told.execution == execution.arn && told.kind == "superseded")
        };
        // To what a person has asked for later it may as well, whatever becomes of that.
        let by_hand = |one: &&Execution| !one.is_recovery() && !UploadName::is_one(&one.name);
        let mut asked = self.executions().iter().filter(by_hand);
        if asked.any(|one| Some(one.started.as_second()) >= newest) {
            return;
        }
        let wrong: Vec<String> = self
            .executions()
            .iter()
            .filter(gave_way)
            .filter(|execution| upload(execution).is_some_and(|newer| newer > made))
            // To an even newer one it may, whatever becomes of that.
            .filter(|execution| upload(execution) == newest)
            // To the recovery of what was cut off it must, should it be redriven.
            .filter(|execution| {
                let mut others = self.executions().iter();
                !others.any(|other| other.puts_in_order(&execution.arn))
            })
            .map(|execution| format!("{} gave way to an older upload", execution.who))
            .collect();
        for what in wrong {
            self.violated("I5", what);
        }
    }

    /// What asks for approval gets traffic only if somebody has approved.
    fn nobody_is_passed_over(&mut self) {
        let prefix = releases_prefix(&self.place);
        let s3 = &self.after.services.s3;
        let manifests = s3.keys(LEDGER, &prefix).into_iter();
        let manifests: Vec<Manifest> = manifests
            .filter_map(|key| serde_json::from_slice(s3.get(LEDGER, key)?).ok())
            .filter(|manifest: &Manifest| manifest.target.approval.seconds().is_some())
            .collect();
        let asks = |one: &&Execution| manifests.iter().any(|of| of.execution == one.arn);
        let shifted = |one: &&Execution| one.path.iter().any(|state| state == "Announce Traffic");
        let executions = self.executions().iter();
        let wrong: Vec<String> = executions
            .filter(asks)
            .filter(shifted)
            .filter(|one| !one.approved)
            .map(|one| format!("{} got traffic, and nobody had approved", one.who))
            .collect();
        for what in wrong {
            self.violated("I13", what);
        }
    }

    fn must_tell(&self, execution: &Execution) -> bool {
        let silenced = |action: &Action| {
            matches!(
                action,
                Action::TopicFails(_) | Action::Deny | Action::LoseStatusEvent
            ) || matches!(action, Action::Outage(service, _) if service == "sns" || service == "s3")
        };
        // With the key disabled, neither the ledger nor the topic can be written.
        let locked_out = |action: &Action| matches!(action, Action::DisableKey(_));
        !execution.is_running()
            && !self.suffers(silenced)
            && !self.suffers(locked_out)
            && !self.needs_attention()
    }

    /// Whether an image was uploaded that this build made.
    fn has_built(&self, execution: &Execution) -> bool {
        let build = BuildId::of(&execution.arn);
        let s3 = &self.after.services.s3;
        let keys = s3.keys(ARTIFACTS, &format!("{}/", self.place)).into_iter();
        let mut versions = keys.flat_map(|key| s3.versions(ARTIFACTS, key));
        versions.any(|version| version.metadata(METADATA_BUILD) == Some(build.as_str()))
    }

    fn lie(&self, told: &Told, execution: &Execution) -> Option<String> {
        if execution.is_build() {
            let is_told = told.kind == build::notice::Kind::Built.as_str();
            let is_built = self.has_built(execution);
            let is_deleted = self.suffers(|action| matches!(action, Action::DeleteArtifact));
            if is_told != is_built && !(is_told && is_deleted) {
                return Some(format!("an image of it was uploaded: {is_built}"));
            }
            return says_nothing(told);
        }
        if execution.is_removal() {
            return self.lie_of_a_removal(told, execution);
        }
        if told.kind == Kind::Succeeded.as_str() {
            let versions = self
                .after
                .services
                .s3
                .versions(LEDGER, &live_key(&self.place));
            let promises: Vec<Live> = versions
                .iter()
                .filter(|version| version.written_at <= told.at)
                .filter_map(|version| serde_json::from_slice(&version.content.as_ref()?.body).ok())
                .filter(|live: &Live| Some(live.release.get()) == told.release)
                .collect();
            if promises.is_empty() {
                return Some("it was not live when this was told".to_owned());
            }
            if told.message["metadata"]["additionalContext"]["returned"] == "true" {
                let mut calls = self.outcome.seen.calls.iter();
                let launched = |call: &CallMade| {
                    call.visit.who == execution.who && call.operation == "CreateAutoScalingGroup"
                };
                if calls.any(launched) {
                    return Some("it has launched a fleet".to_owned());
                }
            }
            // Only where somebody deletes what was live does the traffic stay with what is given up; or where another deploy,
            // or the recovery of another, found it alone under traffic, before it was put in order, and left it the traffic.
            let committed = execution.path.iter().any(|state| state == "Commit");
            let is_last = self.suffers(|action| matches!(action, Action::DeleteLiveGroup))
                || promises.iter().any(|live| {
                    let mut others = self.after.executions.iter();
                    let found = others.find(|other| other.arn == live.execution);
                    live.execution != execution.arn
                        && found.is_some_and(|other| !other.puts_in_order(&execution.arn))
                });
            return (!committed && !is_last).then(|| "it failed before Commit".to_owned());
        }
        let release = told
            .release
            .and_then(|release| ReleaseNumber::try_from(release).ok());
        let fleet = release.map(|release| self.fleet(release));
        let had_traffic = fleet.is_some_and(|fleet| self.outcome.watch.served.contains(&fleet));
        if had_traffic && told.description.contains("never had traffic") {
            return Some("it had traffic".to_owned());
        }
        let live = self.live.as_ref()?;
        let manifest = manifest(self.after, &self.place, live.release)?;
        if manifest.execution == execution.arn {
            return Some(format!("its release {} is live", live.release));
        }
        says_nothing(told)
    }

    fn one_release_has_the_traffic(&mut self) {
        let rules: Vec<_> = self.survey.rules.iter().map(|rule| &rule.weights).collect();
        let expected = self.live.as_ref().map(|live| self.fleet(live.release));
        let right = match (&rules[..], &expected) {
            ([], None) => true,
            // Of a worker, `live.json` is the pointer.
            ([], Some(_)) => self.after.worker.is_some(),
            ([weights], Some(fleet)) => {
                weights.len() == 1 && weights[0].0 == *fleet && weights[0].1 > 0
            }
            _ => false,
        };
        if !right && !self.needs_attention() {
            let what = format!("the rule has {rules:?}, and live.json names {expected:?}");
            self.violated("I2", what);
        }
    }

    fn fleet(&self, release: ReleaseNumber) -> String {
        FleetName::new(&self.place, release).to_string()
    }

    fn live_group(&self) -> Option<&GroupState> {
        let fleet = self.fleet(self.live.as_ref()?.release);
        self.survey.groups.iter().find(|group| group.name == fleet)
    }

    fn nothing_is_left(&mut self) {
        if self.needs_attention() {
            return;
        }
        let fleet = self.live.as_ref().map(|live| self.fleet(live.release));
        let mut left = Vec::new();
        for group in &self.survey.groups {
            if Some(&group.name) != fleet.as_ref() {
                left.push(format!("the group {}", group.name));
            }
        }
        for group in &self.survey.target_groups {
            if Some(&group.name) != fleet.as_ref() {
                left.push(format!("the target group {}", group.name));
            }
        }
        let cloudwatch = &self.after.services.cloudwatch;
        for alarm in cloudwatch.alarms_named(ALARM_PREFIX) {
            let of_live = fleet
                .as_ref()
                .is_some_and(|fleet| alarm.starts_with(&format!("{ALARM_PREFIX}{fleet}/")));
            if !of_live {
                left.push(format!("the alarm {alarm}"));
            }
        }
        if let Some(group) = self.live_group() {
            if !group.suspended.is_empty() {
                left.push(format!("{:?} suspended on {}", group.suspended, group.name));
            }
            if group.tags.contains_key("exuvia:held") {
                left.push(format!("the tag exuvia:held on {}", group.name));
            }
        }
        // Without the permission nobody can delete it; of an execution that is no more it holds up nobody.
        let denied = self.suffers(|action| matches!(action, Action::Deny));
        for key in [lock_key(&self.place), waiting_key(&self.place)] {
            let found = self.after.services.s3.get(LEDGER, &key);
            if !denied && found.is_some() && !self.announces_a_stopped_one(&key) {
                left.push(key);
            }
        }
        if !denied && self.keeps_nothing_any_more() {
            left.push(retains::key());
        }
        if !left.is_empty() {
            self.violated("I3", format!("left over: {}", left.join(", ")));
        }
    }

    /// Whether something is noted as kept by an execution that ended as it should. (Of one that was cut off, and that nothing
    /// has put in order but the next deploy, the note may stay: it is of no use without a rule that names what it names.)
    fn keeps_nothing_any_more(&self) -> bool {
        let noted = retains::retained(self.after);
        noted.is_some_and(|noted| {
            let mut executions = self.after.executions.iter();
            let by = executions.find(|one| one.arn == noted.execution);
            by.is_none_or(|by| by.status == "SUCCEEDED")
        })
    }

    /// Whether that is the note of a deploy that waited and was stopped. A function that outlives its execution may write it
    /// when all else is in order already; nobody heeds it, and the next deploy takes it away.
    fn announces_a_stopped_one(&self, key: &str) -> bool {
        let found = self.after.services.s3.get(LEDGER, key);
        let record = found.and_then(|object| serde_json::from_slice::<Record>(object).ok());
        let stopped = |record: Record| {
            let mut executions = self.after.executions.iter();
            executions.any(|execution| {
                execution.arn == record.claim.execution
                    && ["ABORTED", "TIMED_OUT"].contains(&execution.status)
            })
        };
        *key == waiting_key(&self.place) && record.is_some_and(stopped)
    }

    /// After a rollback the fleet that was live is as it was; of what others did to it nothing is undone.
    fn what_was_live_is_as_it_was(&mut self) {
        let meddled = |action: &Action| {
            matches!(
                action,
                Action::Scale(_)
                    | Action::ScheduleScaleIn(_)
                    | Action::DeleteLiveGroup
                    | Action::NoCapacity
            )
        };
        if self.suffers(meddled) || self.needs_attention() {
            return;
        }
        let Some(live) = live(self.before, &self.place) else {
            return;
        };
        if self.live.as_ref().map(|now| now.release) != Some(live.release) {
            return;
        }
        let name = self.fleet(live.release);
        let of = |survey: &Survey| {
            let mut group = survey
                .groups
                .iter()
                .find(|group| group.name == name)
                .cloned()?;
            group.instances.clear();
            let manifest = manifest(self.after, &self.place, live.release)?;
            if !manifest.target.scaling.scheduled_actions.is_empty() {
                // Those may have come due; `the_live_fleet_scales_as_declared` looks at these.
                (group.min, group.max, group.desired) = (0, 0, 0);
            }
            let mut rules = survey.rules.clone();
            if self.suffers(|action| matches!(action, Action::DeleteRule)) {
                // What takes its place is another.
                for rule in &mut rules {
                    rule.arn.clear();
                }
            }
            Some((group, rules))
        };
        let (was, is) = (of(&self.before.cloud.survey()), of(&self.survey));
        if was != is {
            self.violated("I6", format!("it was {was:?} and is {is:?}"));
        }
    }

    /// What a release's target declares is on its group once it is live, and the sizes are what its scheduled actions have
    /// made of them, whether or not some of them came due while they were held.
    fn the_live_fleet_scales_as_declared(&mut self) {
        let manifest = self.live.as_ref().and_then(|live| {
            let manifest = manifest(self.after, &self.place, live.release)?;
            (!manifest.target.scaling.is_empty()).then_some(manifest)
        });
        let (Some(manifest), Some(group)) = (manifest, self.live_group().cloned()) else {
            return;
        };
        // What Roll Back leaves live, as the old one is gone, was not equipped by Commit.
        let is_last = self.suffers(|action| matches!(action, Action::DeleteLiveGroup));
        if self.needs_attention() || is_last {
            return;
        }
        let scaling = &manifest.target.scaling;
        let (policies, actions) = declared(scaling);
        let has = |declared: &[String], there: &[String]| {
            declared
                .iter()
                .all(|name| there.iter().any(|other| other == name))
        };
        if !has(&policies, &group.policies) || !has(&actions, &group.scheduled_actions) {
            let (policies, actions) = (&group.policies, &group.scheduled_actions);
            let what = format!("{} has {policies:?} and {actions:?}", group.name);
            self.violated("I6", what);
        }
        let watched = self.after.services.cloudwatch.alarms_named(ALARM_PREFIX);
        let declared = scaling.policies.iter().flat_map(Policy::sides);
        let unwatched: Vec<String> = declared
            .map(|side| format!("{ALARM_PREFIX}{}/{}", group.name, side.name))
            .filter(|alarm| !watched.contains(&alarm.as_str()))
            .collect();
        if !unwatched.is_empty() {
            self.violated("I6", format!("there is no alarm {unwatched:?}"));
        }
        // Those of a quarter of an hour later, if they are larger, may have come early.
        let limits = manifest.target.limits(self.after.now);
        let soon = self.after.now + SignedDuration::from_mins(15);
        let larger = manifest.target.limits(soon);
        let larger = [limits.min.max(larger.min), limits.max.max(larger.max)];
        let sizes = [group.min, group.max].map(|size| u32::try_from(size).unwrap_or(0));
        if sizes != [limits.min, limits.max] && sizes != larger {
            let what = format!(
                "{} has {sizes:?} instances, not {} to {}, as its scheduled actions say",
                group.name, limits.min, limits.max
            );
            self.violated("I6", what);
        }
    }

    fn capacity_is_there(&mut self) {
        let hopeless = |action: &Action| {
            matches!(
                action,
                Action::NoCapacity | Action::DeleteLiveGroup | Action::DisableKey(_)
            )
        };
        if self.suffers(hopeless) || self.live_is_unsound() {
            return;
        }
        let healthy = watch::healthy(self.after);
        if healthy < self.outcome.watch.floor {
            let what = format!(
                "at the end {healthy} healthy instances get requests, of {}",
                self.outcome.watch.floor
            );
            self.violated("I1", what);
        }
    }

    fn live_is_unsound(&self) -> bool {
        let Some(live) = &self.live else { return false };
        let Some(manifest) = manifest(self.after, &self.place, live.release) else {
            return true;
        };
        let version = &manifest.artifact.version_id;
        let mut uploads = self.after.uploads.iter();
        let upload = uploads.find(|upload| upload.version_id == *version);
        let behaviour = upload.and_then(|upload| Behaviour::named(&upload.behaviour));
        let is_gone = self.suffers(|action| matches!(action, Action::DeleteArtifact));
        is_gone || !behaviour.is_some_and(Behaviour::is_sound)
    }
}

/// The names of the policies and of the scheduled actions.
fn declared(scaling: &Scaling) -> (Vec<String>, Vec<String>) {
    let policies = scaling.policies.iter().flat_map(Policy::names);
    let actions = scaling.scheduled_actions.iter();
    let actions = actions.map(|action| action.name.clone());
    (policies.collect(), actions.collect())
}

fn says_nothing(told: &Told) -> Option<String> {
    // The links come last.
    let (bare, _) = told
        .description
        .split_once('<')
        .unwrap_or((&told.description, ""));
    let bare = bare.trim();
    let says_nothing = bare.is_empty() || bare.contains("null") || bare.contains("undefined");
    says_nothing.then(|| format!("it gives no reason: {bare:?}"))
}

fn is_outcome(kind: &str) -> bool {
    let on_its_way = ["started", "waiting", "progressing", "waitingForApproval"];
    kind != "needsAttention" && !on_its_way.contains(&kind)
}

fn live(estate: &Estate, place: &Place) -> Option<Live> {
    let record = estate.services.s3.get(LEDGER, &live_key(place))?;
    serde_json::from_slice(record).ok()
}

fn manifest(estate: &Estate, place: &Place, release: ReleaseNumber) -> Option<Manifest> {
    let key = exuvia_core::manifest::manifest_key(place, release);
    serde_json::from_slice(estate.services.s3.get(LEDGER, &key)?).ok()
}

/// What was published since.
fn told(before: &Estate, after: &Estate) -> Vec<Told> {
    let published = &after.services.sns.published[before.services.sns.published.len()..];
    published
        .iter()
        .map(|published| {
            let message: Value = serde_json::from_str(&published.message).unwrap_or_default();
            let context = &message["metadata"]["additionalContext"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            Told {
                at: published.at,
                id: text(&message["id"]),
                kind: text(&context["kind"]),
                release: text(&context["release"]).parse().ok(),
                execution: text(&context["execution"]),
                description: text(&message["content"]["description"]),
                message,
            }
        })
        .collect()
}
