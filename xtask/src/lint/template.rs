//! The templates agree with the functions, with each other and with `infra/boot.sh`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Instances, Sources};

/// EC2 takes no more user data, before it is encoded:
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html>.
const USER_DATA_BYTES: usize = 16_384;

pub(super) fn checks(sources: &Sources) -> Vec<(&'static str, Vec<String>)> {
    let Sources {
        pipeline,
        instances,
        functions,
        ..
    } = sources;
    let [boot, build] = instances;
    vec![
        (
            "each function's directory has a function in infra/pipeline.yaml",
            directories(pipeline, functions),
        ),
        (
            "each function is given the environment that it reads",
            environments(pipeline, functions),
        ),
        (
            "the user data in infra/app.yaml is infra/boot.sh, that in infra/builder.yaml infra/build.sh, and both are short enough",
            instances.iter().flat_map(user_data).collect(),
        ),
        (
            "the functions that infra/boot.sh and infra/build.sh have in common are the same",
            in_common(&boot.script, &build.script),
        ),
        (
            "infra/pipeline.yaml exports what infra/app.yaml and infra/builder.yaml import",
            instances
                .iter()
                .flat_map(|instances| imports(pipeline, instances))
                .collect(),
        ),
    ]
}

/// `check-health` is `CheckHealthFunction`.
pub(super) fn logical_id(directory: &str) -> String {
    let capitalized = |word: &str| {
        word.chars()
            .take(1)
            .flat_map(char::to_uppercase)
            .chain(word.chars().skip(1))
            .collect::<String>()
    };
    format!(
        "{}Function",
        directory.split('-').map(capitalized).collect::<String>()
    )
}

fn directories(pipeline: &Value, functions: &[(String, String)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, _) in functions {
        let id = logical_id(name);
        let function = &pipeline["Resources"][&id];
        for (what, found, wanted) in [
            (
                "Type",
                &function["Type"],
                "AWS::Serverless::Function".to_owned(),
            ),
            (
                "CodeUri",
                &function["Properties"]["CodeUri"],
                format!("../functions/{name}"),
            ),
            (
                "BuildMethod",
                &function["Metadata"]["BuildMethod"],
                "rust-cargolambda".to_owned(),
            ),
            (
                "Binary",
                &function["Metadata"]["BuildProperties"]["Binary"],
                format!("exuvia-{name}"),
            ),
        ] {
            if *found != wanted {
                findings.push(format!(
                    "functions/{name}: the {what} of {id} must be {wanted}, not {found}"
                ));
            }
        }
    }
    let ids: BTreeSet<String> = functions.iter().map(|(name, _)| logical_id(name)).collect();
    for (id, resource) in pipeline["Resources"].as_object().into_iter().flatten() {
        if resource["Type"] == "AWS::Serverless::Function" && !ids.contains(id) {
            findings.push(format!(
                "{id} has no directory in functions/: add it, or remove the function"
            ));
        }
    }
    findings
}

fn environments(pipeline: &Value, functions: &[(String, String)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, source) in functions {
        let id = logical_id(name);
        let given = &pipeline["Resources"][&id]["Properties"]["Environment"]["Variables"];
        let given: BTreeSet<&str> = given
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let read = variables(source);
        findings.extend(read.difference(&given).map(|variable| {
            format!("functions/{name} reads {variable}, which {id} does not have: add it to its Environment")
        }));
        findings.extend(given.difference(&read).map(|variable| {
            format!("{id} has {variable}, which functions/{name} does not read: remove it from its Environment")
        }));
    }
    findings
}

/// The string literals in a source that are written as our environment variables are: `LEDGER_BUCKET`.
fn variables(source: &str) -> BTreeSet<&str> {
    let is_variable = |text: &&str| {
        text.contains('_')
            && text
                .chars()
                .all(|letter| letter.is_ascii_uppercase() || letter == '_')
    };
    source.split('"').filter(is_variable).collect()
}

