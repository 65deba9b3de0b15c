"""Copies infra/boot.sh and infra/build.sh into the launch templates' user data, where they must stand verbatim."""

import re
from pathlib import Path

infra = Path(__file__).resolve().parents[2] / "infra"
indent = " " * 12


def embed(script, template):
    lines = (infra / script).open()
    text = "".join(indent + line if line.strip() else line for line in lines)
    template = infra / template
    copied, found = re.subn(
        r"(Fn::Base64: \|\n)(?:" + indent + r".*\n|\n(?=(?:\n)*" + indent + r"))*",
        lambda match: match.group(1) + text,
        template.read_text(),
    )
    if found != 1:
        raise SystemExit(f"{template}: expected one `Fn::Base64: |`, found {found}")
    template.write_text(copied)


embed("boot.sh", "app.yaml")
embed("build.sh", "builder.yaml")
