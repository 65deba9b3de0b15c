//! The workflow agrees with the template, the code and its own documentation.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Sources;

/// What Lambda's service itself may fail with, and what is worth another try:
/// <https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception>.
const TRANSIENT: [&str; 5] = [
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
];

pub(super) fn checks(sources: &Sources) -> Vec<(&'static str, Vec<String>)> {
    let Sources {
        pipeline,
        asl,
        workflow,
        drawing,
        ..
    } = sources;
    let states = states(workflow);
    vec![
        (
            "the workflow's ${...} are infra/pipeline.yaml's DefinitionSubstitutions",
            substitutions(asl, pipeline),
        ),
        (
            "the workflow names functions by their versions, so that an upgrade leaves a running execution its code",
            versions(pipeline),
        ),
        (
            "each Task of the workflow has TimeoutSeconds, Retry and Catch",
            tasks(&states, pipeline),
        ),
        (
            "each error that the workflow names is one of the code's",
            errors(&states, &exuvia_core::error::NAMES),
        ),
        (
            "each state of the workflow is in statemachine/README.md",
            documented(&states, drawing),
        ),
    ]
}

type State<'a> = (&'a str, &'a Value);

/// All states by name, those in branches and maps as well.
fn states(workflow: &Value) -> Vec<State<'_>> {
    let mut found = Vec::new();
    for (name, state) in workflow["States"].as_object().into_iter().flatten() {
        found.push((name.as_str(), state));
        let inner = state["Branches"]
            .as_array()
            .into_iter()
            .flatten()
            .chain(state.get("ItemProcessor"));
        found.extend(inner.flat_map(states));
    }
    found
}

fn substitutions(asl: &str, pipeline: &Value) -> Vec<String> {
    let used: BTreeSet<&str> = placeholders(asl).collect();
    let resources = pipeline["Resources"].as_object().into_iter().flatten();
    let given: BTreeSet<&str> = resources
        .filter_map(|(_, resource)| resource["Properties"]["DefinitionSubstitutions"].as_object())
        .flat_map(|substitutions| substitutions.keys().map(String::as_str))
        .collect();
    let missing = used.difference(&given).map(|name| {
        format!("the workflow uses ${{{name}}}: add it to DefinitionSubstitutions in infra/pipeline.yaml")
    });
    let unused = given.difference(&used).map(|name| {
        format!("DefinitionSubstitutions in infra/pipeline.yaml has {name}, which the workflow does not use: remove it")
    });
    missing.chain(unused).collect()
}

/// What is substituted: `!Ref Function.Version`, which SAM makes the ARN of the version that is published with the code.
/// A name, an ARN or an alias would give a running execution the new code in its next step.
fn versions(pipeline: &Value) -> Vec<String> {
    let resources = pipeline["Resources"].as_object().into_iter().flatten();
    let substitutions = resources
        .filter_map(|(_, resource)| resource["Properties"]["DefinitionSubstitutions"].as_object())
        .flatten();
    let is_version = |name: &str, value: &Value| {
        value["Ref"].as_str() == Some(&format!("{name}.Version"))
            && pipeline["Resources"][name]["Type"] == "AWS::Serverless::Function"
    };
    let mut findings: Vec<String> = substitutions
        .filter(|(name, value)| !is_version(name, value))
        .map(|(name, value)| {
            format!("DefinitionSubstitutions has {name}: {value}: make it !Ref {name}.Version")
        })
        .collect();
    let function = &pipeline["Globals"]["Function"];
    if !function["AutoPublishAlias"].is_string()
        || function["AutoPublishAliasAllProperties"] != true
    {
        findings.push(
            "Globals.Function needs AutoPublishAlias and AutoPublishAliasAllProperties: true, as else a change of a function is no new version of it"
                .to_owned(),
        );
    }
    findings
}

/// The names in `${...}`.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split("${")
        .skip(1)
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
}

