"""Reads every policy in the templates with parliament, and prints what it finds as JSON.

    policies.py DIRECTORY    of NAME.template.json, as transform.py writes them

    [{"check": "UNKNOWN_ACTION", "at": "pipeline/ReadLedger/Properties/PolicyDocument", "text": "..."}]

parliament reads policies as AWS would: so each reference in one becomes an example of what it stands for.
"""

import json
import re
import sys
from pathlib import Path

from parliament import analyze_policy_string

PSEUDO = {
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::StackId": "arn:aws:cloudformation:us-east-1:111122223333:stack/exuvia/1",
    "AWS::StackName": "exuvia",
    "AWS::URLSuffix": "amazonaws.com",
}
HERE = "us-east-1:111122223333"
ARNS = {
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{HERE}:alarm:{{}}",
    "AWS::Events::Rule": f"arn:aws:events:{HERE}:rule/{{}}",
    "AWS::IAM::Role": "arn:aws:iam::111122223333:role/{}",
    "AWS::KMS::Key": f"arn:aws:kms:{HERE}:key/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{HERE}:function:{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{HERE}:log-group:{{}}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SNS::Topic": f"arn:aws:sns:{HERE}:{{}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{HERE}:{{}}",
    "AWS::SSM::Parameter": f"arn:aws:ssm:{HERE}:parameter/{{}}",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{HERE}:stateMachine:{{}}",
}
# Ref of these is their ARN.
NAMED_BY_ARN = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}


class Template:
    def __init__(self, document, exports):
        self.resources = document["Resources"]
        self.parameters = document.get("Parameters", {})
        self.exports = exports

    def resolve(self, value):
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) != 1:
            return {name: self.resolve(member) for name, member in value.items()}
        ((name, inner),) = value.items()
        if name == "Ref":
            return self.reference(inner)
        if name == "Fn::GetAtt":
            return self.reference(inner if isinstance(inner, str) else ".".join(inner))
        if name == "Fn::Sub":
            return self.substitute(inner)
        if name == "Fn::If":
            return self.resolve(inner[1])
        if name == "Fn::Join":
            return inner[0].join(self.resolve(inner[1]))
        if name == "Fn::Split":
            return self.resolve(inner[1]).split(inner[0])
        if name == "Fn::Select":
            # An example may have fewer parts than what it stands for.
            parts = self.resolve(inner[1])
            return parts[min(int(inner[0]), len(parts) - 1)]
        if name == "Fn::ImportValue":
            return self.exports[self.resolve(inner)]
        if name.startswith("Fn::"):
            raise ValueError(f"{name} in a policy: policies.py cannot tell yet what it becomes")
        return {name: self.resolve(inner)}

    def substitute(self, inner):
        text, own = (inner, {}) if isinstance(inner, str) else inner

        def value(match):
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            return str(self.resolve(own[name])) if name in own else str(self.reference(name))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    def reference(self, name):
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            default = self.parameters[name].get("Default")
            return str(default) if default not in (None, "") else name.lower()
        resource, _, attribute = name.partition(".")
        kind = self.resources[resource]["Type"]
        example = resource.lower() if kind == "AWS::S3::Bucket" else resource
        if attribute == "Arn" or (not attribute and kind in NAMED_BY_ARN):
            return ARNS[kind].format(example)
        return example


def policies(value, path=()):
    """What has statements, and where; but who may assume a role names no resource, which parliament takes for a mistake."""
    if isinstance(value, dict):
        if "Statement" in value and path[-1] != "AssumeRolePolicyDocument":
            yield "/".join(path), value
            return
        for name, member in value.items():
            yield from policies(member, (*path, name))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from policies(member, (*path, str(index)))


def findings(policy):
    statements = policy["Statement"]
    statements = statements if isinstance(statements, list) else [statements]
    # The policy of a key or a bucket: there "*" is that key.
    of_resource = any("Principal" in statement for statement in statements)
    for finding in analyze_policy_string(json.dumps(policy)).findings:
        if finding.issue == "RESOURCE_STAR" and of_resource:
            continue
        if finding.issue == "RESOURCE_MISMATCH":
            for miss in finding.detail:
                yield finding.issue, f"{miss['action']} is also about {miss['required_format']}, which no Resource is"
        else:
            yield finding.issue, str(finding.detail)


directory = Path(sys.argv[1])
documents = {path.name.split(".")[0]: json.loads(path.read_text()) for path in sorted(directory.glob("*.template.json"))}

exports = {}
pipeline = Template(documents["pipeline"], exports)
for output in documents["pipeline"]["Outputs"].values():
    if "Export" in output:
        exports[pipeline.resolve(output["Export"]["Name"])] = pipeline.resolve(output["Value"])

found, read = {}, 0
for name, document in documents.items():
    template = Template(document, exports)
    for path, policy in policies(document["Resources"]):
        read += 1
        for check, text in findings(template.resolve(policy)):
            found[(check, f"{name}/{path}", text)] = None
if not read:
    sys.exit(f"there is no policy in {directory}")
json.dump([{"check": check, "at": at, "text": text} for check, at, text in found], sys.stdout, indent=1)
