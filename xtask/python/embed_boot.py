"""Copies infra/boot.sh and infra/build.sh into the launch templates' user data, but for their comments: it is short."""

import re
from pathlib import Path

infra = Path(__file__).resolve().parents[2] / "infra"
indent = " " * 10


def embed(script, template):
    lines = (infra / script).read_text().splitlines()
    # What the script is stays at its top.
    top = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    lines = lines[:top] + [line for line in lines[top:] if not re.match(r"\s*#", line)]
    text = "".join(indent + line + "\n" if line.strip() else "\n" for line in lines)
    template = infra / template
    copied, found = re.subn(
        r"(UserData: !Base64 \|\n)(?:" + indent + r".*\n|\n(?=(?:\n)*" + indent + r"))*",
        lambda match: match.group(1) + text,
        template.read_text(),
    )
    if found != 1:
        raise SystemExit(f"{template}: expected one `UserData: !Base64 |`, found {found}")
    template.write_text(copied)


embed("boot.sh", "app.yaml")
embed("build.sh", "builder.yaml")
