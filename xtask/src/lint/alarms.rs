//! The pipeline's alarms and its dashboard name functions and states that there are, and docs/ says what to do.

use std::collections::BTreeSet;

use serde_json::Value;

use super::template::logical_id;
use super::{Sources, Workflow};

/// Functions whose errors are no alarm: they refuse inputs with one.
const REFUSING: [&str; 3] = ["build", "lock", "validate"];
/// Not there in every stack, so that no alarm of all can name it. What it fails on or finds no place for waits in a queue
/// that has an alarm of its own.
const BY_ITS_QUEUE: &str = "slack";

pub(super) fn checks(sources: &Sources) -> Vec<(&'static str, Vec<String>)> {
    let Sources {
        pipeline,
        workflows,
        functions,
        documents,
        ..
    } = sources;
    vec![
        (
            "each alarm in infra/pipeline.yaml says what to do, and so does docs/",
            described(pipeline, documents),
        ),
        (
            "the alarms on functions watch each that they should",
            watched(pipeline, functions),
        ),
        (
            "the metrics of endings name states of the workflows",
            endings(pipeline, workflows),
        ),
    ]
}

fn of_type<'a>(
    pipeline: &'a Value,
    kind: &'a str,
) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let resources = pipeline["Resources"].as_object().into_iter().flatten();
    resources.filter(move |(_, resource)| resource["Type"] == kind)
}

/// A text as it is, or with its references in it.
fn text(value: &Value) -> &str {
    let substituted = value["Fn::Sub"].as_str();
    substituted.or(value.as_str()).unwrap_or_default()
}

fn described(pipeline: &Value, documents: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (id, alarm) in of_type(pipeline, "AWS::CloudWatch::Alarm") {
        let properties = &alarm["Properties"];
        if text(&properties["AlarmDescription"]).is_empty() {
            findings.push(format!("{id} has no AlarmDescription: say what to do"));
        }
        if properties["AlarmActions"]
            .as_array()
            .is_none_or(Vec::is_empty)
        {
            findings.push(format!("{id} has no AlarmActions: it would tell nobody"));
        }
        if !documents
            .lines()
            .any(|line| line.trim_start_matches('#') == format!(" {id}"))
        {
            findings.push(format!("{id} is not in docs/: add a heading with its name, and below it what it means and what to do"));
        }
    }
    findings
}

