"""Start git, the one way in which everything here starts it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gitfleet.errors import GitError
from gitfleet.process.run import run

# What would point git at another repository, another index or another place for objects. A hook
# or an alias that starts us has some of these set, for *its* repository. GIT_CONFIG_PARAMETERS and
# GIT_CONFIG_COUNT stay: they are how a person (`git -c … fleet run`) or a container hands over
# settings, safe.directory and credentials among them. GIT_AUTHOR_* and GIT_COMMITTER_* stay, too.
_REDIRECTS: Final = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_ATTR_SOURCE",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_DEFAULT_HASH",
        "GIT_DEFAULT_REF_FORMAT",
        "GIT_DIFF_OPTS",
        "GIT_DIR",
        "GIT_EXTERNAL_DIFF",
        "GIT_GLOB_PATHSPECS",
        "GIT_GRAFT_FILE",
        "GIT_ICASE_PATHSPECS",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INDEX_VERSION",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REFLOG_ACTION",
        "GIT_REPLACE_REF_BASE",
        "GIT_SEQUENCE_EDITOR",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
        "LANGUAGE",
    }
)
# Where git keeps the objects of a push that a hook has yet to judge.
_QUARANTINE: Final = (
    "GIT_QUARANTINE_PATH",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)
_entered: Final[dict[str, str]] = {}
_FIXED: Final = {
    "LC_ALL": "C",  # messages are read
    "GIT_TERMINAL_PROMPT": "0",  # nobody is there to answer
    "GIT_OPTIONAL_LOCKS": "0",  # `status` must not take a person's index.lock
    "GIT_EDITOR": ":",
    "GIT_SEQUENCE_EDITOR": ":",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_PAGER": "cat",
}
# In a web address all that stands before the host is secret (a token may stand where the user
# would); in others only what follows a colon (`ssh://git@host` tells nothing).
_WEB_SECRET: Final = re.compile(r"\b(https?://)[^/\s'\"]+@", re.IGNORECASE)
_OTHER_SECRET: Final = re.compile(
    r"\b([a-z][a-z0-9+.-]*://[^/\s'\":@]*):[^/\s'\"]+@", re.IGNORECASE
)


@dataclass(frozen=True)
class CommandResult:
    """What a git command said. `code` is its exit status."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def out(self) -> str:
        """The output as text, without white space at its ends."""
        return os.fsdecode(self.stdout).strip()

    @property
    def fields(self) -> list[str]:
        """The output of a `-z` command: what stood between the NULs, as file names."""
        return [os.fsdecode(field) for field in self.stdout.split(b"\0") if field]


def mask(text: str) -> str:
    """The text without the credentials that addresses in it carry."""
    return _OTHER_SECRET.sub(r"\1:***@", _WEB_SECRET.sub(r"\1***@", text))


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would redirect git, and with `extra` on top."""
    kept = {name: value for name, value in os.environ.items() if name not in _REDIRECTS}
    return {**kept, **_entered, **_FIXED, **(extra or {})}


def enter_quarantine() -> None:
    """For a hook that judges a push: see its objects, too, in everything this process does.

    To be called before any repository is opened. Nothing may be written after that.
    """
    _entered.update({name: os.environ[name] for name in _QUARANTINE if name in os.environ})


def quarantine() -> Path | None:
    """Where the objects of the push that is being judged lie."""
    found = _entered.get("GIT_OBJECT_DIRECTORY")
    return Path(found) if found else None


def git(
    *args: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    input: bytes = b"",
    timeout: float = 60.0,
    check: bool = True,
) -> CommandResult:
    """Run git in `cwd` and wait for it, `timeout` seconds at most.

    `env` is laid over `clean_env`. Raises GitError if git exits with another status than 0
    (unless `check` is False) or takes too long.
    """
    done = run(["git", *args], cwd=cwd, env=clean_env(env), input=input, timeout=timeout)
    stderr = mask(done.stderr.decode("utf-8", "replace").strip())
    if done.timed_out:
        raise GitError(f"{shown(args)} took longer than {timeout:g} seconds", stderr=stderr)
    if check and done.code != 0:
        raise failure(args, done.code, stderr)
    return CommandResult(done.code, done.stdout, stderr)


def failure(args: tuple[str, ...], code: int, stderr: str) -> GitError:
    """The error that shows the command, its exit status and the last lines it wrote."""
    said = " / ".join(line.strip() for line in stderr.splitlines()[-3:] if line.strip())
    what = f"{shown(args)} failed with exit status {code}"
    return GitError(f"{what}: {said}" if said else what, stderr=stderr)


def shown(args: tuple[str, ...]) -> str:
    """The command as one would type it, masked, and cut where it gets long."""
    line = mask(shlex.join(["git", *args]))
    return line if len(line) <= 300 else f"{line[:300]}…"
