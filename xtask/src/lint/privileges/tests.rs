use serde_json::json;

use super::*;

const WRITTEN: &str = "# Title\n\n## lock\n\n| action | resource | bears the tags |\n| --- | --- | --- |\n\
    | `s3:GetObject` | `LedgerBucket/*/*/lock.json` |  |\n\
    | `s3:PutObject` | `LedgerBucket/*/*/lock.json` |  |\n\
    | `autoscaling:SuspendProcesses` | `autoScalingGroup:*:autoScalingGroupName/*` | `exuvia:app`, `exuvia:release` |\n";

fn pipeline(statements: &Value) -> Value {
    json!({"Resources": {
        "Read": {"Properties": {"PolicyDocument": {"Statement": [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": {"Fn::Sub": "${LedgerBucket.Arn}/*"}},
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": {"Fn::GetAtt": ["LedgerBucket", "Arn"]}},
            {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
             "Resource": {"Fn::GetAtt": ["Key", "Arn"]}, "Condition": {"StringEquals": {"kms:ViaService": "s3"}}},
        ]}}},
        "LockFunction": {"Properties": {"Policies": [{"Ref": "Read"}, {"Statement": statements}]}},
    }})
}

fn put() -> Value {
    json!({"Effect": "Allow", "Action": "s3:PutObject", "Resource": {"Fn::Sub": "${LedgerBucket.Arn}/*/lock.json"}})
}

fn suspend(tag: &str) -> Value {
    let arn = "arn:${AWS::Partition}:autoscaling:${AWS::Region}:${AWS::AccountId}:autoScalingGroup:*:autoScalingGroupName/*";
    let mut tags = serde_json::Map::new();
    tags.insert(format!("aws:ResourceTag/{tag}"), json!("false"));
    json!({"Effect": "Allow", "Action": "autoscaling:SuspendProcesses", "Resource": {"Fn::Sub": arn},
           "Condition": {"Null": tags}})
}

fn compared(statements: &Value) -> Vec<String> {
    compare(&pipeline(statements), &["lock"], &read(WRITTEN))
}

#[test]
fn what_is_called_is_allowed_and_nothing_else() {
    assert_eq!(
        compared(&json!([put(), suspend("exuvia:release")])),
        [""; 0]
    );
    let other =
        json!({"Effect": "Allow", "Action": ["s3:DeleteObject"], "Resource": {"Ref": "Topic"}});
    for (statements, expected) in [
        (
            json!([put()]),
            vec![
                "LockFunction needs autoscaling:SuspendProcesses on autoScalingGroup:*:autoScalingGroupName/*, \
                  which no statement allows: add it to its Policies",
            ],
        ),
        (
            json!([put(), suspend("exuvia:release"), other]),
            vec![
                "LockFunction may s3:DeleteObject on Topic, which it never does: remove it",
                "LockFunction may s3:DeleteObject on Topic, of which it never does any: remove it",
            ],
        ),
        // What is changed bears no such tag.
        (
            json!([put(), suspend("exuvia:build")]),
            vec![
                "LockFunction needs autoscaling:SuspendProcesses on autoScalingGroup:*:autoScalingGroupName/*, \
                 which no statement allows: add it to its Policies",
                "LockFunction may autoscaling:SuspendProcesses on autoScalingGroup:*:autoScalingGroupName/*, \
                 which it never does: remove it",
                "LockFunction may autoscaling:SuspendProcesses on autoScalingGroup:*:autoScalingGroupName/*, \
                 of which it never does any: remove it",
            ],
        ),
    ] {
        assert_eq!(compared(&statements), expected);
    }
    let nothing = compare(&pipeline(&json!([])), &["lock"], &BTreeMap::new());
    assert!(nothing[0].contains("says nothing of lock"), "{nothing:?}");
}

#[test]
fn a_call_implies_what_iam_asks_for_besides() {
    let of = |action: &str, resource: &str, tag: &str| {
        let called = Need {
            action: action.to_owned(),
            resource: resource.to_owned(),
            tags: [tag.to_owned()].into(),
            is_required: true,
        };
        let all = implied(&[called]).into_iter();
        all.map(|need| format!("{} {}", need.action, need.resource))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of("s3:GetObjectVersion", "ArtifactsBucket/*/*/config.env", ""),
        [
            "s3:ListBucket ArtifactsBucket",
            "s3:ListBucketVersions ArtifactsBucket",
            "kms:Decrypt Key"
        ]
    );
    let builders = of(
        GROUP,
        "autoScalingGroup:*:autoScalingGroupName/*",
        "exuvia:build",
    );
    assert!(
        builders.contains(&"iam:PassRole role/exuvia-builders/*".to_owned()),
        "{builders:?}"
    );
    assert!(
        !builders.contains(&"iam:PassRole role/exuvia/*".to_owned()),
        "{builders:?}"
    );
}

#[test]
fn what_is_too_wide_is_told() {
    let told = |statement: Value| confined(&pipeline(&json!([statement])), "lock");
    assert_eq!(told(put()), [""; 0]);
    assert_eq!(told(suspend("exuvia:release")), [""; 0]);
    let allow = |action: &str, resource: Value| json!({"Effect": "Allow", "Action": action, "Resource": resource});
    for (statement, says) in [
        (allow("s3:Put*", json!("x")), "name each action"),
        (
            allow("states:DescribeExecution", json!("*")),
            "name the resources",
        ),
        (suspend("owner"), "a tag exuvia:*"),
        (
            allow("s3:PutObject", json!({"Fn::Sub": "${LedgerBucket.Arn}/*"})),
            "its own",
        ),
        (
            allow(
                "iam:PassRole",
                json!({"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/*"}),
            ),
            "role/exuvia*",
        ),
        (
            allow("kms:Decrypt", json!({"Ref": "Key"})),
            "kms:ViaService",
        ),
        (
            json!({"Effect": "Deny", "Action": "s3:GetObject", "Resource": "x"}),
            "statements that allow",
        ),
        (
            json!({"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "x"}),
            "NotAction",
        ),
    ] {
        let found = told(statement);
        assert!(
            found.len() == 1 && found[0].contains(says),
            "{says}: {found:?}"
        );
    }
}

#[test]
fn a_pattern_matches_as_iam_does() {
    for (pattern, text, is_match) in [
        ("*", "anything", true),
        (
            "LedgerBucket/*/lock.json",
            "LedgerBucket/*/*/lock.json",
            true,
        ),
        (
            "LedgerBucket/*/lock.json",
            "LedgerBucket/*/*/live.json",
            false,
        ),
        ("LedgerBucket", "LedgerBucket/*", false),
        ("a*b*c", "a-b-b-c", true),
        ("a*b*c", "a-c", false),
    ] {
        assert_eq!(matches(pattern, text), is_match, "{pattern} {text}");
    }
}
