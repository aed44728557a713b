"""The runner's heart on a shared board: looks at the remote, beats, and watches others' beats.

One thread, one conversation with the server at a time. Everything it learns is told to the loop by
a wake; everything it decides is pure (`plan.lease`).
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gitfleet.assets import own_version
from gitfleet.errors import FleetError, GitError
from gitfleet.git import refs, remote
from gitfleet.git.objects import Objects, Signature
from gitfleet.git.remote import Fate, Unreachable
from gitfleet.git.repo import Repo
from gitfleet.model.board import Board
from gitfleet.model.durations import seconds
from gitfleet.plan.lease import Beat, LeaseWatch, OwnLease
from gitfleet.process import boot_seconds
from gitfleet.shared import BEATS, SEEN_BEATS, Shared
from gitfleet.work.fleet import Fleet, Live

POLL: Final = 5.0  # seconds between looks at the remote, where heartbeats are rarer
_FILE: Final = "heartbeat.json"
_FORMAT: Final = 1


class Heart:
    """Keeps a runner known to the others, and them to it."""

    def __init__(
        self,
        fleet: Fleet,
        shared: Shared,
        lives: Callable[[], Mapping[str, Live]],
        wake: Callable[[], None],
        slots: int | None = None,
        duties: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """`duties`: what this runner could do for all beside the work (`first`)."""
        self._duties = duties
        self.fleet, self.shared = fleet, shared
        self._lives, self._wake = lives, wake
        settings = fleet.store.board().settings
        self._about = {
            "host": socket.gethostname(),
            "version": own_version(),
            "capacity": slots or fleet.machine.concurrency or settings.concurrency,
            "labels": list(fleet.machine.labels),
        }
        self.every = seconds(settings.heartbeat)
        self.watch = LeaseWatch(heartbeat=self.every, lease=seconds(settings.lease))
        self.own = OwnLease(lease=seconds(settings.lease))
        self.offline = ""  # why, while the remote cannot be reached
        self.lost: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._due = 0.0
        self._changed: dict[str, tuple[str, float]] = {}  # runner -> its beat, and since when
        self._able: dict[str, tuple[str, ...]] = {}  # runner -> the duties it could do

    def first(self, duty: str = "") -> bool:
        """Whether of all live runners this one's name is the lowest: it draws the page.

        With a duty, of those that can do it; who cannot comes after all that can.
        """
        return self.since(duty)[0]

    def since(self, duty: str = "") -> tuple[bool, float]:
        """The same, and the monotonic time of the last sign of life of those that come before this
        one; 0 if there is none."""
        mine = not duty or duty in self._duties()
        last = max(
            (
                at
                for name, (_, at) in list(self._changed.items())
                if name != self.fleet.runner
                and (name < self.fleet.runner or not mine)
                and (not duty or duty in self._able.get(name, ()))
            ),
            default=0.0,
        )
        return last == 0.0 or last < time.monotonic() - self.watch.lease, last

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Say goodbye: the last beat holds nothing, so that others need not wait for a lease."""
        self._stop.set()
        self._thread.join(timeout=remote.TIMEOUT)

    def expired(self) -> bool:
        """Whether others may have taken what we hold."""
        return self.own.over(boot_seconds())

    def _run(self) -> None:
        while not self._stop.is_set():
            self.beat()
            self._stop.wait(min(self.every, POLL))
        self._send(())

    def beat(self) -> None:
        """One look, and a heartbeat if one is due. Never raises."""
        try:
            before = self.shared.tip()
            self.shared.look()
            self.shared.follow()
            if time.monotonic() >= self._due:
                self._send(tuple(self._lives().items()))
            self._judge()
            moved = self.shared.tip() != before
        except Unreachable as error:
            self._say_offline(error.what)
        except FleetError as error:
            self.fleet.report.once("heart", "error", reason=error.what)
        else:
            if self.offline:
                self.offline = ""
                self.fleet.report.settled("offline")
                self.fleet.report.action("online", remote=self.shared.name)
                moved = True
            if moved or self.lost:
                self._wake()

    def _say_offline(self, why: str) -> None:
        self.offline = why
        self.fleet.report.once(
            "offline",
            "offline",
            remote=self.shared.name,
            reason=why,
            remedy="nothing new is claimed until it answers",
        )
        self._wake()

    def _send(self, lives: tuple[tuple[str, Live], ...]) -> None:
        started = boot_seconds()
        content = self._content(lives)
        objects = Objects(self.fleet.repo)
        who = self.fleet.store.signature()
        tree = objects.write_tree(None, {_FILE: json.dumps(content).encode()})
        commit = objects.write_commit(
            tree, [], "heartbeat\n", who, Signature(who.name, who.email, who.when)
        )
        ref = f"{BEATS}{self.fleet.runner}"
        seen = refs.read(self.fleet.repo, f"{SEEN_BEATS}{self.fleet.runner}")
        pushed = remote.push(self.fleet.repo, self.shared.name, [refs.Move(ref, seen, commit)])
        if pushed.fate is Fate.DONE:
            self.own.arrived(started)
            self._due = time.monotonic() + self.every
            refs.swap(
                self.fleet.repo, f"{SEEN_BEATS}{self.fleet.runner}", seen, commit, message="beat"
            )
        elif pushed.fate is Fate.UNKNOWN:
            raise Unreachable(f"the heartbeat did not arrive: {pushed.reason}")

    def _content(self, lives: tuple[tuple[str, Live], ...]) -> dict[str, Any]:
        now = time.monotonic()
        return {
            "format": _FORMAT,
            "runner": self.fleet.runner,
            "at": self.fleet.store.now().isoformat(),  # to be shown; nobody compares clocks
            "mark": secrets.token_hex(8),
            **self._about,
            "duties": [] if self._stop.is_set() else list(self._duties()),
            "attempts": [
                {
                    "nonce": nonce,
                    "task": live.task,
                    "role": live.role.value,
                    "coder": live.coder,
                    "attempt": live.attempt,
                    "doing": self.fleet.mask.text(live.doing),
                    "elapsed": round(now - live.began),
                    "silence": round(now - live.heard),
                    "tokens": live.tokens.total,
                }
                for nonce, live in lives
            ],
        }

    def _judge(self) -> None:
        """What of others' claims is lost by now."""
        tip = self.shared.tip()
        if tip is None:
            return
        board = self.fleet.store.board_at(tip)
        others = {
            entry.claim.nonce: entry.claim.runner
            for entry in board.entries.values()
            if entry.claim is not None and entry.claim.runner != self.fleet.runner
        }
        told = contents(self.fleet)
        seen = _beats(told)
        self._able = {name: _words(content.get("duties")) for name, content in told.items()}
        for name, beat in seen.items():
            if self._changed.get(name, ("", 0.0))[0] != beat.mark:
                self._changed[name] = (beat.mark, time.monotonic())
        self.lost = self.watch.look(time.monotonic(), others, seen)


