"""What `sam build` makes of a template: the same template, with each function's code already built.

    python built_template.py TEMPLATE ZIPS > BUILT

A function's code becomes ZIPS/<name>.zip, where <name> is that of its binary without `exuvia-`; the path of
the state machine's definition becomes absolute. Nothing else changes.
"""

import os
import sys

import awscli.clidriver  # before what it brings with it is imported
from awscli.customizations.cloudformation.yamlhelper import yaml_dump, yaml_parse

template_path, zips = sys.argv[1:]
with open(template_path, encoding="utf-8") as file:
    template = yaml_parse(file.read())

for name, resource in template["Resources"].items():
    properties = resource.get("Properties", {})
    if resource["Type"] == "AWS::Serverless::Function":
        binary = resource["Metadata"]["BuildProperties"]["Binary"]
        code = os.path.join(zips, binary.removeprefix("exuvia-") + ".zip")
        if not os.path.exists(code):
            sys.exit(f"{template_path}: {name} is built from {binary}, and {code} was not built")
        properties["CodeUri"] = os.path.abspath(code)
    if "DefinitionUri" in properties:
        definition = os.path.join(os.path.dirname(template_path), properties["DefinitionUri"])
        properties["DefinitionUri"] = os.path.abspath(definition)

print(yaml_dump(template))
