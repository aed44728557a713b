"""Run git. Every git process of gitfleet starts here."""

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

# Variables that point git at another repository, index or object store. A hook or an alias that
# starts gitfleet sets some of them for *its* repository. GIT_CONFIG_PARAMETERS and GIT_CONFIG_COUNT
# stay: a person (`git -c … fleet run`) or a container passes settings with them, safe.directory and
# credentials among them. GIT_AUTHOR_* and GIT_COMMITTER_* stay, too.
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
# Where git keeps the objects of a push while a hook decides on it.
_QUARANTINE: Final = (
    "GIT_QUARANTINE_PATH",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
)
_entered: Final[dict[str, str]] = {}
_FIXED: Final = {
    "LC_ALL": "C",  # our code parses git's messages
    "GIT_TERMINAL_PROMPT": "0",  # no person can answer a prompt
    "GIT_OPTIONAL_LOCKS": "0",  # `status` must not take a person's index.lock
    "GIT_EDITOR": ":",
    "GIT_SEQUENCE_EDITOR": ":",
    "GIT_MERGE_AUTOEDIT": "no",
    "GIT_PAGER": "cat",
}
# In a web address everything before the host is secret (a token may be in the place of the user);
# in other addresses only the part after a colon (`ssh://git@host` gives nothing away).
_WEB_SECRET: Final = re.compile(r"\b(https?://)[^/\s'\"]+@", re.IGNORECASE)
_OTHER_SECRET: Final = re.compile(
    r"\b([a-z][a-z0-9+.-]*://[^/\s'\":@]*):[^/\s'\"]+@", re.IGNORECASE
)


@dataclass(frozen=True)
class CommandResult:
    """The result of a git command. `code` is its exit status."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def out(self) -> str:
        """The output as text, without white space at its ends."""
        return os.fsdecode(self.stdout).strip()

    @property
    def fields(self) -> list[str]:
        """The output of a `-z` command as file names: the strings between the NULs."""
        return [os.fsdecode(field) for field in self.stdout.split(b"\0") if field]


def mask(text: str) -> str:
    """The text without the credentials in its addresses."""
    return _OTHER_SECRET.sub(r"\1:***@", _WEB_SECRET.sub(r"\1***@", text))


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without the variables that redirect git, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in _REDIRECTS}
    return {**kept, **_entered, **_FIXED, **(extra or {})}


def enter_quarantine() -> None:
    """Make the objects of a push visible to everything this process does, for a pre-receive hook.

    Call it before any repository is opened. Nothing may be written afterwards.
    """
    _entered.update({name: os.environ[name] for name in _QUARANTINE if name in os.environ})


def quarantine() -> Path | None:
    """The folder with the objects of the push that a hook decides on."""
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
    """Run git in `cwd` and wait for it, at most `timeout` seconds.

    `env` is added to `clean_env`. Raises GitError if git exits with another status than 0 (unless
    `check` is False) or takes too long.
    """
    done = run(["git", *args], cwd=cwd, env=clean_env(env), input=input, timeout=timeout)
    stderr = mask(done.stderr.decode("utf-8", "replace").strip())
    if done.timed_out:
        raise GitError(f"{shown(args)} took longer than {timeout:g} seconds", stderr=stderr)
    if check and done.code != 0:
        raise failure(args, done.code, stderr)
    return CommandResult(done.code, done.stdout, stderr)


def failure(args: tuple[str, ...], code: int, stderr: str) -> GitError:
    """An error with the command, its exit status and the last lines of its output."""
    said = " / ".join(line.strip() for line in stderr.splitlines()[-3:] if line.strip())
    what = f"{shown(args)} failed with exit status {code}"
    return GitError(f"{what}: {said}" if said else what, stderr=stderr)


def shown(args: tuple[str, ...]) -> str:
    """The command as a person would type it, with secrets masked, and shortened."""
    line = mask(shlex.join(["git", *args]))
    return line if len(line) <= 300 else f"{line[:300]}…"
