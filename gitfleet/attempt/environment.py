"""The environment of an attempt: which variables it gets, and which ones are removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from gitfleet.attempt.context import ClaimedTask, Project
from gitfleet.forges.registry import TOKEN
from gitfleet.git.command import clean_env
from gitfleet.model.secrets import NOTIFY_URLS
from gitfleet.process.procfs import MARKER
from gitfleet.run_dir import RunDir

DOMAIN: Final = "gitfleet.invalid"  # a name that never exists (RFC 2606)
# Not for attempts: our own switches, and variables that let a runner act for people.
_OURS: Final = ("GITFLEET_FAULT", "GITFLEET_NO_FSYNC", TOKEN, NOTIFY_URLS)


def committer_of(claimed: ClaimedTask) -> str:
    """The e-mail that identifies every ref move of an attempt."""
    return f"{claimed.claim.nonce[:16]}@{DOMAIN}"


def identity(claimed: ClaimedTask) -> dict[str, str]:
    """Author and committer of an attempt's commits."""
    coder = _name_of(claimed)
    return {
        "GIT_AUTHOR_NAME": coder,
        "GIT_AUTHOR_EMAIL": f"{coder}@{DOMAIN}",
        "GIT_COMMITTER_NAME": f"{coder} (gitfleet)",
        "GIT_COMMITTER_EMAIL": committer_of(claimed),
    }


def _name_of(claimed: ClaimedTask) -> str:
    return claimed.claim.coder or "gitfleet"


def environment(
    project: Project, claimed: ClaimedTask, run_dir: RunDir, tmp: Path
) -> dict[str, str]:
    """The whole environment of an attempt's processes."""
    base = {name: value for name, value in clean_env().items() if name not in _OURS}
    own = {
        **identity(claimed),
        "GITFLEET_TASK": claimed.task,
        "GITFLEET_ATTEMPT": str(claimed.claim.attempt),
        "GITFLEET_ROLE": claimed.claim.role.value,
        "GITFLEET_BASE": claimed.claim.base,
        "GITFLEET_OUTBOX": str(run_dir.outbox),
        "GITFLEET_INBOX": str(run_dir.inbox),
        "GITFLEET_ASK_WAIT": claimed.board.settings.ask.wait,
        MARKER: claimed.claim.nonce,
        "TMPDIR": str(tmp),
        "PATH": f"{_command_folder(project)}{os.pathsep}{base.get('PATH', os.defpath)}",
    }
    return {**base, **own, **_settings(base, claimed)}


def _settings(base: Mapping[str, str], claimed: ClaimedTask) -> dict[str, str]:
    """git settings for the attempt alone, after those in the environment already.

    The identity's name is among them: if git knows none, aider writes one into the repository's
    settings.
    """
    name = _name_of(claimed)
    extra = [("user.name", name), ("user.email", f"{name}@{DOMAIN}")]
    if not claimed.board.settings.sign:
        extra += [("commit.gpgsign", "false"), ("tag.gpgsign", "false")]
    try:
        start = int(base.get("GIT_CONFIG_COUNT", "0"))
    except ValueError:
        start = 0
    found = {"GIT_CONFIG_COUNT": str(start + len(extra))}
    for number, (key, value) in enumerate(extra, start):
        found[f"GIT_CONFIG_KEY_{number}"], found[f"GIT_CONFIG_VALUE_{number}"] = key, value
    return found


def _command_folder(project: Project) -> Path:
    """A folder with nothing but `gitfleet` in it, for PATH.

    Our own virtual environment's folder would put our python before the project's. `-P`: files in
    the worktree are never imported as gitfleet, not even if the project is gitfleet.
    """
    folder = project.clone.folder / "bin"
    script = folder / "gitfleet"
    python = sys.executable.replace("'", "'\\''")
    text = f"#!/bin/sh\nexec '{python}' -P -m gitfleet \"$@\"\n"
    if not script.exists() or script.read_text() != text:
        folder.mkdir(parents=True, exist_ok=True)
        fd, aside = tempfile.mkstemp(dir=folder)
        with os.fdopen(fd, "w") as file:
            file.write(text)
        Path(aside).chmod(0o755)
        Path(aside).replace(script)
    return folder


def scratch_name(nonce: str) -> str:
    """The start of the name of an attempt's TMPDIR."""
    return f"gitfleet-{nonce[:8]}-"


@contextlib.contextmanager
def scratch(nonce: str) -> Iterator[Path]:
    """The attempt's own TMPDIR, removed afterwards; short, since sockets are created there."""
    path = Path(tempfile.mkdtemp(prefix=scratch_name(nonce)))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
