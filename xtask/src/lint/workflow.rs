//! The workflow agrees with the template, the code and its own documentation.

use std::collections::BTreeSet;

use serde_json::Value;

use exuvia_core::error::{ANSWERS, ENDINGS, NAMES, ROLL_BACK_FAILED, TERMINATE_FAILED};

use super::template::logical_id;
use super::{Sources, Workflow};

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
        workflows,
        drawing,
        functions,
        ..
    } = sources;
    let each = |check: &dyn Fn(&Workflow, &[State<'_>]) -> Vec<String>| -> Vec<String> {
        let of_workflow = |workflow: &Workflow| {
            let found = check(workflow, &states(&workflow.parsed)).into_iter();
            let name = workflow.name;
            found
                .map(|finding| format!("{name}.asl.json: {finding}"))
                .collect::<Vec<_>>()
        };
        workflows.iter().flat_map(of_workflow).collect()
    };
    let names: Vec<&str> = workflows.iter().map(|workflow| workflow.name).collect();
    vec![
        (
            "each workflow has a state machine in infra/pipeline.yaml, and each of those a workflow",
            machines(&names, pipeline),
        ),
        (
            "the workflows' ${...} are infra/pipeline.yaml's DefinitionSubstitutions",
            each(&|workflow, _| substitutions(&workflow.asl, machine(workflow.name, pipeline))),
        ),
        (
            "the workflows name functions by their versions, so that an upgrade leaves a running execution its code",
            versions(pipeline),
        ),
        (
            "the state machines may invoke the functions that their workflows name, and no others",
            each(&|workflow, _| invocations(&workflow.asl, machine(workflow.name, pipeline))),
        ),
        (
            "each Task of the workflows has TimeoutSeconds, Retry and Catch",
            each(&|_, states| tasks(states, pipeline)),
        ),
        (
            "each function that no event invokes is a Task of a workflow",
            unused(
                workflows.iter().map(|workflow| workflow.asl.as_str()),
                pipeline,
                functions,
            ),
        ),
        (
            "each error that the workflows name is one of the code's",
            each(&|_, states| errors(states, &[&NAMES[..], &ANSWERS].concat())),
        ),
        (
            "each error that a workflow's own endings carry is one that recover knows",
            each(&|_, states| endings(states)),
        ),
        (
            "each state of the workflows is in statemachine/README.md",
            each(&|_, states| documented(states, drawing)),
        ),
    ]
}

/// The state machine that runs a workflow; null if there is none.
fn machine<'a>(name: &str, pipeline: &'a Value) -> &'a Value {
    let uri = format!("../statemachine/{name}.asl.json");
    let resources = pipeline["Resources"].as_object().into_iter().flatten();
    resources
        .map(|(_, resource)| resource)
        .find(|resource| resource["Properties"]["DefinitionUri"] == uri)
        .unwrap_or(&Value::Null)
}

fn machines(names: &[&str], pipeline: &Value) -> Vec<String> {
    let missing = names
        .iter()
        .filter(|name| machine(name, pipeline).is_null())
        .map(|name| format!("no state machine runs statemachine/{name}.asl.json: add one"));
    let resources = pipeline["Resources"].as_object().into_iter().flatten();
    let unknown = resources
        .filter(|(_, resource)| resource["Type"] == "AWS::Serverless::StateMachine")
        .filter(|(_, resource)| {
            !names
                .iter()
                .any(|name| machine(name, pipeline) == *resource)
        })
        .map(|(id, _)| {
            format!("the workflow of {id} is not checked: name it in xtask/src/lint.rs")
        });
    missing.chain(unknown).collect()
}

/// What the state machine's own policy lets it invoke, against what its workflow names.
fn invocations(asl: &str, machine: &Value) -> Vec<String> {
    let policies = machine["Properties"]["Policies"].to_string();
    let allowed: BTreeSet<&str> = placeholders(&policies)
        .filter_map(|name| name.strip_suffix(".Arn"))
        .collect();
    let named: BTreeSet<&str> = placeholders(asl).collect();
    let missing = named
        .difference(&allowed)
        .map(|name| format!("its state machine may not invoke {name}: add it to its Policies"));
    let more = allowed.difference(&named).map(|name| {
        format!("its state machine may invoke {name}, which it does not name: remove it")
    });
    missing.chain(more).collect()
}

/// Functions that neither a workflow nor an event invokes, and that are given no messages of a queue.
fn unused<'a>(
    asls: impl Iterator<Item = &'a str>,
    pipeline: &Value,
    functions: &[(String, String)],
) -> Vec<String> {
    let named: BTreeSet<&str> = asls.flat_map(placeholders).collect();
    let ids = functions.iter().map(|(name, _)| logical_id(name));
    let mappings = pipeline["Resources"].as_object().into_iter().flatten();
    let given: BTreeSet<&str> = mappings
        .filter(|(_, resource)| resource["Type"] == "AWS::Lambda::EventSourceMapping")
        .filter_map(|(_, mapping)| mapping["Properties"]["FunctionName"]["Ref"].as_str())
        .map(|name| name.trim_end_matches(".Alias"))
        .collect();
    ids.filter(|id| !named.contains(id.as_str()) && !given.contains(id.as_str()))
        .filter(|id| pipeline["Resources"][id]["Properties"]["Events"].is_null())
        .map(|id| format!("{id} is invoked by no workflow and by no event: remove it"))
        .collect()
}

