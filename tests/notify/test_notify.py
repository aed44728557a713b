"""News reach people once each, whatever dies or is down meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gitfleet.errors import FleetError
from gitfleet.files import codec
from gitfleet.model.config import Machine, MachineNotify, Notice
from gitfleet.model.event import Attempt, Landed
from gitfleet.model.secrets import NOTIFY_URLS
from gitfleet.model.states import Outcome
from gitfleet.notify import notifier
from gitfleet.notify.notifier import Notifier
from gitfleet.notify.spool import Spool, box_texts
from tests.forges.kit import Desk, desk
from tests.notify.sink import Sink, sink

ALL = f"notify: [{', '.join(Notice)}]"


@pytest.fixture
def service() -> Iterator[Sink]:
    """A service that takes messages."""
    with sink() as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, service: Sink, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A board whose people want to be told everything; the address stands nowhere afterwards."""
    monkeypatch.setenv(NOTIFY_URLS, service.url)
    with desk(tmp_path, ALL, shared=False) as made:
        yield made
        assert "s3cret" not in "\n".join(made.lines)
        files = [path for path in made.fleet.clone.folder.rglob("*") if path.is_file()]
        assert not [path for path in files if b"s3cret" in path.read_bytes()]


@contextmanager
def runner(
    place: Desk, leads: Callable[[], tuple[bool, float]] = lambda: (True, 0.0)
) -> Iterator[Notifier]:
    """A notifier as in a runner; ended like one."""
    made = Notifier(place.fleet, leads)
    made.round()
    try:
        yield made
    finally:
        made.service.end()
        made.service.start()
        made.service.stop()


def _attempt(number: int, outcome: Outcome, until: datetime | None = None) -> bytes:
    now = datetime(2026, 11, 20, 15, number, tzinfo=UTC)
    return codec.write(
        Attempt(
            runner="oak",
            nonce=f"{number:032x}",
            attempt=number,
            outcome=outcome,
            reason="so it was",
            started=now,
            ended=now,
            coder="claude",
            until=until,
        )
    )


def _task(place: Desk, task: str) -> None:
    place.write({f"tasks/{task}.md": f"---\ntitle: Do {task}\n---\n".encode()})


@pytest.mark.slow
def test_what_is_old_at_the_very_first_start_is_told_to_nobody(place: Desk, service: Sink) -> None:
    """Only what comes after it."""
    place.ask()
    with runner(place):
        place.ask("map-tiles-2", "And how old?")
    service.until(lambda: len(service.got) == 1)
    assert service.titles == ["map-tiles asks: And how old?"]
    assert "gitfleet answer map-tiles-2" in service.got[0]["message"]


def test_a_restart_tells_nothing_twice_and_what_came_meanwhile_once(
    place: Desk, service: Sink
) -> None:
    """By keys on disk."""
    with runner(place):
        place.ask()
    place.ask("map-tiles-2", "And how old?")
    for _ in range(3):
        with runner(place):
            pass
    assert len(service.got) == 2 and service.tries == 2


def test_what_a_service_does_not_take_waits_for_it_also_across_a_restart(
    place: Desk, service: Sink
) -> None:
    """Each once, in their order."""
    service.down = True
    with runner(place):
        place.ask()
        place.ask("map-tiles-2", "And how old?")
    assert service.tries >= 1 and not service.got
    assert any(
        " notifications-delayed " in line and "service=1:json" in line for line in place.lines
    )
    with runner(place):
        pass
    service.down = False
    with runner(place):
        service.until(lambda: len(service.got) == 2)
    assert [title.rpartition(": ")[2] for title in service.titles] == [
        "How large may the store become?",
        "And how old?",
    ]
    box = next(path for path in (place.fleet.clone.folder / "notices").iterdir() if path.is_dir())
    assert not box_texts(box)


def test_a_service_that_comes_back_gets_it_while_the_runner_lives(
    place: Desk, service: Sink
) -> None:
    """After a pause that grows."""
    service.down = True
    with runner(place) as made:
        place.ask()
        made.round()
        service.until(lambda: service.tries >= 1)
        service.down = False
        service.until(lambda: len(service.got) == 1)


def _killed(_keys: Iterable[str]) -> None:
    raise OSError("killed")


