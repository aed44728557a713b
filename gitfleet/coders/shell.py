"""The coder `shell`: runs the fenced `sh` block of the task; no model, no account.

`sh -e`: the first failing command ends the attempt. Uncommitted changes are committed with the
task's title. Each attempt starts on a clean tip, since a script cannot continue where another run
stopped.
"""

from __future__ import annotations

import re
from typing import Final

from gitfleet.coders.base import Cannot, Coder, Job, Launch, judge_exit, text_reader

_BLOCK: Final = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[ \t]*(?:sh|bash|shell)[ \t]*\n(?P<script>.*?)^(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


def script_of(body: str) -> str | None:
    """The first fenced `sh` block of a task's text."""
    found = _BLOCK.search(body)
    return found["script"] if found else None


def launch(job: Job) -> Launch:
    """Run the block from a file, never as an argument."""
    script = script_of(job.body)
    if script is None:
        raise Cannot("the coder shell needs a fenced block that begins with ```sh in the task")
    path = job.run_dir / "script.sh"
    path.write_text(script)
    return Launch(argv=("sh", "-e", str(path)))


CODER: Final = Coder(
    "shell",
    program="sh",
    launch=launch,
    reader=text_reader,
    judge=judge_exit,
    fresh=True,
    speaks=False,
)