/// The errors of Fail states. One that is computed is a choice among strings.
fn endings(states: &[State<'_>]) -> Vec<String> {
    let known: Vec<&str> = ENDINGS
        .into_iter()
        .chain([ROLL_BACK_FAILED, TERMINATE_FAILED])
        .collect();
    let fails = states.iter().filter(|(_, state)| state["Type"] == "Fail");
    fails
        .flat_map(|(name, state)| {
            let error = state["Error"].as_str().unwrap_or_default();
            let carried: Vec<&str> = match error.strip_prefix("{%") {
                None => vec![error],
                Some(computed) => computed.split('\'').skip(1).step_by(2).collect(),
            };
            let unknown = carried.into_iter().filter(|error| !known.contains(error));
            unknown
                .map(|error| format!("{name}: recover does not know the error {error:?}: add it to exuvia_core::error"))
                .collect::<Vec<_>>()
        })
        .collect()
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

fn substitutions(asl: &str, machine: &Value) -> Vec<String> {
    let used: BTreeSet<&str> = placeholders(asl).collect();
    let given = machine["Properties"]["DefinitionSubstitutions"].as_object();
    let given: BTreeSet<&str> = given
        .into_iter()
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
        // The time that a person has is computed; `core::approval` has its bounds.
        None if waits_for_token(state) && state["TimeoutSeconds"].is_string() => {}
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

/// Whether a task goes on by what comes with its token, not by what its function answers.
fn waits_for_token(state: &Value) -> bool {
    let resource = state["Resource"].as_str();
    resource.is_some_and(|resource| resource.ends_with(".waitForTaskToken"))
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
                "Machine": {"Type": "AWS::Serverless::StateMachine", "Properties": {
                    "DefinitionUri": "../statemachine/deploy.asl.json",
                    "DefinitionSubstitutions": {"PlanFunction": {"Ref": "PlanFunction.Version"}},
                    "Policies": [{"Statement": [{"Action": "lambda:InvokeFunction", "Resource": [{"Fn::Sub": "${PlanFunction.Arn}:*"}]}]}],
                }},
            },
        })
    }

    #[test]
    fn substitutions_are_used_and_given() {
        let pipeline = pipeline();
        let machine = machine("deploy", &pipeline);
        assert_eq!(substitutions(&workflow().to_string(), machine), [""; 0]);
        assert_eq!(invocations(&workflow().to_string(), machine), [""; 0]);
        assert_eq!(invocations("${PlanFunktion}", machine).len(), 2);
        let found = substitutions("${PlanFunktion}", machine);
        assert!(
            found.len() == 2
                && found[0].contains("PlanFunktion")
                && found[1].contains("PlanFunction"),
            "{found:?}"
        );
    }

    #[test]
    fn each_workflow_has_its_state_machine() {
        assert_eq!(machines(&["deploy"], &pipeline()), [""; 0]);
        let found = machines(&["build"], &pipeline());
        assert!(
            found.len() == 2
                && found[0].contains("statemachine/build.asl.json")
                && found[1].contains("Machine"),
            "{found:?}"
        );
    }

    #[test]
    fn a_function_is_there_for_something() {
        let functions = [("plan".to_owned(), String::new())];
        let unused = |asl| unused([asl].into_iter(), &pipeline(), &functions);
        assert_eq!(unused("${PlanFunction}"), [""; 0]);
        assert_eq!(
            unused("{}"),
            ["PlanFunction is invoked by no workflow and by no event: remove it"]
        );
        let mut reads = pipeline();
        reads["Resources"]["QueueToPlan"] = json!({
            "Type": "AWS::Lambda::EventSourceMapping", "Properties": {"FunctionName": {"Ref": "PlanFunction.Alias"}},
        });
        let found = super::unused(["{}"].into_iter(), &reads, &functions);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn an_ending_is_known_to_recover() {
        let fails = |error: &str| json!({"States": {"End": {"Type": "Fail", "Error": error}}});
        for error in [
            "BuildFailed",
            "{% $settled ? 'NeedsAttention' : 'RollBackFailed' %}",
        ] {
            assert_eq!(endings(&states(&fails(error))), [""; 0], "{error}");
        }
        for error in ["BuildFaild", "{% $settled ? 'NeedsAttention' : 'Lost' %}"] {
            assert_eq!(endings(&states(&fails(error))).len(), 1, "{error}");
        }
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
    fn only_what_a_person_is_waited_for_has_a_computed_time() {
        let mut asks = workflow();
        asks["States"]["Plan"]["TimeoutSeconds"] = json!("{% $seconds %}");
        assert_eq!(tasks(&states(&asks), &pipeline()).len(), 1);
        asks["States"]["Plan"]["Resource"] =
            json!("arn:aws:states:::lambda:invoke.waitForTaskToken");
        assert_eq!(tasks(&states(&asks), &pipeline()), [""; 0]);
        asks["States"]["Plan"]["TimeoutSeconds"] = json!(null);
        assert_eq!(tasks(&states(&asks), &pipeline()).len(), 1);
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