fn watched(pipeline: &Value, functions: &[(String, String)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (alarm, without) in [
        ("FunctionThrottlesAlarm", &[][..]),
        ("FunctionErrorsAlarm", &REFUSING[..]),
    ] {
        let query = text(&pipeline["Resources"][alarm]["Properties"]["Metrics"][0]["Expression"]);
        let watched: BTreeSet<&str> = query
            .split("'${")
            .skip(1)
            .filter_map(|rest| rest.split_once("}'"))
            .map(|(id, _)| id)
            .collect();
        let wanted: BTreeSet<String> = functions
            .iter()
            .filter(|(name, _)| !without.contains(&name.as_str()) && name != BY_ITS_QUEUE)
            .map(|(name, _)| logical_id(name))
            .collect();
        let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
        let missing = wanted.difference(&watched);
        findings.extend(missing.map(|id| format!("{alarm} does not watch {id}: add it")));
        let surplus = watched.difference(&wanted);
        findings.extend(surplus.map(|id| format!("{alarm} should not watch {id}: remove it")));
    }
    findings
}

fn endings(pipeline: &Value, workflows: &[Workflow]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut check = |workflow: &str, state: &str, id: &str| {
        let states = workflows.iter().find(|found| found.name == workflow);
        let kind = states.map(|found| &found.parsed["States"][state]["Type"]);
        if !kind.is_some_and(|kind| kind == "Fail" || kind == "Succeed") {
            findings.push(format!(
                "{id} names {state}, in which no execution of statemachine/{workflow}.asl.json ends",
            ));
        }
    };
    for (id, filter) in of_type(pipeline, "AWS::Logs::MetricFilter") {
        let group = filter["Properties"]["LogGroupName"]["Ref"].as_str();
        let workflow = group.and_then(|group| group.strip_suffix("ExecutionLogs"));
        let workflow = workflow.unwrap_or_default().to_lowercase();
        let pattern = text(&filter["Properties"]["FilterPattern"]);
        let states = pattern.split("$.details.name = \"").skip(1);
        for state in states.filter_map(|rest| rest.split('"').next()) {
            check(&workflow, state, id);
        }
    }
    for (id, dashboard) in of_type(pipeline, "AWS::CloudWatch::Dashboard") {
        let body = text(&dashboard["Properties"]["DashboardBody"]);
        let Ok(body) = serde_json::from_str::<Value>(body) else {
            findings.push(format!("{id}: its DashboardBody is not JSON"));
            return findings;
        };
        let mut metric = String::new();
        for widget in body["widgets"].as_array().into_iter().flatten() {
            let rows = widget["properties"]["metrics"].as_array();
            for row in rows.into_iter().flatten().filter_map(Value::as_array) {
                let words: Vec<&str> = row.iter().filter_map(Value::as_str).collect();
                // As CloudWatch has it: "..." repeats the row before, but for its last dimension.
                if words.first() != Some(&"...") {
                    words
                        .get(1)
                        .copied()
                        .unwrap_or_default()
                        .clone_into(&mut metric);
                }
                let state = words.last().copied().unwrap_or_default();
                match metric.as_str() {
                    "DeploysEnded" => check("deploy", state, id),
                    "BuildsEnded" => check("build", state, id),
                    _ => {}
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_alarm_says_what_to_do_and_tells_somebody() {
        let alarm = |properties: Value| json!({"Resources": {"LostAlarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}}});
        let good =
            json!({"AlarmDescription": {"Fn::Sub": "Look"}, "AlarmActions": [{"Ref": "Topic"}]});
        let documents = "# Alarms\n\n### LostAlarm\n\nLook.\n";
        assert_eq!(described(&alarm(good.clone()), documents), [""; 0]);
        assert_eq!(described(&alarm(json!({})), documents).len(), 2);
        assert_eq!(described(&alarm(good), "### LostAlarms").len(), 1);
    }

    #[test]
    fn each_function_is_watched() {
        let functions: Vec<_> = ["plan", "validate", "slack"]
            .map(|name| (name.to_owned(), String::new()))
            .into();
        let pipeline = |errors: &str, throttles: &str| {
            let alarm = |query: &str| json!({"Properties": {"Metrics": [{"Expression": {"Fn::Sub": query}}]}});
            json!({"Resources": {"FunctionErrorsAlarm": alarm(errors), "FunctionThrottlesAlarm": alarm(throttles)}})
        };
        let (plan, both) = (
            "WHERE FunctionName = '${PlanFunction}'",
            "WHERE FunctionName = '${PlanFunction}' OR FunctionName = '${ValidateFunction}'",
        );
        assert_eq!(watched(&pipeline(plan, both), &functions), [""; 0]);
        assert_eq!(
            watched(&pipeline(both, plan), &functions),
            [
                "FunctionThrottlesAlarm does not watch ValidateFunction: add it",
                "FunctionErrorsAlarm should not watch ValidateFunction: remove it",
            ]
        );
    }

    #[test]
    fn endings_are_states() {
        let asl = json!({"States": {
            "Gone": {"Type": "Succeed"}, "Lost": {"Type": "Fail"}, "Look": {"Type": "Task"},
        }});
        let workflows = [Workflow {
            name: "build",
            asl: String::new(),
            parsed: asl,
        }];
        let pipeline = |filtered: &str, shown: &str| {
            let rows = json!([["Own", "BuildsEnded", "Ending", "Gone"], ["...", shown, {"label": "x"}], ["AWS/SQS", "Visible", "QueueName", "q"]]);
            let body = json!({"widgets": [{"properties": {"metrics": rows}}]}).to_string();
            json!({"Resources": {
                "Endings": {"Type": "AWS::Logs::MetricFilter", "Properties": {
                    "LogGroupName": {"Ref": "BuildExecutionLogs"},
                    "FilterPattern": format!("{{ ($.details.name = \"{filtered}\") }}"),
                }},
                "Board": {"Type": "AWS::CloudWatch::Dashboard", "Properties": {"DashboardBody": {"Fn::Sub": body}}},
            }})
        };
        assert_eq!(endings(&pipeline("Lost", "Lost"), &workflows), [""; 0]);
        assert_eq!(
            endings(&pipeline("Look", "Found"), &workflows),
            [
                "Endings names Look, in which no execution of statemachine/build.asl.json ends",
                "Board names Found, in which no execution of statemachine/build.asl.json ends",
            ]
        );
    }
}
