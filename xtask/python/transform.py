"""Writes infra/*.yaml as JSON, for the checks that read templates.

    transform.py OUT    OUT/NAME.source.json   the template as it is written, in the long form (Fn::Sub, Ref)
                        OUT/NAME.template.json what CloudFormation makes of it: without the SAM transform, and
                                               with the state machine's definition inlined

cfn-lint sees neither a definition behind DefinitionUri nor the IAM actions of a SAM function; it does in this form.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """The templates name managed policies by ARN, so there is none to look up in an account."""

    def load(self):
        return {}


def expand(template, folder):
    for resource in template["Resources"].values():
        properties = resource["Properties"]
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://bucket/what-sam-package-uploads"
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            definition = folder / properties.pop("DefinitionUri")
            properties["Definition"] = json.loads(definition.read_text())
    expanded = transform(template, {}, NoManagedPolicies())
    for resource in expanded["Resources"].values():
        if resource["Type"] == "AWS::StepFunctions::StateMachine":
            text = resource["Properties"].pop("DefinitionString")
            definition = json.loads("".join(text["Fn::Join"][1]))
            # cfn-lint 1.58 knows numbers alone; Step Functions takes an expression as well:
            # https://docs.aws.amazon.com/step-functions/latest/dg/state-task.html
            for state in definition["States"].values():
                if isinstance(state.get("TimeoutSeconds"), str):
                    state["TimeoutSeconds"] = 60
            resource["Properties"]["Definition"] = definition
    return expanded


out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
for old in out.glob("*.template.json"):
    old.unlink()
for path in sorted((Path(__file__).resolve().parents[2] / "infra").glob("*.yaml")):
    source = path.read_text()
    template = yaml_parse(source)
    (out / f"{path.stem}.source.json").write_text(json.dumps(template, indent=1, default=str))
    if "Transform" in template:
        template = expand(template, path.parent)
    (out / f"{path.stem}.template.json").write_text(json.dumps(template, indent=1, default=str))
