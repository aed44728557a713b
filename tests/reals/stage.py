"""Real coders on a real board, speaking with a scripted model: few words a test.

    with stage(tmp_path, {"one": work("one")}) as on:
        on.task("one", coder="claude")
        assert on.lab.run("--until-idle").status == 0

Each stage has a home of its own, no network but loopback, and nobody to report to. When it is taken
down no process of any attempt may be left, and the script must have found every tool it wanted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.acceptance.fleetlab import Lab, laboratory
from tests.reals.installed import PINNED
from tests.reals.model import Model, Step, cue, refuse, say, shell

TOOLLESS: Final = "aider"  # it has no tools: it writes files by what the model says, and commits
MODELS: Final = {
    "claude": "claude-sonnet-4-5",
    "codex": "gpt-5",
    "opencode": "scripted",
    "gemini": "gemini-2.5-pro",
    "aider": "scripted",
}
NOWHERE: Final = "http://the-network-is-off-limits-to-tests.invalid:9"


@dataclass
class Stage:
    """A laboratory whose coders speak with a model."""

    lab: Lab
    model: Model

    def task(self, id: str, coder: str, **keys: Any) -> None:
        """Write a task whose prompt carries the cue of the play of its name; not committed."""
        body = f"Make the file {id}.txt. {cue(id)}\n"
        keys = {"coder": coder, "model": MODELS[coder], "checks": [f"test -s {id}.txt"], **keys}
        self.lab.write_task(id, body=body, **keys)

    def use(self, key: str) -> None:
        """The key that the coders have from now on."""
        keys = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
        self.lab.env.update(dict.fromkeys(keys, key))


def work(task: str, coder: str) -> list[Step]:
    """A play: plan, make a file, be told to wait, commit, say that it is done."""
    wait = refuse(429, after=1)
    if coder == TOOLLESS:
        whole = f"I make {task}.txt.\n\n{task}.txt\n```\nhello\n```\n"
        return [wait, say(whole), say(f"Add {task}.txt")]
    return [
        shell(f"echo hello > {task}.txt", f"The plan: I make {task}.txt, then I commit it."),
        wait,
        shell(f"git add -A && git commit -q -m 'Add {task}.txt'"),
        say("All done."),
    ]


def settings(url: str, names: Sequence[str]) -> dict[str, Any]:
    """What fleet.yaml says of the coders."""
    return {name: {"base_url": url + _PATHS.get(name, "")} for name in names}


_PATHS: Final = {"codex": "/v1", "opencode": "/v1", "aider": "/v1"}


def _environment(bin: Path) -> Mapping[str, str]:
    return {
        "PATH": f"{bin}:{os.environ['PATH']}",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE),
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "2",  # of its own accord it tries ten times, three minutes long
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def processes_in(folder: Path) -> list[str]:
    """Live processes that work below a folder, whatever environment they have."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " ")[:200])
    return found


@contextmanager
def stage(
    folder: Path, plays: Mapping[str, Sequence[Step]], *, toolless: Sequence[str] = (), **keys: Any
) -> Iterator[Stage]:
    """Everything set up for these plays; `toolless` are those of aider."""
    bin = folder / "bin"
    bin.mkdir(parents=True)
    for cli in PINNED.values():
        if cli.installed:
            (bin / cli.name).symlink_to(cli.program)
    with Model(plays, toolless=toolless) as model:
        coders = settings(model.url, list(PINNED))
        with laboratory(folder / "lab", coders=coders, **keys) as lab:
            lab.env.update(_environment(bin), PWD=str(lab.path))
            on = Stage(lab, model)
            on.use(model.key)
            yield on
            assert not model.missed
            assert not lab.left_over()
            assert not processes_in(lab.folder)
