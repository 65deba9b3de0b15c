//! Reads what was recorded; for the tests of several crates.

use exuvia_core::name::Place;
use exuvia_core::report::history::{Details, Event, What};
use exuvia_core::report::{Activity, Execution, Fleet, Report};
use jiff::Timestamp;
use serde_json::Value;

pub(crate) struct Recorded {
    pub(crate) execution: Execution,
    pub(crate) events: Vec<Event>,
    pub(crate) fleet: Fleet,
}

fn seconds(value: &Value) -> Option<Timestamp> {
    #[allow(clippy::cast_possible_truncation)]
    let milliseconds = (value.as_f64()? * 1000.0).round() as i64;
    Timestamp::from_millisecond(milliseconds).ok()
}

pub(crate) fn recorded(text: &str) -> Recorded {
    let all: Value = serde_json::from_str(text).unwrap();
    let text = |value: &Value, name: &str| value[name].as_str().map(ToOwned::to_owned);
    let event = |event: &Value| {
        let kind = event["type"].as_str().unwrap();
        let details = event.as_object().unwrap().iter();
        let details = details
            .clone()
            .find(|(name, _)| name.ends_with("EventDetails"));
        let details = details.map_or(&Value::Null, |(_, details)| details);
        Event {
            id: event["id"].as_i64().unwrap(),
            at: seconds(&event["timestamp"]).unwrap(),
            what: What::of(
                kind,
                Details {
                    state: details["name"].as_str(),
                    output: details["output"].as_str(),
                    error: details["error"].as_str(),
                    cause: details["cause"].as_str(),
                },
            ),
        }
    };
    let activity = |activity: &Value| {
        let details: Value = serde_json::from_str(activity["Details"].as_str().unwrap()).unwrap();
        Activity {
            description: text(activity, "Description").unwrap(),
            cause: text(activity, "Cause").unwrap(),
            status: text(activity, "StatusCode").unwrap(),
            message: text(activity, "StatusMessage"),
            zone: text(&details, "Availability Zone"),
            started: activity["StartTime"].as_str().unwrap().parse().unwrap(),
            ended: activity["EndTime"].as_str().map(|end| end.parse().unwrap()),
        }
    };
    let described = &all["execution"];
    let events: Vec<Event> = all["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(event)
        .collect();
    Recorded {
        execution: Execution {
            arn: text(described, "executionArn").unwrap(),
            place: Place::new("hello", "qa").unwrap(),
            input: text(described, "input").unwrap(),
            status: text(described, "status").unwrap(),
            error: text(described, "error"),
            cause: text(described, "cause"),
            started: seconds(&described["startDate"]).unwrap(),
            ended: seconds(&described["stopDate"]),
            now: events.last().unwrap().at,
            outcome: None,
            recovered_by: None,
        },
        fleet: Fleet {
            activities: all["activities"]
                .as_array()
                .unwrap()
                .iter()
                .map(activity)
                .collect(),
            ..Fleet::default()
        },
        events,
    }
}

pub(crate) fn report(recorded: &Recorded) -> Report {
    Report::new(&recorded.execution, &recorded.events).with_fleet(&recorded.fleet, &recorded.events)
}
