"""Publish this runner's heartbeat and follow the others': leases, leadership, inbox branches.

One thread, one conversation with the server at a time. It wakes the loop when it learns something;
its decisions are pure (`plan.lease`).
"""

from __future__ import annotations

import json
import math
import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from gitfleet.attempt.context import LiveStatus, Project
from gitfleet.background_service import BackgroundService, FailedRound, failure_of
from gitfleet.board import heartbeats
from gitfleet.board.heartbeats import BEATS, SEEN_BEATS
from gitfleet.board.remote_handle import RemoteHandle
from gitfleet.event_log import Action
from gitfleet.git import refs
from gitfleet.git.commits import Signature
from gitfleet.git.objects import Objects
from gitfleet.git.remote import PushFate, RemoteRejected, Unreachable, patience
from gitfleet.model.board import Board
from gitfleet.model.durations import seconds, spoken
from gitfleet.plan.lease import InFlightClaims, LastHeartbeat, LeaseWatch, OwnLease, foreign_claims
from gitfleet.presence import payload
from gitfleet.process.procfs import boot_seconds

POLL: Final = 5.0  # seconds between two fetches if heartbeats are rarer
STUCK: Final = 300.0  # seconds; a round of the loop that takes longer counts as stuck


class HeartbeatThread:
    """Publishes this runner's heartbeat and follows the others'."""

    def __init__(
        self,
        project: Project,
        remote: RemoteHandle,
        lives: Callable[[], Mapping[str, LiveStatus]],
        wake: Callable[[], None],
        slots: int | None = None,
        duties: Callable[[], Sequence[str]] = tuple,
        health: payload.Health = tuple,
    ) -> None:
        """`duties`: this runner's possible duties besides the work (`first`).

        `health` reports its services; the failing ones are in the heartbeat.
        """
        self._duties, self._health = duties, health
        self.fleet, self.remote = project, remote
        self._lives, self._wake = lives, wake
        settings = project.store.board().settings
        self._about = payload.about(project, slots)
        self.every = seconds(settings.heartbeat)
        self.watch = LeaseWatch(heartbeat=self.every, lease=seconds(settings.lease))
        self.own = OwnLease(lease=seconds(settings.lease))
        self._in_flight = InFlightClaims()
        self._inbox: dict[tuple[str, str], float] = {}  # branch and commit -> since when
        self.offline = ""  # why, while the remote cannot be reached
        self.lost: frozenset[str] = frozenset()
        self._leaving = False
        pause = min(self.every, POLL)  # never longer: others measure the time between heartbeats
        self.service = BackgroundService(
            "heartbeat",
            self.exchange,
            project.report,
            failure=self._failed,
            goodbye=self._goodbye,
            first_pause=pause,
            last_pause=pause,
            farewell=patience(),
            traces=project.clone.folder,
        )
        self._due = 0.0
        self._turned = time.monotonic()
        self._stuck = False
        self._changed: dict[str, tuple[str, float]] = {}  # runner -> its heartbeat, and since when
        self._able: dict[str, tuple[str, ...]] = {}  # runner -> its possible duties

    def is_leader(self, duty: str = "") -> bool:
        """Whether this runner's name is the lowest of all live ones: it writes the status page.

        With a duty, only the runners that can do it count; a runner that cannot is never before
        them.
        """
        return self.leader_since(duty)[0]

    def leader_since(self, duty: str = "") -> tuple[bool, float]:
        """The same, and when the runners before this one last showed signs of life.

        That time is monotonic, and 0 if there are no such runners.
        """
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

    def leave(self) -> None:
        """Stop without a goodbye heartbeat: this clone's next runner continues our attempts."""
        self._leaving = True

    def turned(self) -> None:
        """Record that the loop completed a round."""
        self._turned = time.monotonic()

    def claiming(self, nonce: str) -> None:
        """Record that a claim is about to be sent."""
        self.own.claimed(nonce, boot_seconds())

    def expired(self, nonce: str | None = None) -> bool:
        """Whether others may have taken this claim by now, or, without one, all of our claims."""
        return self.own.over(boot_seconds(), nonce)

    def lease_left(self, nonce: str) -> float | None:
        """Seconds for which this claim is surely ours; None before our first heartbeat arrived."""
        return self.own.left(boot_seconds(), nonce) if self.own.heard else None

    def left(self) -> float:
        """Seconds until the first lease of our claims ends."""
        now, lives = boot_seconds(), self._lives()
        return min((self.own.left(now, nonce) for nonce in lives), default=math.inf)

    def too_late(self) -> frozenset[str]:
        """The recorded nonces that can no longer appear on the board.

        Call it in the thread that claims, so that a claim that it is just sending is not given up.
        """
        tip = self.remote.tip()
        if tip is None:
            return frozenset()
        board, held = self.fleet.store.board_at(tip), self.fleet.clone.pending_claims()
        there = {entry.claim.nonce for entry in board.entries.values() if entry.claim is not None}
        return self._in_flight.look(tip, held.keys() - self._lives().keys() - there)

    def inbox(self) -> dict[str, str]:
        """The remote's inbox branches that this runner should merge now, with their commits.

        The first runner takes them at once; the others only those that it leaves for a while.
        """
        found, now = self.remote.inbox(), time.monotonic()
        self._inbox = {one: self._inbox.get(one, now) for one in found.items()}
        wait = 0.0 if self.is_leader() else 2 * self.every
        return {ref: oid for (ref, oid), at in self._inbox.items() if now - at >= wait}

    def exchange(self) -> float:
        """Fetch, and send a heartbeat if one is due. Returns seconds until the next call."""
        try:
            moved = self._look()
        except Unreachable as error:
            self.offline = error.what
            self._wake()
            raise
        if self.offline:
            self.offline = ""
            self.fleet.report.action(Action.ONLINE, remote=self.remote.name)
            moved = True
        if moved or self.lost:
            self._wake()
        return min(self.every, POLL)

    def _look(self) -> bool:
        """Whether the remote has something new for the loop."""
        before, began = self.remote.tip(), time.monotonic()
        self.remote.fetch()
        self.remote.follow()
        if time.monotonic() >= self._due and self._loop_lives():
            self._send(tuple(self._lives().items()))
        self._find_lost(began)
        return self.remote.tip() != before or bool(self.inbox())

    def _goodbye(self) -> None:
        """Send a last heartbeat without claims, so that others need not wait for a lease."""
        if not self._leaving:
            self._send(())

    def _failed(self, error: Exception) -> FailedRound:
        ending = "goodbye" if self.service.ending.is_set() else ""
        if not isinstance(error, Unreachable) or ending:
            return failure_of(error, doing=ending)
        remedy = "nothing new is claimed until it answers"
        fields = {"remote": self.remote.name, "reason": error.what, "remedy": remedy}
        return FailedRound(Action.OFFLINE, fields)

    def _loop_lives(self) -> bool:
        """Whether the loop completed a round lately.

        A heartbeat without a live loop would protect claims that no attempt works on. If it stops,
        other runners take them over after a lease.
        """
        if time.monotonic() - self._turned < STUCK:
            if self._stuck:
                self.fleet.report.settled("stuck")
            self._stuck = False
            return True
        self._stuck = True
        self.fleet.report.once(
            "stuck",
            Action.LOOP_STUCK,
            reason=f"the main loop has not finished a round for {spoken(STUCK)}",
            remedy="restart this runner: `gitfleet stop`, or kill it",
        )
        return False

    def _send(self, lives: tuple[tuple[str, LiveStatus], ...]) -> None:
        started = boot_seconds()
        project = self.fleet
        content = payload.content(
            project,
            self._about,
            dict(lives),
            self._health(),
            words=payload.may_share_output(project),
        )
        content["mark"] = secrets.token_hex(8)
        content["duties"] = [] if self.service.ending.is_set() else list(self._duties())
        objects = Objects(self.fleet.repo)
        who = self.fleet.store.signature()
        tree = objects.write_tree(None, {heartbeats.FILE: json.dumps(content).encode()})
        commit = objects.write_commit(
            tree, [], "heartbeat\n", who, Signature(who.name, who.email, who.when)
        )
        ref = f"{BEATS}{self.fleet.runner}"
        seen = refs.read(self.fleet.repo, f"{SEEN_BEATS}{self.fleet.runner}")
        pushed = self.remote.push_refs([refs.RefMove(ref, seen, commit)])
        if pushed.fate is PushFate.DONE:
            self.own.arrived(started, [nonce for nonce, _ in lives])
            # Runners that start together, after a power cut, must not keep sending at the same
            # time.
            spread = random.uniform(0.75, 1.0)  # noqa: S311 - hides nothing
            self._due = time.monotonic() + spread * self.every
            refs.swap(
                self.fleet.repo, f"{SEEN_BEATS}{self.fleet.runner}", seen, commit, message="beat"
            )
        elif pushed.fate is PushFate.UNKNOWN:
            raise Unreachable(f"could not push the heartbeat: {pushed.reason}")
        elif pushed.fate is PushFate.REFUSED:
            raise RemoteRejected(
                f"{self.remote.name} rejected the heartbeat: {pushed.reason}",
                remedy=f"Allow runners to push to {BEATS}*: without heartbeats they lose"
                " their claims.",
            )

    def _find_lost(self, began: float) -> None:
        """Decide which claims of others are lost, as of the fetch that began at `began`."""
        tip = self.remote.tip()
        if tip is None:
            return
        others = foreign_claims(self.fleet.store.board_at(tip), self.fleet.clone.pending_claims())
        told = heartbeats.seen(self.fleet.repo)
        seen = _beats(told)
        self._able = {name: _words(content.get("duties")) for name, content in told.items()}
        for name, last in seen.items():
            if self._changed.get(name, ("", 0.0))[0] != last.mark:
                self._changed[name] = (last.mark, time.monotonic())
        self.lost = self.watch.look(time.monotonic(), others, seen, began=began)


def _words(given: object) -> tuple[str, ...]:
    """A list of words in a foreign heartbeat, without other values."""
    return tuple(one for one in given if isinstance(one, str)) if isinstance(given, list) else ()


def _beats(told: Mapping[str, dict[str, Any]]) -> dict[str, LastHeartbeat]:
    """Every heartbeat as last fetched."""
    found = {}
    for name, content in told.items():
        nonces = frozenset(
            str(attempt.get("nonce"))
            for attempt in content["attempts"]
            if isinstance(attempt, dict)
        )
        found[name] = LastHeartbeat(content["oid"], nonces)
    return found


def claims_of(board: Board, runner: str) -> dict[str, str]:
    """nonce -> task, for one runner's claims."""
    return {
        entry.claim.nonce: entry.id
        for entry in board.entries.values()
        if entry.claim is not None and entry.claim.runner == runner
    }
