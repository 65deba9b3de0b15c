"""Copies infra/boot.sh into the launch template's user data in infra/app.yaml, where it must stand verbatim."""

import re
from pathlib import Path

infra = Path(__file__).resolve().parents[2] / "infra"
template = infra / "app.yaml"
indent = " " * 12
script = "".join(indent + line if line.strip() else line for line in (infra / "boot.sh").open())
text, found = re.subn(
    r"(Fn::Base64: \|\n)(?:" + indent + r".*\n|\n(?=(?:\n)*" + indent + r"))*",
    lambda match: match.group(1) + script,
    template.read_text(),
)
if found != 1:
    raise SystemExit(f"{template}: expected one `Fn::Base64: |`, found {found}")
template.write_text(text)