fn tasks(states: &[State<'_>], pipeline: &Value) -> Vec<String> {
    let tasks = states.iter().filter(|(_, state)| state["Type"] == "Task");
    tasks
        .flat_map(|(name, state)| {
            task(state, pipeline)
                .into_iter()
                .map(move |finding| format!("{name}: {finding}"))
        })
        .collect()
}

fn task(state: &Value, pipeline: &Value) -> Vec<String> {
    let mut findings = Vec::new();

    let function = state["Arguments"]["FunctionName"]
        .as_str()
        .unwrap_or_default();
    let function = placeholders(function).next().unwrap_or_default();
    let function_timeout = pipeline["Resources"][function]["Properties"]["Timeout"]
        .as_u64()
        .or_else(|| pipeline["Globals"]["Function"]["Timeout"].as_u64())
        .unwrap_or_default();
    match state["TimeoutSeconds"].as_u64() {
        None => findings.push("give it TimeoutSeconds".to_owned()),
        // Else the next try begins while this one is still at work.
        Some(timeout) if timeout <= function_timeout => {
            findings.push(format!("its TimeoutSeconds ({timeout}) must be more than those of {function} ({function_timeout})"));
        }
        Some(_) => {}
    }

    let retriers: Vec<&Value> = state["Retry"].as_array().into_iter().flatten().collect();
    let retried = error_names(&retriers);
    let missing: Vec<&str> = TRANSIENT
        .into_iter()
        .filter(|name| !retried.contains(name))
        .collect();
    if !missing.is_empty() && !retried.contains("States.ALL") {
        findings.push(format!("its Retry must name {}", missing.join(", ")));
    }
    if retriers
        .iter()
        .any(|retrier| retrier["JitterStrategy"] != "FULL" || !retrier["MaxDelaySeconds"].is_u64())
    {
        findings
            .push("give every retrier a JitterStrategy of FULL, and MaxDelaySeconds".to_owned());
    }

    let catchers: Vec<&Value> = state["Catch"].as_array().into_iter().flatten().collect();
    if !error_names(&catchers).contains("States.ALL") {
        findings.push(
            "its Catch must end with States.ALL, so that no error ends the execution".to_owned(),
        );
    }
    if catchers
        .iter()
        .any(|catcher| !catcher["Comment"].is_string())
    {
        findings
            .push("give every catcher a Comment that says why it leads where it leads".to_owned());
    }
    findings
}

fn error_names<'a>(handlers: &[&'a Value]) -> BTreeSet<&'a str> {
    let names = handlers
        .iter()
        .flat_map(|handler| handler["ErrorEquals"].as_array().into_iter().flatten());
    names.filter_map(Value::as_str).collect()
}

