"""The runners that are known to this clone, and what each of their attempts does just now.

This clone's own runner is read from its status file, the others from their last heartbeats. These
come from anyone who can push, so everything is read as untrusted data. Their clocks are shown, and
never compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import click

from gitfleet.assets import own_version
from gitfleet.board import heartbeats
from gitfleet.board.clone_state import read_json
from gitfleet.cli.support import format
from gitfleet.cli.support.session import CliSession, machine
from gitfleet.git import remote
from gitfleet.git.remote import Unreachable
from gitfleet.git.repo import Repo
from gitfleet.model.board import Board
from gitfleet.model.claim import Claim
from gitfleet.model.config import Machine
from gitfleet.model.durations import spoken
from gitfleet.plan.cooldown import cooldowns

_MOST: Final = 1_000  # attempts shown for one runner
_MOST_SERVICES: Final = 50  # of one runner
_LONGEST: Final = 200  # characters shown of one word from another machine
_TEXTS: Final = ("nonce", "task", "role", "coder", "doing", "state", "last")
_NUMBERS: Final = ("attempt", "elapsed", "silence", "tokens", "context", "window")


def known(session: CliSession) -> list[dict[str, Any]]:
    """Every known runner, as it last described itself, in the order of their names."""
    found = {
        runner: _told(runner, heartbeat)
        for runner, heartbeat in heartbeats.seen(session.repo).items()
    }
    board = session.store.board()
    own = _own(session, board, found)
    if own is not None:
        found[own["name"]] = own
    now = session.store.now()
    return [
        {
            **found[runner],
            "cooldowns": {c: str(r) for c, r in cooldowns(board, runner, now).items()},
        }
        for runner in sorted(found)
    ]


def fetch(repo: Repo, name: str) -> None:
    """Fetch the runners' heartbeats; Unreachable if the remote does not answer."""
    remote.fetch(repo, name, [f"+{heartbeats.BEATS}*:{heartbeats.SEEN_BEATS}*"])


def look(repo: Repo, name: str) -> None:
    """The same. If the remote does not answer, print that and return the last fetched state."""
    try:
        fetch(repo, name)
    except Unreachable as error:
        click.echo(f"gitfleet: {format.line(error.what)}; showing what was seen last", err=True)


# -- heartbeats


def _told(runner: str, heartbeat: Mapping[str, Any]) -> dict[str, Any]:
    """A heartbeat with every key present and of the right type."""
    labels = heartbeat.get("labels")
    return {
        "name": _text(runner),
        "host": _text(heartbeat.get("host")),
        "version": _text(heartbeat.get("version")),
        "capacity": _number(heartbeat.get("capacity")),
        "labels": [_text(label) for label in labels[:50]] if isinstance(labels, list) else [],
        "at": _text(heartbeat.get("at")),  # by its own clock
        "here": False,
        "attempts": [
            _attempt(one) for one in heartbeat["attempts"][:_MOST] if isinstance(one, dict)
        ],
        "failing": failing(heartbeat),
    }


def failing(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The failing services: name, error, remedy, and seconds since the failure."""
    found = told.get("failing")
    return [
        {
            **{key: _text(one.get(key)) for key in ("name", "error", "remedy")},
            "elapsed": _number(one.get("elapsed")),
        }
        for one in (found[:_MOST_SERVICES] if isinstance(found, list) else [])
        if isinstance(one, dict)
    ]


def _attempt(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: _text(told.get(key)) for key in _TEXTS},
        **{key: _number(told.get(key)) for key in _NUMBERS},
    }


def _text(given: object) -> str:
    if not isinstance(given, str):
        return ""
    return given[:_LONGEST].encode("utf-8", "replace").decode()


def _number(given: object) -> int | None:
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    if isinstance(given, float) and not math.isfinite(given):
        return None
    return min(max(int(given), 0), 10**15)


# -- this clone


def _own(session: CliSession, board: Board, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """The live runner of this clone: its file, else its heartbeat, and its newest claims."""
    if session.clone.running() is None:
        return None
    own = machine()
    name = session.clone.runner_name(own.name)
    file = heartbeats.live(read_json(session.clone.folder / heartbeats.LIVE))
    one = _told(name, file) if file else known.get(name) or _unheard(name, own, board)
    told = {attempt["nonce"] for attempt in one["attempts"]}
    fresh = [
        _claimed(session, entry.id, entry.claim)
        for entry in board.entries.values()
        if entry.claim is not None and entry.claim.runner == name and entry.claim.nonce not in told
    ]
    at = known[name]["at"] if name in known else ""
    return {**one, "at": at, "here": True, "attempts": [*one["attempts"], *fresh]}


def _unheard(name: str, own: Machine, board: Board) -> dict[str, Any]:
    """A runner that has just started."""
    return {
        "name": name,
        "host": "",
        "version": own_version(),
        "capacity": own.concurrency or board.settings.concurrency,
        "labels": list(own.labels),
        "attempts": [],
        "failing": [],
    }


def _claimed(session: CliSession, task: str, claim: Claim) -> dict[str, Any]:
    """An attempt as the board describes it; this runner's own clock timed the claim."""
    took = (session.store.now() - claim.at).total_seconds()
    return {
        "nonce": claim.nonce,
        "task": task,
        "role": claim.role.value,
        "coder": claim.coder,
        **dict.fromkeys(("doing", "state", "last"), ""),
        **dict.fromkeys(_NUMBERS),
        "attempt": claim.attempt,
        "elapsed": max(0, round(took)),
    }


# -- words


def span(number: int | None, word: str) -> str:
    """A duration of an attempt in words; empty if it is unknown."""
    return f"{word} {spoken(number)}" if number is not None else ""


def failure(service: Mapping[str, Any], runner: str = "") -> str:
    """The failing service, since when it fails, and why."""
    where = f" on {runner}" if runner else ""
    since = f" for {spoken(service['elapsed'])}" if service["elapsed"] is not None else ""
    return f"{service['name']}{where} has been failing{since}: {service['error']}"


def doing(attempt: Mapping[str, Any]) -> str:
    """The attempt's activity: the coder's state if it is known, else the runner's."""
    return str(attempt["state"] or attempt["doing"])


def progress(repo: Repo) -> dict[str, str]:
    """The activity of every attempt in a heartbeat, by the nonce of its claim."""
    found: dict[str, str] = {}
    for runner, heartbeat in heartbeats.seen(repo).items():
        for attempt in _told(runner, heartbeat)["attempts"]:
            # A foreign nonce may be any text; callers look up only the nonces of claims.
            words = (
                doing(attempt),
                span(attempt["elapsed"], "for"),
                f"{attempt['tokens']} tokens" if attempt["tokens"] else "",
            )
            found[attempt["nonce"]] = ", ".join(word for word in words if word)
    return found
