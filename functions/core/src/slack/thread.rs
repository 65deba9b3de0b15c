//! What is kept of an execution's conversation in Slack, and what a notice changes in it.
//!
//! Notices come at least once and in any order: what is told is told once, and what is shown never goes back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::answer::Posted;
use super::notice::{Kind, Notice};
use crate::name::Place;

/// In the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    /// The execution's ARN.
    pub execution: String,
    /// The message of the whole execution; absent until it was posted, and with a webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Posted>,
    /// What the message shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<Notice>,
    /// The ids of the notices that are told.
    #[serde(default)]
    pub told: Vec<String>,
    /// Who talks to Slack about it just now. Whoever finds this waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub busy: Option<Busy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Busy {
    /// By then its function has ended, whatever came of it.
    pub until: Timestamp,
}

/// What is to be done in Slack about a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What the message is to show from now on.
    pub show: Option<Notice>,
    /// Whether the notice's text goes into the thread.
    pub reply: bool,
    /// Whether the channel sees the reply as well.
    pub broadcast: bool,
}

impl Plan {
    pub fn is_nothing(&self) -> bool {
        self.show.is_none() && !self.reply
    }
}

/// So many ids are kept. What is still under way after so many notices is not told again either, as it shows nothing newer.
const MOST_TOLD: usize = 200;

/// The key of an execution's conversation in the ledger.
pub fn key(place: Option<&Place>, execution_name: &str) -> String {
    match place {
        Some(place) => format!("{place}/slack/{execution_name}.json"),
        // Of an input that named no app and environment. `-` is no environment's name.
        None => format!("refused/-/slack/{execution_name}.json"),
    }
}

impl Thread {
    pub fn new(execution: &str) -> Self {
        Self {
            execution: execution.to_owned(),
            ..Self::default()
        }
    }

    pub fn has_told(&self, notice: &Notice) -> bool {
        self.told.contains(&notice.id)
    }

    /// What a bot does about a notice: one message, which shows the newest, and a thread with the texts of how it ended.
    pub fn plan(&self, notice: &Notice) -> Plan {
        if self.has_told(notice) {
            return Plan::default();
        }
        let shown = self.shown.as_ref();
        let show = shown.is_none_or(|shown| rank(notice) > rank(shown));
        let reply = notice.kind.is_for_people();
        Plan {
            show: show.then(|| notice.clone().after(shown)),
            reply,
            // An update makes nothing unread: what went wrong after people had looked away is shown to them.
            broadcast: reply
                && notice.kind.is_bad()
                && shown.is_some_and(|shown| shown.id != notice.id),
        }
    }

    /// Whether a webhook, whose messages cannot be changed, tells of a notice.
    pub fn tells_alone(&self, notice: &Notice) -> bool {
        notice.kind.is_for_people() && !self.has_told(notice)
    }

    pub fn note_told(&mut self, notice: &Notice) {
        if !self.has_told(notice) {
            self.told.push(notice.id.clone());
        }
        let surplus = self.told.len().saturating_sub(MOST_TOLD);
        self.told.drain(..surplus);
    }

    /// Until when somebody else is at it.
    pub fn is_busy(&self, now: Timestamp) -> bool {
        self.busy.as_ref().is_some_and(|busy| now < busy.until)
    }
}

/// Of two notices the one with the higher rank is shown: how an execution ended is, whatever comes late of its way there,
/// and whatever a clock says.
fn rank(notice: &Notice) -> (u8, Timestamp, Kind) {
    (notice.kind.stage(), notice.at, notice.kind)
}

