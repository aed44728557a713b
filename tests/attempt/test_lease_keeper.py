"""Leases of runs: renewed by themselves, no longer than what is surely ours."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from gitfleet.attempt import lease_keeper
from gitfleet.attempt.lease_keeper import LeaseKeeper
from gitfleet.event_log import EventLog
from gitfleet.execution.local import renew
from gitfleet.process.procfs import boot_seconds
from gitfleet.run_dir import RunDir

NONCE = "0123456789abcdef" * 2


def _until(run_dir: Path) -> float:
    return float(json.loads((run_dir / "lease.json").read_text())["until"])


def test_a_machine_that_wakes_up_renews_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the boot goes on while a machine sleeps: what was renewed a moment ago by all
    other clocks is due."""
    kept = LeaseKeeper()
    with kept.kept(NONCE, partial(renew, RunDir(tmp_path)), 300):
        first = _until(tmp_path)
        kept.renew()
        assert _until(tmp_path) == first  # just done
        monkeypatch.setattr(lease_keeper, "boot_seconds", lambda: first + 3600)
        kept.renew()
        assert _until(tmp_path) == first + 3600 + 300


def test_no_longer_than_others_leave_it_to_us(tmp_path: Path) -> None:
    """On a shared board a lease ends when others may take the claim; where nobody has heard of
    us yet, nothing is said at all."""
    kept = LeaseKeeper()
    kept.lease_left = lambda _nonce: None
    with kept.kept(NONCE, partial(renew, RunDir(tmp_path)), 300):
        assert not (tmp_path / "lease.json").exists()
        kept.lease_left = lambda _nonce: 7.0
        kept.renew()
        assert _until(tmp_path) <= boot_seconds() + 7


def test_nobody_is_waited_for(tmp_path: Path) -> None:
    """The thread of an attempt may wait for a server: its lease is kept all the same, and no
    longer than the run is attended to."""
    kept = LeaseKeeper()
    service = kept.service(EventLog(lambda _line: None))
    service.start()
    with kept.kept(NONCE, partial(renew, RunDir(tmp_path)), 0.001):
        first, renewed = _until(tmp_path), 0.0
        while renewed <= first:
            renewed = _until(tmp_path)
    service.stop()
    assert kept._kept == {}
