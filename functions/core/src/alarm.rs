//! Alarms of `CloudWatch` that a target names: whether one has gone into ALARM since the new release has traffic.

use jiff::Timestamp;

/// The most that a target may name: one page of `DescribeAlarms`, and more than anybody looks at.
pub const MOST_ALARMS: usize = 20;

/// An alarm, of a metric or of other alarms, as `CloudWatch` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub name: String,
    pub state: State,
    /// `CloudWatch`'s own words for why it is in that state.
    pub reason: String,
    /// When its state last became another (`StateTransitionedTimestamp`; `StateUpdatedTimestamp` moves without that, too):
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricAlarm.html>.
    pub since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ok,
    Alarm,
    /// Says nothing: a metric that is not reported where there is nothing to report, say.
    InsufficientData,
}

/// What the alarms say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why the traffic is to go back, if it is.
    pub failed: Option<String>,
    /// What did not count, and why.
    pub notes: Vec<String>,
}

/// Judges the alarms that are named by what was found. One that went into ALARM when the traffic had begun to move is taken
/// for the new release's doing. One that has been in ALARM since before is not: it counts again once it has left that state.
pub fn judge(named: &[String], found: &[Alarm], shifted_at: Timestamp) -> Verdict {
    let mut verdict = Verdict::default();
    for name in named {
        let Some(alarm) = found.iter().find(|alarm| alarm.name == *name) else {
            let note = format!("alarm {name} does not exist any more, and does not count");
            verdict.notes.push(note);
            continue;
        };
        if alarm.state != State::Alarm {
            continue;
        }
        if alarm.since.is_some_and(|since| since >= shifted_at) {
            let why = format!(
                "alarm {name} went into ALARM after the traffic began to move: {}",
                clean(&alarm.reason)
            );
            verdict.failed.get_or_insert(why);
        } else {
            let note = format!(
                "alarm {name} was in ALARM before the traffic moved, and does not count until it has left that state"
            );
            verdict.notes.push(note);
        }
    }
    verdict
}

/// The first name that no alarm has, as a field of the target and what is wrong with it.
pub fn missing(named: &[String], found: &[Alarm]) -> Option<(String, String)> {
    let exists = |name: &String| found.iter().any(|alarm| alarm.name == *name);
    let index = named.iter().position(|name| !exists(name))?;
    let problem = format!(
        "is {:?}, and there is no alarm of that name in this account and region; create it first, or take it out",
        named[index]
    );
    Some((format!("alarms[{index}]"), problem))
}

/// What is wrong with a list of names in itself.
pub(crate) fn problem(named: &[String]) -> Option<(String, String)> {
    if named.len() > MOST_ALARMS {
        let problem = format!(
            "has {} alarms; name at most {MOST_ALARMS}: a composite alarm stands for many",
            named.len()
        );
        return Some(("alarms".to_owned(), problem));
    }
    named.iter().enumerate().find_map(|(index, name)| {
        let problem = if name.starts_with("arn:") {
            format!("is {name:?}; use the alarm's name, which is the part after \":alarm:\"")
        } else if name.is_empty() || name.chars().count() > 255 {
            format!(
                "has {} characters; an alarm's name has 1 to 255",
                name.chars().count()
            )
        } else if named[..index].contains(name) {
            format!("is {name:?}, which is named before")
        } else {
            return None;
        };
        Some((format!("alarms[{index}]"), problem))
    })
}

/// What `CloudWatch`, or whoever set an alarm's state, says is not ours: control characters go, and it is cut.
fn clean(reason: &str) -> String {
    let clean: String = reason
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(400)
        .collect();
    if clean.trim().is_empty() {
        return "it gives no reason".to_owned();
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn alarm(name: &str, state: State, since: Option<i64>) -> Alarm {
        Alarm {
            name: name.to_owned(),
            state,
            reason: "Threshold Crossed: 3 datapoints\nwere greater than 1".to_owned(),
            since: since.map(at),
        }
    }

    #[test]
    fn which_alarms_count() {
        for (state, since, fails, notes, why) in [
            (State::Ok, Some(10), false, 0, "it is well"),
            (
                State::Alarm,
                Some(10),
                true,
                0,
                "it fires under the traffic",
            ),
            (State::Alarm, Some(0), true, 0, "at the very moment"),
            (State::Alarm, Some(-1), false, 1, "it was in ALARM before"),
            (State::Alarm, None, false, 1, "nobody knows since when"),
            (
                State::InsufficientData,
                Some(10),
                false,
                0,
                "it does not know",
            ),
        ] {
            let named = ["x".to_owned()];
            let verdict = judge(&named, &[alarm("x", state, since)], at(0));
            assert_eq!(verdict.failed.is_some(), fails, "{why}: {verdict:?}");
            assert_eq!(verdict.notes.len(), notes, "{why}: {verdict:?}");
        }
    }

    #[test]
    fn the_first_that_counts_is_the_reason() {
        let named = ["gone", "old", "b", "c"].map(str::to_owned);
        let found = [
            alarm("c", State::Alarm, Some(5)),
            alarm("b", State::Alarm, Some(6)),
            alarm("old", State::Alarm, Some(-5)),
            alarm("another", State::Alarm, Some(5)),
        ];
        let verdict = judge(&named, &found, at(0));
        assert_eq!(
            verdict.failed.unwrap(),
            "alarm b went into ALARM after the traffic began to move: Threshold Crossed: 3 datapoints were greater than 1"
        );
        assert_eq!(
            verdict.notes,
            [
                "alarm gone does not exist any more, and does not count",
                "alarm old was in ALARM before the traffic moved, and does not count until it has left that state"
            ]
        );
    }

    #[test]
    fn names_that_are_no_alarms() {
        let named = ["a", "b"].map(str::to_owned);
        let found = [alarm("b", State::Ok, None), alarm("a", State::Ok, None)];
        assert_eq!(missing(&named, &found), None);
        let (field, wrong) = missing(&named, &found[1..]).unwrap();
        assert_eq!(field, "alarms[1]");
        assert!(
            wrong.starts_with("is \"b\", and there is no alarm of that name"),
            "{wrong}"
        );

        let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(problem(&many(MOST_ALARMS)), None);
        for (names, field, says) in [
            (many(21), "alarms", "has 21 alarms; name at most 20"),
            (
                vec!["x".to_owned(), String::new()],
                "alarms[1]",
                "has 0 characters",
            ),
            (vec!["x".repeat(256)], "alarms[0]", "has 256 characters"),
            (
                vec!["x".to_owned(), "x".to_owned()],
                "alarms[1]",
                "is \"x\", which is named before",
            ),
            (
                vec!["arn:aws:cloudwatch:us-east-1:1:alarm:x".to_owned()],
                "alarms[0]",
                "use the alarm's name",
            ),
        ] {
            let (found, wrong) = problem(&names).unwrap();
            assert_eq!(found, field);
            assert!(wrong.contains(says), "{wrong}");
        }
    }

    #[test]
    fn what_a_reason_says_is_one_line_and_not_endless() {
        assert_eq!(clean(" \n"), "it gives no reason");
        assert_eq!(clean(&"x\ty".repeat(400)).chars().count(), 400);
        assert!(!clean("a\u{1b}[31m").contains('\u{1b}'));
    }
}
