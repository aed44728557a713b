"""Whatever a plugin's coder does wrong is a sentence about its own run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitfleet.coders.base import (
    Cannot,
    Coder,
    CoderEvent,
    CoderEventKind,
    FinishedRun,
    Judgement,
    Launch,
    Tally,
    judge_exit,
    launch_of,
    text_reader,
)
from gitfleet.coders.guard import guarded_coder
from gitfleet.coders.stream import Stream
from gitfleet.execution.base import Exit
from gitfleet.model.states import Failure
from gitfleet.plugins import Plugin, PluginKind
from tests.coders.kit import job

_PLUGIN = Plugin(
    kind=PluginKind.CODER, name="acme", distribution="gitfleet-acme", version="1.0", target="a:B"
)
_SENTENCE = r"the plugin acme \(gitfleet-acme 1\.0\) failed in "


def _fails(*_args: object) -> Any:
    raise ZeroDivisionError("division by zero")


def _coder(**functions: Callable[..., Any]) -> Coder:
    """The plugin's coder, guarded, with some functions replaced."""
    own = Coder(
        "acme",
        program="acme",
        launch=lambda _job: Launch(argv=("acme",)),
        reader=text_reader,
        judge=judge_exit,
    )
    return guarded_coder(_PLUGIN, own._replace(**functions))  # type: ignore[arg-type]  # wrong on purpose


def _judged(coder: Coder, folder: Path, output: bytes) -> tuple[Judgement, Tally]:
    stream = Stream(coder.reader(job(folder)))
    list(stream.feed(output))
    evidence = FinishedRun(
        exit=Exit(0, None, 0.0), tally=stream.tally, stdout=folder / "out", stderr=folder / "err"
    )
    return coder.judge(evidence), stream.tally


def test_one_that_works_is_not_changed_by_its_guard(tmp_path: Path) -> None:
    """Neither its launch, nor its events, nor its judgement; `Cannot` is its own word."""
    coder = _coder(options=lambda given: "" if "style" in given else "`style` is missing")
    assert launch_of(coder, job(tmp_path, options={"style": "plain"})).argv == ("acme",)
    judged, tally = _judged(coder, tmp_path, b"one\ntwo\n")
    assert judged == Judgement() and (tally.events, tally.said) == (2, "two")
    with pytest.raises(Cannot, match=r"coders\.acme\.options in fleet\.yaml: `style` is missing"):
        launch_of(coder, job(tmp_path))

    def cannot(_job: object) -> Launch:
        raise Cannot("not today")

    with pytest.raises(Cannot, match=r"\Anot today\Z"):
        _coder(launch=cannot).launch(job(tmp_path))


@pytest.mark.parametrize(
    "launch",
    [
        _fails,
        lambda _job: None,
        lambda _job: Launch(argv=("acme", 1)),  # type: ignore[arg-type]  # wrong on purpose
        lambda _job: Launch(argv=()),
    ],
)
def test_a_launch_that_fails_or_returns_no_command_is_misconfigured(
    tmp_path: Path, launch: Callable[..., Any]
) -> None:
    """It is a `Cannot`, which starts nothing and is not tried again."""
    with pytest.raises(Cannot, match=f"{_SENTENCE}`launch`: "):
        _coder(launch=launch).launch(job(tmp_path))


def _wrong_event(_job: object) -> Callable[[str], Any]:
    return lambda _line: [CoderEvent(said=CoderEventKind.TEXT, text=None)]  # type: ignore[arg-type]


@pytest.mark.parametrize("reader", [_fails, lambda _job: _fails, _wrong_event])
def test_a_reader_that_fails_ends_its_run_as_misconfigured(
    tmp_path: Path, reader: Callable[..., Any]
) -> None:
    """At the first line that it cannot read; later lines are not read any more."""
    judged, tally = _judged(_coder(reader=reader), tmp_path, b"one\ntwo\nthree\n")
    assert judged.failure is Failure.MISCONFIGURED and tally.events == 1
    assert judged.reason.startswith("the plugin acme (gitfleet-acme 1.0) failed in `reader`: ")
    assert tally.failure is Failure.MISCONFIGURED


@pytest.mark.parametrize("judge", [_fails, lambda _evidence: None])
def test_a_judge_that_fails_is_misconfigured(tmp_path: Path, judge: Callable[..., Any]) -> None:
    """So is one that returns no judgement."""
    judged, _ = _judged(_coder(judge=judge), tmp_path, b"")
    assert judged.failure is Failure.MISCONFIGURED
    assert judged.reason.startswith("the plugin acme (gitfleet-acme 1.0) failed in `judge`: ")


def test_a_gauge_or_a_window_that_fails_stops_nobody_else(tmp_path: Path) -> None:
    """The window is a number for people; a gauge that fails is an event like any error."""
    coder = _coder(window=_fails, gauge=_fails, options=_fails)
    assert coder.window("small-1") is None
    (event,) = coder.gauge(job(tmp_path), Tally())
    assert event.failure is Failure.MISCONFIGURED and "`gauge`" in event.text
    assert "failed in `options`" in coder.options({})
