//! What infra/pipeline.yaml allows each function is what docs/privileges.md says that it calls: nothing is missing, and
//! nothing is allowed that is not called.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Sources;
use super::template::{collect, logical_id};

/// What IAM asks for besides the action that is named as the call is.
struct Implied {
    /// The call, and what its resource must begin with or its tags must have for this to hold; nothing: always.
    by: &'static str,
    where_: &'static str,
    action: &'static str,
    /// `{bucket}` is that of the call.
    resource: &'static str,
    /// Whether the call fails without it; else it may be allowed, and need not be.
    is_required: bool,
}

const fn needs(
    by: &'static str,
    where_: &'static str,
    action: &'static str,
    resource: &'static str,
) -> Implied {
    Implied {
        by,
        where_,
        action,
        resource,
        is_required: true,
    }
}

const GROUP: &str = "autoscaling:CreateAutoScalingGroup";

const IMPLIED: [Implied; 19] = [
    // Makes of an object that is not there a 404, and not a 403:
    // https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    Implied {
        is_required: false,
        ..needs("s3:GetObject", "", "s3:ListBucket", "{bucket}")
    },
    Implied {
        is_required: false,
        ..needs("s3:GetObjectVersion", "", "s3:ListBucket", "{bucket}")
    },
    Implied {
        is_required: false,
        ..needs(
            "s3:GetObjectVersion",
            "",
            "s3:ListBucketVersions",
            "{bucket}",
        )
    },
    // Both buckets and the topic are encrypted with the pipeline's key.
    needs("s3:GetObject", "", "kms:Decrypt", "Key"),
    needs("s3:GetObjectVersion", "", "kms:Decrypt", "Key"),
    needs("s3:PutObject", "", "kms:GenerateDataKey", "Key"),
    needs("sns:Publish", "", "kms:Decrypt", "Key"),
    needs("sns:Publish", "", "kms:GenerateDataKey", "Key"),
    // Both create with tags:
    // https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/tagging-resources-during-creation.html
    needs(
        "elasticloadbalancing:CreateTargetGroup",
        "",
        "elasticloadbalancing:AddTags",
        "targetgroup/*",
    ),
    needs(
        "elasticloadbalancing:CreateRule",
        "",
        "elasticloadbalancing:AddTags",
        "listener-rule/app/*",
    ),
    // Auto Scaling asks whether its caller could run the launch template itself:
    // https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-launch-template-permissions.html
    needs(GROUP, "", "ec2:RunInstances", "launch-template/*"),
    needs(GROUP, "", "ec2:RunInstances", "instance/*"),
    needs(GROUP, "", "ec2:RunInstances", "volume/*"),
    needs(GROUP, "", "ec2:RunInstances", "network-interface/*"),
    needs(GROUP, "", "ec2:CreateTags", "instance/*"),
    needs(GROUP, "", "ec2:CreateTags", "volume/*"),
    needs(GROUP, "exuvia:release", "iam:PassRole", "role/exuvia/*"),
    needs(
        GROUP,
        "exuvia:build",
        "iam:PassRole",
        "role/exuvia-builders/*",
    ),
    needs(
        GROUP,
        "",
        "iam:CreateServiceLinkedRole",
        "role/aws-service-role/autoscaling.amazonaws.com/*",
    ),
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    action: String,
    resource: String,
    tags: BTreeSet<String>,
    is_required: bool,
}

/// A statement of a policy.
#[derive(Debug)]
struct Grant {
    actions: Vec<String>,
    resources: Vec<String>,
    /// Whether they are what it does not hold for.
    is_inverted: bool,
    conditions: Value,
}

pub(super) fn checks(sources: &Sources) -> Vec<(&'static str, Vec<String>)> {
    let written = std::fs::read_to_string(crate::tools::root().join("docs/privileges.md"));
    let written = read(&written.unwrap_or_default());
    let functions: Vec<&str> = sources
        .functions
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    vec![
        (
            "infra/pipeline.yaml allows each function what docs/privileges.md says that it calls, and nothing else",
            compare(&sources.pipeline, &functions, &written),
        ),
        (
            "what a function may do is confined to what is the pipeline's",
            functions
                .iter()
                .flat_map(|function| confined(&sources.pipeline, function))
                .collect(),
        ),
    ]
}