/// The copy is without comments, but for those at the top that say what the script is.
fn user_data(instances: &Instances) -> Vec<String> {
    let Instances {
        name,
        script,
        script_name,
        template,
    } = instances;
    let copy = &template["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]
        ["Fn::Base64"];
    let copy = copy.as_str().unwrap_or_default();
    let mut in_code = false;
    let expected: Vec<&str> = script
        .split_inclusive('\n')
        .filter(|line| {
            in_code |= !line.starts_with('#');
            !in_code || !line.trim_start().starts_with('#')
        })
        .collect();
    let copied: Vec<&str> = copy.split_inclusive('\n').collect();
    let mut findings = Vec::new();
    if expected != copied {
        let pairs = expected.iter().zip(&copied);
        let same = pairs
            .take_while(|(expected, copied)| expected == copied)
            .count();
        findings.push(format!(
            "infra/{name}.yaml: it differs from line {} of the user data on: run `python3 xtask/python/embed_boot.py`",
            same + 1
        ));
    }
    if copy.len() > USER_DATA_BYTES {
        findings.push(format!(
            "the user data has {} bytes, EC2 takes {USER_DATA_BYTES}: shorten infra/{script_name}",
            copy.len()
        ));
    }
    findings
}

/// Functions that both scripts have, each its own.
const OWN: [&str; 4] = ["fail", "fetch", "identify", "prepare"];

/// EC2 takes no more user data than one script has, so there are two, and what they share is in both.
fn in_common(boot: &str, build: &str) -> Vec<String> {
    let (boot, build) = (shell_functions(boot), shell_functions(build));
    let shared = boot.iter().filter(|(name, _)| !OWN.contains(name));
    shared
        .filter(|(name, body)| build.get(*name).is_some_and(|other| other != *body))
        .map(|(name, _)| {
            format!("{name} in infra/build.sh is another than in infra/boot.sh: make it the same, or name it otherwise")
        })
        .collect()
}

/// The functions of a script by name: from a line `name() {` to the next that is `}`, or to the end of that line if it
/// ends there.
fn shell_functions(script: &str) -> BTreeMap<&str, Vec<&str>> {
    let is_name = |name: &&str| {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        !name.is_empty() && name.chars().all(letter)
    };
    let mut found = BTreeMap::new();
    let mut lines = script.lines();
    while let Some(line) = lines.next() {
        let named = line.split_once("() {").map(|(name, _)| name);
        let Some(name) = named.filter(is_name) else {
            continue;
        };
        let mut body = vec![line];
        if !line.ends_with('}') {
            for line in lines.by_ref() {
                body.push(line);
                if line == "}" {
                    break;
                }
            }
        }
        found.insert(name, body);
    }
    found
}

fn imports(pipeline: &Value, instances: &Instances) -> Vec<String> {
    let exports: BTreeSet<String> = collect(&pipeline["Outputs"], "Export")
        .into_iter()
        .filter_map(|export| {
            Some(
                export["Name"]["Fn::Sub"]
                    .as_str()?
                    .replace("${AWS::StackName}", ""),
            )
        })
        .collect();
    let imports: BTreeSet<String> = collect(&instances.template, "Fn::ImportValue")
        .into_iter()
        .filter_map(|import| Some(import["Fn::Sub"].as_str()?.replace("${PipelineStack}", "")))
        .collect();
    let name = instances.name;
    let missing = imports.difference(&exports);
    missing
        .map(|import| {
            format!(
                "infra/{name}.yaml imports *{import}, which is no output of infra/pipeline.yaml"
            )
        })
        .collect()
}

/// All values under `key`, however deep.
pub(super) fn collect<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    let mut found = Vec::new();
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == key {
                    found.push(member);
                }
                found.extend(collect(member, key));
            }
        }
        Value::Array(members) => {
            found.extend(members.iter().flat_map(|member| collect(member, key)));
        }
        _ => {}
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn functions(source: &str) -> Vec<(String, String)> {
        vec![("check-health".to_owned(), source.to_owned())]
    }

    fn pipeline() -> Value {
        json!({"Resources": {"CheckHealthFunction": {
            "Type": "AWS::Serverless::Function",
            "Metadata": {"BuildMethod": "rust-cargolambda", "BuildProperties": {"Binary": "exuvia-check-health"}},
            "Properties": {
                "CodeUri": "../functions/check-health",
                "Environment": {"Variables": {"LEDGER_BUCKET": {"Ref": "LedgerBucket"}}},
            },
        }}})
    }

    #[test]
    fn a_function_is_described_as_its_directory_is_named() {
        assert_eq!(directories(&pipeline(), &functions("")), [""; 0]);

        let mut other = pipeline();
        other["Resources"]["CheckHealthFunction"]["Properties"]["CodeUri"] =
            json!("../functions/health");
        assert_eq!(
            directories(&other, &functions("")),
            [
                "functions/check-health: the CodeUri of CheckHealthFunction must be ../functions/check-health, \
              not \"../functions/health\""
            ]
        );
        assert_eq!(
            directories(&pipeline(), &[]),
            ["CheckHealthFunction has no directory in functions/: add it, or remove the function"]
        );
    }

    #[test]
    fn a_function_has_the_variables_that_it_reads() {
        for (source, findings) in [
            (r#"read("LEDGER_BUCKET")"#, 0),
            (r#"read("LEDGER_BUCKET", "GET")"#, 0),
            (r#"read("LEDGER_BUCKET"); read("KEY_ARN")"#, 1),
            ("", 1),
        ] {
            let found = environments(&pipeline(), &functions(source));
            assert_eq!(found.len(), findings, "{source}: {found:?}");
        }
    }

    fn instances(template: Value, script: &str) -> Instances {
        Instances {
            name: "app",
            template,
            script_name: "boot.sh",
            script: script.to_owned(),
        }
    }

    #[test]
    fn the_user_data_is_the_script() {
        let app = |data: &str| json!({"Resources": {"LaunchTemplate": {"Properties": {"LaunchTemplateData": {"UserData": {"Fn::Base64": data}}}}}});
        assert_eq!(user_data(&instances(app("a\nb\n"), "a\nb\n")), [""; 0]);
        let commented = "#!\n# top\na\n# why\n  # why\nb # c\n\n";
        assert_eq!(
            user_data(&instances(app("#!\n# top\na\nb # c\n\n"), commented)),
            [""; 0]
        );
        assert_eq!(
            user_data(&instances(app("a\nc\n"), "a\nb\n")),
            [
                "infra/app.yaml: it differs from line 2 of the user data on: run `python3 xtask/python/embed_boot.py`"
            ]
        );
        let long = "#".repeat(USER_DATA_BYTES + 1);
        assert_eq!(
            user_data(&instances(app(&long), &long)),
            ["the user data has 16385 bytes, EC2 takes 16384: shorten infra/boot.sh"]
        );
    }

    #[test]
    fn what_two_scripts_share_is_the_same() {
        let boot = "retry() {\n  sleep 1\n}\ntag() { a; }\nfail() {\n  x\n}\nonly_here() { b; }\n";
        assert_eq!(in_common(boot, boot), [""; 0]);
        let build = "retry() {\n  sleep 2\n}\ntag() { b; }\nfail() {\n  y\n}\n";
        let found = in_common(boot, build);
        assert!(
            found.len() == 2 && found[0].starts_with("retry ") && found[1].starts_with("tag "),
            "{found:?}"
        );
    }

    #[test]
    fn an_import_is_exported() {
        let pipeline = json!({"Outputs": {"Key": {"Export": {"Name": {"Fn::Sub": "${AWS::StackName}-KeyArn"}}}}});
        let app = |name: &str| {
            let template = json!({"a": [{"Fn::ImportValue": {"Fn::Sub": format!("${{PipelineStack}}-{name}")}}]});
            instances(template, "")
        };
        assert_eq!(imports(&pipeline, &app("KeyArn")), [""; 0]);
        assert_eq!(
            imports(&pipeline, &app("Key")),
            ["infra/app.yaml imports *-Key, which is no output of infra/pipeline.yaml"]
        );
    }
}
