"""`gitfleet runners`: who works on this board, and what each does just now.

What is known of other machines is what their last heartbeat told, so it comes from anyone who can
push: everything is read as data of a stranger. Their clocks are shown, and never compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import click

from gitfleet.assets import own_version
from gitfleet.cli import draw
from gitfleet.cli.home import remote_of
from gitfleet.cli.session import Session, machine, open_session
from gitfleet.git import remote
from gitfleet.git.remote import Unreachable
from gitfleet.git.repo import Repo
from gitfleet.model.board import Board
from gitfleet.model.claim import Claim
from gitfleet.model.durations import spoken
from gitfleet.runner.heart import seen
from gitfleet.shared import BEATS, SEEN_BEATS

_MOST: Final = 1_000  # attempts of one runner that are shown
_LONGEST: Final = 200  # characters of a word of a stranger's
_TEXTS: Final = ("nonce", "task", "role", "coder", "doing")
_NUMBERS: Final = ("attempt", "elapsed", "silence", "tokens")


@click.command("runners")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(as_json: bool) -> None:
    """Show every runner that is known, and its attempts, as its last heartbeat has them."""
    session = open_session()
    name = remote_of(session.repo, session.store)
    if name is not None:
        _look(session.repo, name)
    known = {runner: _told(runner, beat) for runner, beat in seen(session.repo).items()}
    board = session.store.board()
    own = _own(session, board, known)
    if own is not None:
        known[own["name"]] = own
    found = [known[runner] for runner in sorted(known)]
    if as_json:
        draw.out_json(found)
        return
    for one in found:
        _show(one)
    if not found:
        click.echo("no runner is known here; `gitfleet run` starts one")


def _look(repo: Repo, name: str) -> None:
    try:
        remote.fetch(repo, name, [f"+{BEATS}*:{SEEN_BEATS}*"])
    except Unreachable as error:
        click.echo(f"gitfleet: {draw.line(error.what)}; this is what was seen last", err=True)


# -- what a heartbeat tells


def _told(runner: str, beat: Mapping[str, Any]) -> dict[str, Any]:
    """A heartbeat with every key, each of its kind."""
    labels = beat.get("labels")
    return {
        "name": _text(runner),
        "host": _text(beat.get("host")),
        "version": _text(beat.get("version")),
        "capacity": _number(beat.get("capacity")),
        "labels": [_text(label) for label in labels[:50]] if isinstance(labels, list) else [],
        "at": _text(beat.get("at")),  # by its own clock
        "here": False,
        "attempts": [_attempt(one) for one in beat["attempts"][:_MOST] if isinstance(one, dict)],
    }


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


def _own(session: Session, board: Board, known: Mapping[str, Any]) -> dict[str, Any] | None:
    """The live runner of this clone, which on a board without a remote has no heartbeat."""
    if session.clone.running() is None:
        return None
    own = machine()
    name = session.clone.runner_name(own.name)
    if name in known:
        return {**known[name], "here": True}
    claims = [
        (entry.id, entry.claim)
        for entry in board.entries.values()
        if entry.claim is not None and entry.claim.runner == name
    ]
    return {
        "name": name,
        "host": "",
        "version": own_version(),
        "capacity": own.concurrency or board.settings.concurrency,
        "labels": list(own.labels),
        "at": "",
        "here": True,
        "attempts": [_claimed(session, task, claim) for task, claim in claims],
    }


def _claimed(session: Session, task: str, claim: Claim) -> dict[str, Any]:
    """An attempt as far as the board tells of it; this runner's own clock made the claim."""
    took = (session.store.now() - claim.at).total_seconds()
    return {
        "nonce": claim.nonce,
        "task": task,
        "role": claim.role.value,
        "coder": claim.coder,
        "doing": "",
        "attempt": claim.attempt,
        "elapsed": max(0, round(took)),
        "silence": None,
        "tokens": None,
    }


# -- showing


def _show(one: Mapping[str, Any]) -> None:
    about = [
        f"on {one['host']}" if one["host"] else "",
        "in this clone" if one["here"] else "",
        f"gitfleet {one['version']}" if one["version"] else "",
        f"{len(one['attempts'])} of {one['capacity'] if one['capacity'] is not None else '?'}",
        f"labels {', '.join(one['labels'])}" if one["labels"] else "",
        f"last heard {one['at']} by its clock" if one["at"] else "",
    ]
    rest = draw.line("; ".join(part for part in about if part))
    click.echo(f"{draw.style(draw.line(one['name']), bold=True)}  {rest}")
    cells = [
        ["  " + draw.line(at["task"]), draw.line(at["role"]), draw.line(said(at))]
        for at in one["attempts"]
    ]
    for row in draw.columns(cells, draw.room()):
        click.echo("".join(row))


def said(attempt: Mapping[str, Any]) -> str:
    """What an attempt does just now, in a few words."""
    words = [
        attempt["coder"] or "checks",
        attempt["doing"],
        _span(attempt["elapsed"], "for"),
        _span(attempt["silence"], "silent for"),
        f"{attempt['tokens']} tokens" if attempt["tokens"] else "",
    ]
    return ", ".join(word for word in words if word)


def _span(number: int | None, word: str) -> str:
    return f"{word} {spoken(number)}" if number is not None else ""


def progress(repo: Repo) -> dict[str, str]:
    """What every attempt does that a heartbeat tells of, by the nonce of its claim."""
    found: dict[str, str] = {}
    for runner, beat in seen(repo).items():
        for attempt in _told(runner, beat)["attempts"]:
            # A stranger's nonce may be any text; only one that a claim has is ever asked for.
            words = (
                attempt["doing"],
                _span(attempt["elapsed"], "for"),
                f"{attempt['tokens']} tokens" if attempt["tokens"] else "",
            )
            found[attempt["nonce"]] = ", ".join(word for word in words if word)
    return found