/// The tables of docs/privileges.md.
fn read(text: &str) -> BTreeMap<String, Vec<Need>> {
    let mut functions: BTreeMap<String, Vec<Need>> = BTreeMap::new();
    let mut function = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            function = Some(name.to_owned());
        }
        let (Some(function), true) = (&function, line.starts_with("| `")) else {
            continue;
        };
        let mut words = line.split('`').skip(1).step_by(2).map(str::to_owned);
        if let (Some(action), Some(resource)) = (words.next(), words.next()) {
            functions.entry(function.clone()).or_default().push(Need {
                action,
                resource,
                tags: words.collect(),
                is_required: true,
            });
        }
    }
    functions
}

fn compare(
    pipeline: &Value,
    functions: &[&str],
    written: &BTreeMap<String, Vec<Need>>,
) -> Vec<String> {
    let mut findings = Vec::new();
    for function in functions {
        let Some(called) = written.get(*function) else {
            findings.push(format!(
                "docs/privileges.md says nothing of {function}: run `cargo test --test privileges`"
            ));
            continue;
        };
        let needs: Vec<Need> = called.iter().cloned().chain(implied(called)).collect();
        let id = logical_id(function);
        let grants = grants(pipeline, &id);
        for need in needs.iter().filter(|need| need.is_required) {
            if !grants.iter().any(|grant| grant.allows(need)) {
                findings.push(format!(
                    "{id} needs {} on {}, which no statement allows: add it to its Policies",
                    need.action, need.resource
                ));
            }
        }
        for grant in &grants {
            let used: Vec<&Need> = needs.iter().filter(|need| grant.allows(need)).collect();
            for action in &grant.actions {
                if !used.iter().any(|need| need.action == *action) {
                    findings.push(format!(
                        "{id} may {action} on {}, which it never does: remove it",
                        grant.resources.join(", ")
                    ));
                }
            }
            for resource in grant.resources.iter().filter(|_| !grant.is_inverted) {
                if !used.iter().any(|need| matches(resource, &need.resource)) {
                    findings.push(format!(
                        "{id} may {} on {resource}, of which it never does any: remove it",
                        grant.actions.join(", ")
                    ));
                }
            }
        }
    }
    findings
}

fn implied(called: &[Need]) -> Vec<Need> {
    let mut all = Vec::new();
    for implied in &IMPLIED {
        for call in called.iter().filter(|call| call.action == implied.by) {
            let bucket = call.resource.split('/').next().unwrap_or_default();
            let holds = implied.where_.is_empty() || call.tags.contains(implied.where_);
            let need = Need {
                action: implied.action.to_owned(),
                resource: implied.resource.replace("{bucket}", bucket),
                tags: BTreeSet::new(),
                is_required: implied.is_required,
            };
            if holds && !all.contains(&need) {
                all.push(need);
            }
        }
    }
    all
}

/// All statements for a function, those of the managed policies that it names among them.
fn grants(pipeline: &Value, id: &str) -> Vec<Grant> {
    let resources = &pipeline["Resources"];
    let policies = resources[id]["Properties"]["Policies"].as_array();
    let documents = policies.into_iter().flatten().map(|policy| {
        policy["Ref"].as_str().map_or(
            policy,
            |managed| &resources[managed]["Properties"]["PolicyDocument"],
        )
    });
    let statements = documents.flat_map(|document| several(&document["Statement"]));
    statements
        .map(|statement| {
            let is_inverted = statement.get("NotResource").is_some();
            let named = if is_inverted {
                "NotResource"
            } else {
                "Resource"
            };
            let actions = several(&statement["Action"]);
            Grant {
                actions: actions
                    .filter_map(|action| action.as_str().map(str::to_owned))
                    .collect(),
                resources: several(&statement[named]).map(resource).collect(),
                is_inverted,
                conditions: statement["Condition"].clone(),
            }
        })
        .collect()
}

fn several(value: &Value) -> impl Iterator<Item = &Value> {
    let one = (!value.is_array() && !value.is_null()).then_some(value);
    value.as_array().into_iter().flatten().chain(one)
}

/// A resource in the words of docs/privileges.md: a resource of the template by its name, another by what follows the
/// account in its ARN.
fn resource(value: &Value) -> String {
    let named = [&value["Ref"], &value["Fn::GetAtt"][0], &value["Fn::Sub"]];
    let mut named = [value].into_iter().chain(named);
    let text = named.find_map(Value::as_str).unwrap_or_default();
    let text = text
        .replace("${AWS::StackName}", "exuvia")
        .replace("${AWS::", "${")
        .replace(".Arn}", "")
        .replace("${", "")
        .replace('}', "");
    match text.strip_prefix("arn:") {
        Some(rest) => rest.splitn(5, ':').last().unwrap_or_default().to_owned(),
        None => text,
    }
}

