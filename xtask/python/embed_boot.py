"""Copies infra/boot.sh into the launch template's user data in infra/app.yaml, but for its comments: user data is short."""

import re
from pathlib import Path

infra = Path(__file__).resolve().parents[2] / "infra"
template = infra / "app.yaml"
indent = " " * 12
lines = (infra / "boot.sh").read_text().splitlines()
# What the script is stays at its top.
top = next(number for number, line in enumerate(lines) if not line.startswith("#"))
lines = lines[:top] + [line for line in lines[top:] if not re.match(r"\s*#", line)]
script = "".join(indent + line + "\n" if line.strip() else "\n" for line in lines)
text, found = re.subn(
    r"(Fn::Base64: \|\n)(?:" + indent + r".*\n|\n(?=(?:\n)*" + indent + r"))*",
    lambda match: match.group(1) + script,
    template.read_text(),
)
if found != 1:
    raise SystemExit(f"{template}: expected one `Fn::Base64: |`, found {found}")
template.write_text(text)
