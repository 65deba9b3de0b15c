//! One deploy, from the upload to its end, as the console would show it.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};
use jiff::Timestamp;

use super::Stage;
use super::fleet::{Fleet, Fleets};
use crate::ui::{Bar, Tone};

/// In real time, between two looks.
const PAUSE: Duration = Duration::from_millis(150);
/// In real time: an upload starts an execution within moments.
const STARTS_WITHIN: Duration = Duration::from_secs(20);
/// In real time, for a whole deploy.
const ENDS_WITHIN: Duration = Duration::from_mins(3);
/// So wide is the widest name of a state ("Announce Rollback").
const NAME_WIDTH: usize = 18;

/// How a deploy ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    /// The last state, for instance `Succeeded` or `Rolled Back`.
    pub(crate) state: String,
    /// Why, where the execution failed.
    pub(crate) cause: Option<String>,
    /// In cloud time.
    pub(crate) took: Duration,
}

/// Uploads the image and shows the deploy until its execution has ended.
pub(crate) async fn deploy(stage: &mut Stage<'_>, version: &str, image: &Path) -> Result<Ending> {
    let key = format!(
        "{}/{}/{version}.tar.gz",
        stage.app.name, stage.app.environment
    );
    let before = executions(stage).await?;
    let put = stage
        .s3
        .put_object()
        .bucket(&stage.pipeline.artifacts_bucket)
        .key(&key);
    put.body(ByteStream::from_path(image).await?)
        .send()
        .await
        .with_context(|| format!("cannot upload {key}"))?;
    let execution = started(stage, &before)
        .await
        .with_context(|| format!("the upload of {key}"))?;

    let mut show = Show {
        bar: stage.ui.bar(),
        announced: HashSet::new(),
        fleets: stage.observer.fleets().await?,
        now: 0,
    };
    let began = Instant::now();
    loop {
        let now = stage.state.now();
        // First whether it has ended, then how far it got: so the last look sees the last state.
        let ended = stage
            .sfn
            .describe_execution()
            .execution_arn(&execution)
            .send()
            .await?;
        let history = history(stage, &execution).await?;
        let fleets = stage.observer.fleets().await?;
        show.look(stage, now, &history, fleets)?;
        if *ended.status() != ExecutionStatus::Running {
            return Ok(Ending {
                cause: ended.cause().map(str::to_owned),
                ..ending(&history)
            });
        }
        if began.elapsed() > ENDS_WITHIN {
            bail!(
                "the deploy of {version} has not ended after {} s: {execution}",
                ENDS_WITHIN.as_secs()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn executions(stage: &Stage<'_>) -> Result<HashSet<String>> {
    let listed = stage
        .sfn
        .list_executions()
        .state_machine_arn(&stage.pipeline.state_machine_arn)
        .send()
        .await;
    let listed = listed.context("cannot list the executions")?;
    Ok(listed
        .executions()
        .iter()
        .map(|execution| execution.execution_arn().to_owned())
        .collect())
}

async fn started(stage: &Stage<'_>, before: &HashSet<String>) -> Result<String> {
    let began = Instant::now();
    while began.elapsed() < STARTS_WITHIN {
        if let Some(new) = executions(stage).await?.difference(before).next() {
            return Ok(new.clone());
        }
        tokio::time::sleep(PAUSE).await;
    }
    bail!(
        "has started no execution in {} s: see ministack.log beside the state",
        STARTS_WITHIN.as_secs()
    )
}

async fn history(stage: &Stage<'_>, execution: &str) -> Result<Vec<HistoryEvent>> {
    let mut events = Vec::new();
    let mut token = None;
    loop {
        let page = stage
            .sfn
            .get_execution_history()
            .execution_arn(execution)
            .set_next_token(token)
            .send()
            .await;
        let page = page.context("cannot read the execution's history")?;
        events.extend_from_slice(page.events());
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            return Ok(events);
        }
    }
}

/// Each state that was entered, and when, in cloud seconds since the start; without the choices in between.
fn entered(history: &[HistoryEvent]) -> Vec<(&str, u64)> {
    let Some(start) = history.first().map(|event| event.timestamp().secs()) else {
        return Vec::new();
    };
    let since = |event: &HistoryEvent| u64::try_from(event.timestamp().secs() - start).unwrap_or(0);
    history
        .iter()
        .filter(|event| *event.r#type() != HistoryEventType::ChoiceStateEntered)
        .filter_map(|event| Some((event.state_entered_event_details()?.name(), since(event))))
        .collect()
}

fn ending(history: &[HistoryEvent]) -> Ending {
    let state = entered(history)
        .last()
        .map(|(name, _)| (*name).to_owned())
        .unwrap_or_default();
    let seconds = match (history.first(), history.last()) {
        (Some(first), Some(last)) => last.timestamp().secs() - first.timestamp().secs(),
        _ => 0,
    };
    Ending {
        state,
        cause: None,
        took: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
    }
}

/// What has been shown of a deploy so far.
struct Show {
    bar: Bar,
    announced: HashSet<String>,
    fleets: Fleets,
    /// Cloud seconds since the start.
    now: u64,
}

impl Show {
    fn look(
        &mut self,
        stage: &mut Stage<'_>,
        now: Timestamp,
        history: &[HistoryEvent],
        fleets: Fleets,
    ) -> Result<()> {
        let states = entered(history);
        for &(name, at) in &states {
            // A loop (look, wait, look again) is worth one line; the moving line shows it going round.
            if self.announced.insert(name.to_owned()) {
                let time = stage.ui.paint(Tone::Dim, &clock(at));
                stage.ui.line(format!("    {time}  {name}"));
            }
        }
        if let Some(start) = history.first() {
            let now = now.as_second() - start.timestamp().secs();
            self.now = u64::try_from(now).unwrap_or(0);
        }
        for change in changes(&self.fleets, &fleets) {
            let time = stage.ui.paint(Tone::Dim, &clock(self.now));
            let change = stage.ui.paint(Tone::Note, &change);
            stage.ui.line(format!("    {time}    {change}"));
        }
        self.fleets = fleets;
        stage.print_notices()?;

        let at = states.last().map_or("", |(name, _)| name);
        let visits = stage.visitors.visits();
        let failed = stage.ui.paint(
            if visits.failed == 0 {
                Tone::Dim
            } else {
                Tone::Bad
            },
            &format!("{} failed", visits.failed),
        );
        self.bar.say(format!(
            "{}  {:NAME_WIDTH$}{}   {} answers, {failed}",
            clock(self.now),
            stage.ui.paint(Tone::Bold, &format!("{at:NAME_WIDTH$}")),
            picture(&self.fleets),
            visits.answered,
        ));
        Ok(())
    }
}

/// `1:05` for 65 s.
pub(crate) fn clock(seconds: u64) -> String {
    format!("{:>2}:{:02}", seconds / 60, seconds % 60)
}

/// What changed from one look to the next, in words.
fn changes(before: &Fleets, after: &Fleets) -> Vec<String> {
    let none = Fleet::default();
    let mut changes = Vec::new();
    for (release, now) in after {
        let was = before.get(release).unwrap_or(&none);
        // Without a rule that names it, a fleet is being shed, and its health is nobody's concern.
        if now.weight.is_some() && (was.healthy, was.desired) != (now.healthy, now.desired) {
            changes.push(format!(
                "fleet {release:06}  {}/{} healthy",
                now.healthy, now.desired
            ));
        }
        if was.draining != now.draining && now.draining > 0 {
            changes.push(format!("fleet {release:06}  {} draining", now.draining));
        }
    }
    if weights(before) != weights(after) {
        changes.push(format!("traffic        {}", weights(after).join(", ")));
    }
    for release in before.keys().filter(|release| !after.contains_key(release)) {
        changes.push(format!("fleet {release:06}  gone"));
    }
    changes
}

fn weights(fleets: &Fleets) -> Vec<String> {
    let total: i32 = fleets.values().filter_map(|fleet| fleet.weight).sum();
    let percent = |weight: i32| if total == 0 { 0 } else { weight * 100 / total };
    fleets
        .iter()
        .filter_map(|(release, fleet)| Some(format!("{release:06} {}%", percent(fleet.weight?))))
        .collect()
}

/// All fleets in one line: `000001 ●● 100%  000002 ●○ 0%`.
fn picture(fleets: &Fleets) -> String {
    let total: i32 = fleets.values().filter_map(|fleet| fleet.weight).sum();
    let one = |(release, fleet): (&u64, &Fleet)| {
        let dots = "●".repeat(fleet.healthy)
            + &"○".repeat(fleet.desired.saturating_sub(fleet.healthy))
            + &"◌".repeat(fleet.draining);
        let weight = match fleet.weight {
            Some(weight) if total > 0 => format!(" {}%", weight * 100 / total),
            _ => String::new(),
        };
        format!("{release:06} {dots}{weight}")
    };
    fleets.iter().map(one).collect::<Vec<_>>().join("   ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(healthy: usize, desired: usize, draining: usize, weight: Option<i32>) -> Fleet {
        Fleet {
            healthy,
            desired,
            draining,
            weight,
        }
    }

    #[test]
    fn what_changed_is_said_in_words() {
        let v1 = fleet(2, 2, 0, Some(100));
        for (before, after, said) in [
            (
                vec![],
                vec![(1, fleet(0, 2, 0, Some(0)))],
                vec!["fleet 000001  0/2 healthy", "traffic        000001 0%"],
            ),
            (
                vec![(1, fleet(0, 2, 0, Some(0)))],
                vec![(1, fleet(1, 2, 0, Some(0)))],
                vec!["fleet 000001  1/2 healthy"],
            ),
            (
                vec![(1, v1.clone()), (2, fleet(2, 2, 0, Some(0)))],
                vec![(1, fleet(2, 2, 0, Some(0))), (2, fleet(2, 2, 0, Some(100)))],
                vec!["traffic        000001 0%, 000002 100%"],
            ),
            // No rule names it any more: it is being shed.
            (
                vec![(1, fleet(2, 2, 0, None))],
                vec![(1, fleet(0, 0, 2, None))],
                vec!["fleet 000001  2 draining"],
            ),
            (
                vec![(1, v1.clone()), (2, fleet(0, 0, 0, None))],
                vec![(1, v1.clone())],
                vec!["fleet 000002  gone"],
            ),
            (vec![(1, v1.clone())], vec![(1, v1)], vec![]),
        ] {
            assert_eq!(
                changes(&before.into_iter().collect(), &after.into_iter().collect()),
                said
            );
        }
    }

    #[test]
    fn a_fleet_is_a_row_of_dots() {
        let fleets = [(1, fleet(2, 2, 0, Some(100))), (2, fleet(1, 2, 1, Some(0)))];
        assert_eq!(
            picture(&fleets.into_iter().collect()),
            "000001 ●● 100%   000002 ●○◌ 0%"
        );
    }
}
