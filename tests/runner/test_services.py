"""The services of a runner start and stop in order, and their health can be seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitfleet.background_service import BackgroundService, ServiceHealth
from gitfleet.board import heartbeats
from gitfleet.board.clone_state import read_json
from gitfleet.board.heartbeats import BEATS
from gitfleet.runner.services import RunnerServices
from tests.runner.kit import Place

NOTIFY = {"fleet.yaml": b"format: 2\ntarget: main\nnotify: [failed]\n"}


def _services(place: Place, loop: list[ServiceHealth] | None = None) -> RunnerServices:
    return RunnerServices(place.project, 3, dict, lambda: None, lambda: loop or [])


def test_they_start_in_one_order_and_stop_in_the_reverse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat comes first and says goodbye last: until then others leave us the duties that
    one runner does for all."""
    done: list[str] = []
    real_start, real_stop = BackgroundService.start, BackgroundService.stop

    def start(service: BackgroundService) -> None:
        done.append(f"+{service.name}")
        real_start(service)

    def stop(service: BackgroundService) -> None:
        real_stop(service)
        done.append(f"-{service.name}")

    monkeypatch.setattr(BackgroundService, "start", start)
    monkeypatch.setattr(BackgroundService, "stop", stop)
    place = Place(tmp_path, shared=True)
    services = _services(place)
    with services.leases_kept(), services.running():
        assert all(one.running for one in services.health())
        (beat,) = heartbeats_on(place)
        assert beat["runner"] == "box" and beat["failing"] == []
    names = ["heartbeat", "transcripts", "forge", "notify", "live-status"]
    started = ["+leases", *(f"+{name}" for name in names)]
    assert done == [*started, *(f"-{name}" for name in reversed(names)), "-leases"]
    assert not any(one.running for one in services.health())
    (goodbye,) = heartbeats_on(place)
    assert goodbye["duties"] == [] and not (place.project.clone.folder / heartbeats.LIVE).exists()


def heartbeats_on(place: Place) -> list[dict[str, object]]:
    """The heartbeats on the server."""
    bare = place.path.parent / "srv.git"
    refs = place.git("ls-remote", str(bare), f"{BEATS}*").splitlines()
    return [
        json.loads(place.git(f"--git-dir={bare}", "show", f"{line.split()[0]}:heartbeat.json"))
        for line in refs
    ]


def test_a_board_of_one_clone_has_no_heart_and_one_leader(tmp_path: Path) -> None:
    """This runner does everything for all."""
    services = _services(Place(tmp_path))
    assert services.heartbeat is None and services.is_leader()
    assert services.leader_since("forge") == (True, 0.0)
    assert "heartbeat" not in {one.name for one in services.health()}


def test_what_fails_is_in_the_live_file_and_in_the_heartbeat(tmp_path: Path) -> None:
    """The loop, its duties and each service: other machines see it as well."""
    place = Place(tmp_path, NOTIFY, shared=True)
    loop = ServiceHealth(name="questions", failing_since=1.0, error="no room")
    services = _services(place, [loop])
    assert not services.notifier.service.attempt()
    assert services.live_status.service.attempt()
    assert services.heartbeat is not None and services.heartbeat.service.attempt()
    live = heartbeats.live(read_json(place.project.clone.folder / heartbeats.LIVE))
    (beat,) = heartbeats_on(place)
    told = beat["failing"]
    assert isinstance(told, list)
    for failing in (live["failing"], told):
        assert [one["name"] for one in failing] == ["questions", "notify"]
        assert "no service to send them" in failing[1]["error"]
        assert failing[1]["elapsed"] < 3600 and "notify.urls" in failing[1]["remedy"]


def test_a_server_that_is_away_is_logged_once_and_the_loop_is_woken(tmp_path: Path) -> None:
    """The heartbeat fails meanwhile, under its own name; when the server is back, that is logged
    too, and the next failure is news again."""
    place, woken = Place(tmp_path, shared=True), list[int]()
    services = RunnerServices(place.project, 3, dict, lambda: woken.append(1), list)
    heartbeat = services.heartbeat
    assert heartbeat is not None
    bare = tmp_path / "srv.git"
    for there in (True, False, False, True, False):
        bare, away = tmp_path / "srv.git", tmp_path / "away.git"
        if there and away.exists():
            away.rename(bare)
        if not there and bare.exists():
            bare.rename(away)
        assert heartbeat.service.attempt() is there
        assert bool(heartbeat.offline) is not there
        assert (heartbeat.service.health.failing_since is None) is there
    assert place.names() == ["offline", "online", "offline"] and woken