impl Notice {
    /// With what was known before and is still so.
    fn after(mut self, before: Option<&Notice>) -> Self {
        let Some(before) = before else { return self };
        let (facts, known) = (&mut self.facts, &before.facts);
        let keep = |fact: &mut Option<String>, known: &Option<String>| {
            if fact.is_none() {
                fact.clone_from(known);
            }
        };
        keep(&mut facts.by, &known.by);
        keep(&mut facts.execution_link, &known.execution_link);
        keep(&mut facts.report_link, &known.report_link);
        keep(&mut facts.release, &known.release);
        keep(&mut facts.version, &known.version);
        facts.since = facts.since.or(known.since);
        // Not of what has no fleet any more.
        let goes_on =
            self.kind.stage() == 0 || matches!(self.kind, Kind::Succeeded | Kind::NeedsAttention);
        if goes_on {
            if facts.healthy.is_none() || facts.wanted.is_none() {
                (facts.healthy, facts.wanted) = (known.healthy, known.wanted);
            }
            facts.traffic = facts.traffic.or(known.traffic);
        }
        self.place = self.place.or_else(|| before.place.clone());
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::notice::fixtures::{message, notice, with};
    use super::*;

    fn told(kind: &str, seconds: i64) -> Notice {
        notice(&message(kind, seconds))
    }

    /// A bot that has told these, in this order; what each did.
    fn conversation(notices: &[(&str, i64)]) -> (Thread, Vec<&'static str>) {
        let mut thread = Thread::new("e");
        let mut done = Vec::new();
        for (kind, seconds) in notices {
            let notice = told(kind, *seconds);
            let plan = thread.plan(&notice);
            done.push(match (&plan.show, plan.reply, plan.broadcast) {
                (None, false, _) => "-",
                (Some(_), false, _) if thread.message.is_none() => "post",
                (Some(_), false, _) => "update",
                (Some(_), true, false) if thread.message.is_none() => "post+reply",
                (Some(_), true, false) => "update+reply",
                (Some(_), true, true) => "update+broadcast",
                (None, true, false) => "reply",
                (None, true, true) => "broadcast",
            });
            if let Some(shown) = plan.show {
                thread.message = Some(Posted {
                    channel: "C".into(),
                    ts: "1".into(),
                });
                thread.shown = Some(shown);
            }
            thread.note_told(&notice);
        }
        (thread, done)
    }

    #[test]
    fn what_each_notice_does() {
        for (notices, expected) in [
            (
                &[
                    ("started", 0),
                    ("progressing", 10),
                    ("progressing", 20),
                    ("succeeded", 30),
                ][..],
                &["post", "update", "update", "update+reply"][..],
            ),
            (
                &[("started", 0), ("rolledBack", 30)],
                &["post", "update+broadcast"],
            ),
            // Again, and in another order.
            (
                &[
                    ("started", 0),
                    ("started", 0),
                    ("succeeded", 9),
                    ("succeeded", 9),
                ],
                &["post", "-", "update+reply", "-"],
            ),
            (
                &[("succeeded", 30), ("started", 0), ("progressing", 10)],
                &["post+reply", "-", "-"],
            ),
            (
                &[("progressing", 20), ("progressing", 10), ("started", 0)],
                &["post", "-", "-"],
            ),
            (
                &[("rolledBack", 30), ("needsAttention", 40)],
                &["post+reply", "update+broadcast"],
            ),
            (
                &[("needsAttention", 40), ("rolledBack", 30)],
                &["post+reply", "broadcast"],
            ),
            // Two of one moment.
            (&[("waiting", 5), ("started", 5)], &["post", "-"]),
            (&[("started", 5), ("waiting", 5)], &["post", "update"]),
            // A clock that goes back cannot undo an outcome, nor hold one up.
            (
                &[("progressing", 50), ("succeeded", 20), ("progressing", 60)],
                &["post", "update+reply", "-"],
            ),
            (&[("rejected", 1)], &["post+reply"]),
            // Somebody has to answer.
            (
                &[
                    ("started", 0),
                    ("waitingForApproval", 10),
                    ("progressing", 20),
                ],
                &["post", "update+broadcast", "update"],
            ),
        ] {
            assert_eq!(conversation(notices).1, expected, "{notices:?}");
        }
    }

    /// All orders, by Heap's algorithm.
    fn orders<T: Copy>(items: &mut Vec<T>, count: usize, found: &mut Vec<Vec<T>>) {
        if count <= 1 {
            found.push(items.clone());
            return;
        }
        for index in 0..count {
            orders(items, count - 1, found);
            let other = if count.is_multiple_of(2) { index } else { 0 };
            items.swap(other, count - 1);
        }
    }

    #[test]
    fn whatever_the_order_the_same_is_shown_in_the_end() {
        let all = [
            ("started", 0),
            ("waiting", 5),
            ("progressing", 10),
            ("rolledBack", 30),
            ("needsAttention", 40),
        ];
        let mut found = Vec::new();
        orders(&mut all.to_vec(), all.len(), &mut found);
        assert_eq!(found.len(), 120);
        for order in found {
            let (thread, done) = conversation(&order);
            assert_eq!(thread.shown.unwrap().id, "needsAttention-40", "{order:?}");
            let replies = done
                .iter()
                .filter(|done| done.contains("reply") || done.contains("broadcast"));
            assert_eq!(replies.count(), 2, "{order:?}: {done:?}");
        }
    }

    #[test]
    fn what_was_known_stays_for_as_long_as_it_is_so() {
        let mut thread = Thread::new("e");
        thread.shown = Some(notice(&with(
            message("progressing", 10),
            &json!({"healthy": "1", "wanted": "2", "traffic": "20", "reportLink": "https://r"}),
        )));
        let shown = |kind: &str| {
            let later = notice(&with(
                message(kind, 20),
                &json!({"by": null, "since": null, "release": null}),
            ));
            thread.plan(&later).show.unwrap().facts
        };
        let facts = shown("succeeded");
        assert_eq!(
            (facts.healthy, facts.wanted, facts.traffic),
            (Some(1), Some(2), Some(20))
        );
        assert_eq!(
            (facts.by.as_deref(), facts.release.as_deref()),
            (Some("ci"), Some("43"))
        );
        assert!(facts.since.is_some() && facts.report_link.is_some());
        let facts = shown("rolledBack");
        assert_eq!(
            (facts.healthy, facts.wanted, facts.traffic),
            (None, None, None)
        );
    }

    #[test]
    fn a_webhook_tells_how_it_ended_and_nothing_else() {
        let mut thread = Thread::new("e");
        for (kind, tells) in [
            ("started", false),
            ("progressing", false),
            ("waitingForApproval", true),
            ("succeeded", true),
            ("needsAttention", true),
        ] {
            assert_eq!(thread.tells_alone(&told(kind, 1)), tells, "{kind}");
            thread.note_told(&told(kind, 1));
            assert!(!thread.tells_alone(&told(kind, 1)), "{kind}");
        }
    }

    #[test]
    fn not_all_ids_are_kept_for_ever() {
        let mut thread = Thread::new("e");
        for second in 0..300 {
            thread.note_told(&told("progressing", second));
        }
        assert_eq!(thread.told.len(), MOST_TOLD);
        assert_eq!(thread.told.last().unwrap(), "progressing-299");
    }

    #[test]
    fn where_it_is_kept() {
        let place = Place::new("hello", "qa").unwrap();
        assert_eq!(key(Some(&place), "e1"), "hello/qa/slack/e1.json");
        assert_eq!(key(None, "e1"), "refused/-/slack/e1.json");
    }
}
