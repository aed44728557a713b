"""The loop sees, decides and does: rounds of a runner in this process."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gitfleet.board.store import utc_now
from gitfleet.errors import FleetError
from gitfleet.model.states import Status
from gitfleet.plan.status import status_of
from gitfleet.runner.idle import IDLE_DONE, IDLE_WAITS
from gitfleet.runner.loop import Runner
from gitfleet.runner.options import Options
from tests.plan.kit import logged, tasks
from tests.runner.kit import Place

SCRIPT = b"---\ntitle: App\n---\n```sh\necho x > x\n```\n"


def _runner(place: Place, *, until_idle: bool = False) -> Runner:
    place.now = utc_now()
    return Runner(place.project, Options(until_idle=until_idle))


def test_a_run_until_idle_does_all_that_can_be_done(tmp_path: Path) -> None:
    """One task, from its file to the target, and the end of the run by itself."""
    place = Place(tmp_path, {"tasks/app.md": SCRIPT})
    assert _runner(place, until_idle=True).run() == IDLE_DONE
    assert status_of(place.board, "app", utc_now()).status is Status.DONE
    assert place.git("show", "main:x") == "x"
    names = place.names()
    assert names[0] == "running" and names.count("claimed") == 2 and "landed" in names
    assert "error" not in names


def test_one_process_can_serve_two_repositories(tmp_path: Path) -> None:
    """At the same time, with a task of the same id in each: files, logs, workspaces and commits of
    the two do not mix, and each repository is locked and released by its own runner."""
    places = [
        Place(tmp_path / name, {"tasks/app.md": SCRIPT.replace(b"echo x", f"echo {name}".encode())})
        for name in ("one", "two")
    ]
    ends = dict.fromkeys(("one", "two"), -1)

    def work(name: str, place: Place) -> None:
        ends[name] = _runner(place, until_idle=True).run()

    threads = [
        threading.Thread(target=work, args=(name, place), daemon=True)
        for name, place in zip(ends, places, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ends.values()) == {IDLE_DONE}
    for name, place in zip(ends, places, strict=True):
        assert place.git("show", "main:x") == name
        assert status_of(place.board, "app", utc_now()).status is Status.DONE
        names = place.names()
        assert names.count("claimed") == 2 and names.count("landed") == 1, place.lines
        assert "error" not in names and place.project.clone.pending_claims() == {}
        assert not place.project.clone.workspace("app").exists()
        assert place.project.clone.running() is None


def test_a_run_that_leaves_something_to_a_person_says_so(tmp_path: Path) -> None:
    """By its status and in its last line."""
    place = Place(tmp_path, tasks("app"), logged("app", "work tampered"))
    assert _runner(place, until_idle=True).run() == IDLE_WAITS
    assert place.names()[-1] == "unfinished"


def test_the_first_signal_drains_and_the_second_ends(tmp_path: Path) -> None:
    """With the first nothing new is claimed; the second hurries every service along."""
    place = Place(tmp_path, {"tasks/app.md": SCRIPT})
    runner = _runner(place)
    runner.signalled()
    assert runner._round() is None
    assert runner.draining and not place.project.giving_up.is_set()
    assert place.board.entries["app"].claim is None
    runner.signalled()
    runner._round()
    assert runner.ending and place.project.giving_up.is_set()
    assert place.names() == ["stopping", "ending-attempts"]


@pytest.mark.parametrize("leave", [True, False])
def test_a_signal_before_the_first_round_ends_the_run(tmp_path: Path, leave: bool) -> None:
    """Whatever it is: nothing was begun."""
    place = Place(tmp_path, {"tasks/app.md": SCRIPT})
    runner = _runner(place)
    (runner.told_to_leave if leave else runner.signalled)()
    assert runner.run() == IDLE_DONE and place.board.entries["app"].claim is None


def test_one_who_is_told_to_leave_claims_nothing_more(tmp_path: Path) -> None:
    """What it holds is left to the next runner of the clone."""
    place = Place(tmp_path, {"tasks/app.md": SCRIPT})
    runner = _runner(place)
    runner.told_to_leave()
    runner._round()
    assert place.board.entries["app"].claim is None


def test_a_round_that_fails_is_logged_once_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known error by its sentence, a bug with its traceback; and the health of the loop says
    since when."""
    place = Place(tmp_path)
    runner = _runner(place)
    errors: list[Exception | None] = [
        *(FleetError("the board is stuck"), FleetError("the board is stuck")),
        KeyError("bug"),
        None,
    ]

    def board() -> object:
        error = errors.pop(0)
        if error is not None:
            raise error
        return real()

    real = place.store.board
    monkeypatch.setattr(runner.claims, "settle_lost", lambda _board: board())
    pauses = [runner._guarded() for _ in range(3)]
    assert pauses == [5.0] * 3 and place.names() == ["error", "error"]
    assert 'reason="the board is stuck"' in place.lines[0]
    assert f"trace={place.project.clone.folder}/error-loop.txt" in place.lines[1]
    health = runner.services.health()[0]
    assert (health.name, health.error) == ("loop", "KeyError('bug')")
    assert runner._guarded() == 30.0
    assert runner.services.health()[0].failing_since is None


def test_of_a_board_of_another_format_nothing_is_claimed(tmp_path: Path) -> None:
    """A newer gitfleet wrote it: that is logged, once."""
    place = Place(tmp_path, {"tasks/app.md": SCRIPT})
    place.put({"fleet.yaml": b"format: 99\n"})
    runner = _runner(place)
    runner._round()
    runner._round()
    assert place.board.entries["app"].claim is None
    assert place.names().count("newer-format") == 1


def test_a_moved_ref_wakes_the_loop(tmp_path: Path) -> None:
    """A person's commit is seen at once, and not at the next slow poll."""
    place = Place(tmp_path)
    runner = _runner(place)
    done = threading.Event()
    with runner._watcher():
        runner.wake.clear()
        place.put(tasks("new"))

        def wait() -> None:
            runner._wait(3600)
            done.set()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        assert done.wait(60)
        thread.join()
