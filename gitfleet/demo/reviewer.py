"""The demo's reviewer: a program that judges a change, as any program can.

It runs in the merged tree that would land, with the tree before it in $GITFLEET_BASE, and writes
its verdict to a file in $GITFLEET_OUTBOX. It finds forgotten prints, and proposes their repair.
Only the standard library: it runs without gitfleet.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path


def findings() -> list[tuple[str, int]]:
    """File and line of every `print` that the change adds to a Python file."""
    names = _diff("-z", "--name-only", "--diff-filter=d", path="*.py").split("\0")
    return [(name, line) for name in names if name for line in _prints(name)]


def _prints(name: str) -> list[int]:
    found, number = [], 0
    for line in _diff("-U0", path=f":(literal){name}").split("\n"):
        if hunk := re.match(r"@@ -\S+ \+(\d+)", line):
            number = int(hunk[1])
        elif line.startswith("+") and number:
            if re.match(r"\+\s*print\(", line):
                found.append(number)
            number += 1
    return found


def _diff(*options: str, path: str) -> str:
    """The change as a diff. A person's own diff settings must not affect it."""
    plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames")
    change = (os.environ["GITFLEET_BASE"], "HEAD")
    return subprocess.run(
        ["git", "diff", *plain, *options, *change, "--", path],
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=True,
    ).stdout


def verdict(found: list[tuple[str, int]]) -> dict[str, object]:
    """The verdict on a change with these findings."""
    if not found:
        return {"verdict": "accepted", "reason": "The reviewer found no defects."}
    # From the last line to the first, so that the line numbers stay correct. Paths are data.
    steps = [f"sed -i {number}d -- {shlex.quote(path)}" for path, number in reversed(found)]
    return {
        "verdict": "rejected",
        "reason": "It contains a debug print.",
        "findings": [f"{path}:{number}: a debug print" for path, number in found],
        "fix": {
            "title": "Remove the debug print",
            "coder": "shell",
            "body": "\n".join(
                ["It starts from the rejected work.", "", "```sh", *steps, "```", ""]
            ),
        },
    }


def main() -> None:
    """Review the change and write the verdict: written aside and renamed, so it is read whole."""
    said = verdict(findings())
    box = Path(os.environ["GITFLEET_OUTBOX"])
    aside = box / ".verdict.yaml"
    aside.write_text(json.dumps(said, ensure_ascii=False), encoding="utf-8")  # JSON is YAML
    aside.rename(box / "verdict.yaml")
    print(said["verdict"], said["reason"])  # noqa: T201 - what a coder prints is its log


if __name__ == "__main__":
    main()