def test_a_death_between_the_text_and_its_key_tells_it_once(
    place: Desk, service: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text lies there, and its key is known by it."""
    with runner(place):
        pass
    place.ask()
    dead = Notifier(place.fleet)
    monkeypatch.setattr(dead.spool, "mark", _killed)
    service.down = True
    with pytest.raises(OSError, match="killed"):
        dead.round()
    for outlet in (dead._outlets or {}).values():
        outlet.service.end()
        outlet.service.join(60)
    service.down = False
    for _ in range(2):
        with runner(place):
            pass
    assert len(service.got) == 1


def test_a_slow_service_holds_up_neither_the_round_nor_another_service(
    place: Desk, service: Sink
) -> None:
    """Each has a thread of its own."""
    with sink() as other:
        machine = Machine(notify=MachineNotify(urls=(other.url,)))
        place.fleet = replace(place.fleet, machine=machine)

        service.gate = threading.Event()
        with runner(place) as made:
            place.ask()
            made.round()
            other.until(lambda: len(other.got) == 1)
            assert not service.got
            service.gate.set()
            service.until(lambda: len(service.got) == 1)
        assert "s3cret" not in repr(machine)


def test_every_kind_of_news(place: Desk, service: Sink) -> None:
    """A task that failed, one that landed, a limit that two tasks met, a runner that vanished, and
    that nothing is left to do."""
    with runner(place) as made:
        for task in ("oaks", "elms", "pines"):
            _task(place, task)
        until = datetime(2026, 11, 20, 18, tzinfo=UTC)
        limited = _attempt(1, Outcome.LIMITED, until)
        place.write(
            {
                "log/oaks/001-work-aaaa.yaml": limited,
                "log/elms/001-work-aaaa.yaml": limited,
                "log/pines/001-work-aaaa.yaml": _attempt(1, Outcome.LOST),
                "log/pines/002-work-aaaa.yaml": _attempt(2, Outcome.AUTH_FAILED),
                "log/pines/003-work-aaaa.yaml": _attempt(3, Outcome.TAMPERED),
            }
        )
        made.round()
        landed = Landed(
            runner="oak",
            nonce="0" * 32,
            at=datetime(2026, 11, 20, 19, tzinfo=UTC),
            target="main",
            merge="1" * 40,
        )
        files: dict[str, bytes | None] = {
            f"log/{task}/003-landed-aaaa.yaml": codec.write(landed) for task in ("oaks", "elms")
        }
        files["tasks/map-tiles.md"] = None
        place.write(files)
    service.until(lambda: len(service.got) >= 7)
    assert sorted(service.titles) == [
        "claude cannot log in on oak",
        "claude is limited until 2026-11-20T18:00:00Z",
        "elms landed on main",
        "nothing is left to do",
        "oaks landed on main",
        "pines needs attention: failed",
        "the runner oak vanished",
    ]


def test_idle_is_told_again_only_after_something_happened(place: Desk, service: Sink) -> None:
    """Not when an old task goes to the archive, or a person edits something."""
    place.write({"tasks/map-tiles.md": None})
    start = datetime(2026, 11, 20, 15, tzinfo=UTC)

    def close(task: str, hours: int) -> None:
        _task(place, task)
        at = (start + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        place.write({f"log/{task}/001-close-aaaa.yaml": f"at: '{at}'\n".encode()})

    with runner(place) as made:
        close("oaks", 1)
        made.round()
        close("elms", 2)
        made.round()
        service.until(lambda: len(service.got) == 2)
        place.write({"log/elms/001-close-aaaa.yaml": None, "tasks/elms.md": None})
        made.round()
        place.write({"prompts/work.md": b"Be brief.\n"})
        made.round()
    assert service.titles == ["nothing is left to do"] * 2


def test_of_several_runners_one_tells_and_another_goes_on(place: Desk, service: Sink) -> None:
    """What the first one saw while it lived it has told; what came later the next one tells."""
    state = [False, 0.0]

    def leads() -> tuple[bool, float]:
        return bool(state[0]), state[1]

    with runner(place, leads) as made:
        place.ask()
        made.round()
        state[1] = time.monotonic()  # the first one lives, and has seen it
        made.round()
        place.ask("map-tiles-2", "And how old?")
        made.round()
        state[0] = True  # it was not heard of for a lease
        made.round()
    service.until(lambda: len(service.got) == 1)
    assert service.titles == ["map-tiles asks: And how old?"]


def test_without_an_address_or_when_nobody_wants_it(
    place: Desk, service: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is told, and the work goes on; after the second, what is old is not told."""
    with runner(place):
        pass
    place.write({"fleet.yaml": b"format: 2\n"})
    with runner(place):
        place.ask()
    place.write({"fleet.yaml": f"format: 2\n{ALL}\n".encode()})
    with runner(place):
        pass
    assert not service.got
    monkeypatch.delenv(NOTIFY_URLS)
    with pytest.raises(FleetError, match="no service to send them"):
        Notifier(place.fleet).round()
    monkeypatch.setenv(NOTIFY_URLS, "tgrm://s3cret")
    with pytest.raises(FleetError, match=r"number 1 of a service \(tgrm\)") as told:
        Notifier(place.fleet).round()
    assert "s3cret" not in str(told.value)


def test_what_an_agent_writes_calls_nobody(place: Desk, service: Sink) -> None:
    """No @all, no <!channel>: services take these at their word."""
    with runner(place):
        place.ask(text="@all <!channel> \x1b[31mWhich?")
    service.until(lambda: len(service.got) == 1)
    said = f"{service.got[0]['title']} {service.got[0]['message']}"
    assert "@all" not in said and "<!channel>" not in said and "\x1b" not in said


def test_the_machine_says_of_what_it_tells(place: Desk, service: Sink) -> None:
    """Instead of what fleet.yaml says."""
    place.fleet = replace(
        place.fleet, machine=Machine(notify=MachineNotify(about=(Notice.FAILED,)))
    )
    assert notifier.wanted(place.fleet, place.fleet.store.board()) == {Notice.FAILED}
    with runner(place):
        place.ask()
        place.write({"tasks/broken.md": b"no front matter"})
    service.until(lambda: len(service.got) == 1)
    assert service.titles == ["broken needs attention: invalid"]


def test_keys_of_what_is_gone_are_forgotten_when_there_are_many(tmp_path: Path) -> None:
    """Else the file would grow for ever."""
    spool = Spool(tmp_path / "notices")
    spool.mark(f"landed/{number}" for number in range(20_001))
    spool.compact({"landed/1", "landed/2"})
    assert Spool(tmp_path / "notices").seen() == {"landed/1", "landed/2"}