impl Grant {
    fn allows(&self, need: &Need) -> bool {
        let named = self
            .resources
            .iter()
            .any(|resource| matches(resource, &need.resource));
        let bears = |tag: &str| need.tags.is_empty() || need.tags.contains(tag);
        self.actions.contains(&need.action)
            && named != self.is_inverted
            && self.tags().iter().all(|tag| bears(tag))
    }

    /// Keys of ours that the resource must bear, or that the call must give it.
    fn tags(&self) -> Vec<&str> {
        let keys = self.conditions["Null"].as_object().into_iter().flatten();
        keys.filter(|(_, is_absent)| *is_absent == "false")
            .filter_map(|(key, _)| {
                let tag = key.strip_prefix("aws:ResourceTag/");
                tag.or_else(|| key.strip_prefix("aws:RequestTag/"))
            })
            .filter(|tag| tag.starts_with("exuvia:"))
            .collect()
    }

    /// Whether a condition goes by this key.
    fn goes_by(&self, key: &str) -> bool {
        let operators = self.conditions.as_object().into_iter().flatten();
        operators
            .map(|(_, keys)| keys)
            .any(|keys| keys.get(key).is_some())
    }
}

/// As IAM does: `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match text.split_once(part) {
            Some((_, after)) => text = after,
            None => return false,
        }
    }
    text.ends_with(last)
}

/// What holds for every statement, whatever is called.
fn confined(pipeline: &Value, function: &str) -> Vec<String> {
    let id = logical_id(function);
    let mut findings = Vec::new();
    let policies = &pipeline["Resources"][&id]["Properties"]["Policies"];
    for word in ["NotAction", "NotPrincipal"] {
        if !collect(policies, word).is_empty() {
            findings.push(format!(
                "{id}: {word} allows what nobody has thought of: name the actions"
            ));
        }
    }
    if collect(policies, "Effect")
        .iter()
        .any(|effect| **effect != "Allow")
    {
        findings.push(format!(
            "{id}: this check reads statements that allow, and no others"
        ));
    }
    for grant in grants(pipeline, &id) {
        for action in &grant.actions {
            let wrong = too_wide(&grant, action);
            findings.extend(wrong.map(|wrong| format!("{id} may {action} {wrong}")));
        }
    }
    findings
}

fn too_wide(grant: &Grant, action: &str) -> Option<&'static str> {
    let (service, operation) = action.split_once(':').unwrap_or_default();
    let is_of_fleets = ["autoscaling", "elasticloadbalancing"].contains(&service);
    // Metrics have no resources, and composite alarms are described to whoever may describe all.
    let of_metrics = ["cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData"].contains(&action);
    let looks = of_metrics || is_of_fleets && operation.starts_with("Describe");
    let anything = |resource: &String| {
        ["*", "LedgerBucket/*", "ArtifactsBucket/*"].contains(&resource.as_str())
    };
    if action.contains('*') {
        return Some("and more besides: name each action");
    }
    if grant.resources.iter().any(|resource| resource == "*") && !looks {
        return Some("on everything: name the resources");
    }
    if is_of_fleets && !looks && grant.tags().is_empty() {
        // Tags are only added to what the same call creates, and that must bear ours.
        let as_created = action == "elasticloadbalancing:AddTags"
            && grant.goes_by("elasticloadbalancing:CreateAction");
        return (!as_created).then_some("on what is no app's: let it depend on a tag exuvia:*");
    }
    if ["s3:PutObject", "s3:DeleteObject"].contains(&action) && grant.resources.iter().any(anything)
    {
        return Some("on every key: name those that are its own");
    }
    if action == "iam:PassRole" {
        let ours = |resource: &String| resource.starts_with("role/exuvia");
        let is_confined = grant.goes_by("iam:PassedToService") && grant.resources.iter().all(ours);
        return (!is_confined).then_some(
            "of roles that are no instance's: name role/exuvia* and iam:PassedToService",
        );
    }
    if ["kms:Decrypt", "kms:GenerateDataKey"].contains(&action) && !grant.goes_by("kms:ViaService")
    {
        return Some("by itself: let it depend on kms:ViaService");
    }
    None
}

#[cfg(test)]
mod tests;