/// Whatever is not named is caught by `States.ALL`, which [`task`] asks for.
fn errors(states: &[State<'_>], known: &[&str]) -> Vec<String> {
    let handlers = |state: &'_ Value| -> BTreeSet<String> {
        let handlers = ["Retry", "Catch"]
            .iter()
            .flat_map(|kind| state[*kind].as_array().into_iter().flatten());
        error_names(&handlers.collect::<Vec<_>>())
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    // What Step Functions, Lambda and the function's runtime say of themselves.
    let theirs = ["States.", "Lambda.", "Runtime.", "Sandbox."];
    let ours = |name: &String| !theirs.iter().any(|start| name.starts_with(start));
    let mut findings = Vec::new();
    for (state, value) in states {
        for name in handlers(value).into_iter().filter(ours) {
            if !known.contains(&name.as_str()) {
                findings.push(format!(
                    "{state}: {name} is not in exuvia_core::error::NAMES: correct its name"
                ));
            }
        }
    }
    findings
}

fn documented(states: &[State<'_>], drawing: &str) -> Vec<String> {
    let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let named = |name: &str| {
        drawing.match_indices(name).any(|(at, _)| {
            !is_word(drawing[..at].chars().next_back())
                && !is_word(drawing[at + name.len()..].chars().next())
        })
    };
    let missing = states.iter().filter(|(name, _)| !named(name));
    missing
        .map(|(name, _)| {
            format!("{name} is not in statemachine/README.md: draw and explain it there")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workflow() -> Value {
        json!({"StartAt": "Plan", "States": {
            "Plan": {
                "Type": "Task",
                "Arguments": {"FunctionName": "${PlanFunction}"},
                "TimeoutSeconds": 40,
                "Retry": [{"ErrorEquals": TRANSIENT, "JitterStrategy": "FULL", "MaxDelaySeconds": 10}],
                "Catch": [
                    {"ErrorEquals": ["LockLost"], "Comment": "Another one goes on.", "Next": "Done"},
                    {"ErrorEquals": ["States.ALL"], "Comment": "Nothing has changed yet.", "Next": "Done"},
                ],
                "Next": "Done",
            },
            "Done": {"Type": "Succeed"},
        }})
    }

    fn pipeline() -> Value {
        json!({
            "Globals": {"Function": {"Timeout": 30, "AutoPublishAlias": "live", "AutoPublishAliasAllProperties": true}},
            "Resources": {
                "PlanFunction": {"Type": "AWS::Serverless::Function", "Properties": {}},
                "Machine": {"Properties": {"DefinitionSubstitutions": {"PlanFunction": {"Ref": "PlanFunction.Version"}}}},
            },
        })
    }

    #[test]
    fn substitutions_are_used_and_given() {
        assert_eq!(substitutions(&workflow().to_string(), &pipeline()), [""; 0]);
        let found = substitutions("${PlanFunktion}", &pipeline());
        assert!(
            found.len() == 2
                && found[0].contains("PlanFunktion")
                && found[1].contains("PlanFunction"),
            "{found:?}"
        );
    }

    #[test]
    fn functions_are_named_by_version() {
        assert_eq!(versions(&pipeline()), [""; 0]);
        for (path, value) in [
            (
                "/Resources/Machine/Properties/DefinitionSubstitutions/PlanFunction",
                json!({"Fn::GetAtt": ["PlanFunction", "Arn"]}),
            ),
            (
                "/Resources/Machine/Properties/DefinitionSubstitutions/PlanFunction",
                json!({"Ref": "PlanFunction.Alias"}),
            ),
            (
                "/Resources/Machine/Properties/DefinitionSubstitutions/PlanFunction",
                json!({"Ref": "LockFunction.Version"}),
            ),
            (
                "/Globals/Function/AutoPublishAliasAllProperties",
                json!(false),
            ),
            ("/Globals/Function/AutoPublishAlias", json!(null)),
        ] {
            let mut broken = pipeline();
            *broken.pointer_mut(path).unwrap() = value;
            assert_eq!(
                versions(&broken).len(),
                1,
                "{path}: {:?}",
                versions(&broken)
            );
        }
    }

    #[test]
    fn a_task_is_bounded_retried_and_caught() {
        assert_eq!(tasks(&states(&workflow()), &pipeline()), [""; 0]);
        for (path, value, finding) in [
            ("TimeoutSeconds", json!(null), "give it TimeoutSeconds"),
            (
                "TimeoutSeconds",
                json!(30),
                "must be more than those of PlanFunction (30)",
            ),
            (
                "Retry",
                json!([]),
                "must name Lambda.ClientExecutionTimeoutException, Lambda.ServiceException",
            ),
            (
                "Retry",
                json!([{"ErrorEquals": TRANSIENT, "MaxDelaySeconds": 10}]),
                "a JitterStrategy of FULL",
            ),
            (
                "Catch",
                json!([{"ErrorEquals": ["LockLost"], "Comment": "Why."}]),
                "must end with States.ALL",
            ),
            (
                "Catch",
                json!([{"ErrorEquals": ["States.ALL"]}]),
                "a Comment",
            ),
        ] {
            let mut broken = workflow();
            broken["States"]["Plan"][path] = value;
            let found = tasks(&states(&broken), &pipeline());
            assert!(
                found.len() == 1 && found[0].contains(finding),
                "{finding}: {found:?}"
            );
        }
    }

    #[test]
    fn states_in_branches_are_seen() {
        let nested = json!({"States": {"Both": {"Type": "Parallel", "Branches": [workflow()]}}});
        assert_eq!(states(&nested).len(), 3);
    }

    #[test]
    fn an_error_that_is_caught_exists() {
        assert_eq!(errors(&states(&workflow()), &["LockLost"]), [""; 0]);
        let found = errors(&states(&workflow()), &["LostLock"]);
        assert_eq!(
            found,
            ["Plan: LockLost is not in exuvia_core::error::NAMES: correct its name"]
        );
    }

    #[test]
    fn a_state_is_documented_by_its_whole_name() {
        assert_eq!(
            documented(&states(&workflow()), "**Plan** then `Done`"),
            [""; 0]
        );
        let found = documented(&states(&workflow()), "Planning, then Done");
        assert_eq!(
            found,
            ["Plan is not in statemachine/README.md: draw and explain it there"]
        );
    }
}