def _words(given: object) -> tuple[str, ...]:
    """What a stranger's heartbeat lists, as far as it is a list of words."""
    return tuple(one for one in given if isinstance(one, str)) if isinstance(given, list) else ()


def _beats(told: Mapping[str, dict[str, Any]]) -> dict[str, Beat]:
    """Every heartbeat as it was last seen."""
    found = {}
    for name, content in told.items():
        nonces = frozenset(
            str(attempt.get("nonce"))
            for attempt in content["attempts"]
            if isinstance(attempt, dict)
        )
        found[name] = Beat(content["oid"], nonces)
    return found


def contents(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """What every runner's last heartbeat says; one that cannot be read is none."""
    return seen(fleet.repo)


def seen(repo: Repo) -> dict[str, dict[str, Any]]:
    """The same of any clone, as far as it was fetched there."""
    found: dict[str, dict[str, Any]] = {}
    objects = Objects(repo)
    for ref, oid in refs.names(repo, SEEN_BEATS).items():
        try:
            entry = objects.find(objects.tree_of(oid), _FILE)
            content = json.loads(objects.blob(entry.oid)) if entry else None
        except (GitError, ValueError):
            continue
        if isinstance(content, dict) and isinstance(content.get("attempts"), list):
            found[ref.removeprefix(SEEN_BEATS)] = {**content, "oid": oid}
    return found


def claims_of(board: Board, runner: str) -> dict[str, str]:
    """nonce -> task, of one runner's claims."""
    return {
        entry.claim.nonce: entry.id
        for entry in board.entries.values()
        if entry.claim is not None and entry.claim.runner == runner
    }
