"""What every coder without a protocol is read and judged by, and how one is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.coders import registry
from gitfleet.coders.base import (
    VERSION,
    CoderEventKind,
    FinishedRun,
    Judgement,
    Tally,
    judge_exit,
    read_text,
)
from gitfleet.execution.base import Exit
from gitfleet.model.config import CoderSettings
from gitfleet.model.states import Failure


@pytest.mark.parametrize(
    ("code", "signal", "failure", "word"),
    [
        (0, None, None, ""),
        (3, None, Failure.CRASHED, "exit status 3"),
        (None, 9, Failure.CRASHED, "signal 9"),
        (None, None, None, ""),
    ],
)
def test_an_end_is_judged_by_the_exit_status(
    tmp_path: Path, code: int | None, signal: int | None, failure: Failure | None, word: str
) -> None:
    """0 is not a success yet: what it did is looked at by others."""
    ended = FinishedRun(
        exit=Exit(code, signal, 0.0), tally=Tally(), stdout=tmp_path / "o", stderr=tmp_path / "e"
    )
    judged = judge_exit(ended)
    assert isinstance(judged, Judgement)
    assert judged.failure is failure and word in judged.reason


def test_lines_of_text_are_things_said() -> None:
    """Empty lines say nothing."""
    assert [event.text for line in ("one", "  ", "two") for event in read_text(line)] == [
        "one",
        "two",
    ]
    assert [event.said for event in read_text("x")] == [CoderEventKind.TEXT]


def test_a_coder_is_found_by_its_name() -> None:
    """One with code, one that is described; a description wins; else there is none."""
    described = {"mine": CoderSettings(argv=("mycli",)), "shell": CoderSettings(concurrency=1)}
    shell = registry.find("shell", described)
    mine = registry.find("mine", described)
    assert shell is not None and shell.fresh
    assert mine is not None and mine.name == "mine" and not mine.fresh
    assert registry.find("other", described) is None
    own = registry.find("shell", {"shell": CoderSettings(argv=("my-shell",))})
    assert own is not None and not own.fresh


def test_every_coder_with_code_can_be_loaded() -> None:
    """A name in the registry is a module with a CODER of that name."""
    for name in registry.MODULES:
        coder = registry.find(name, {})
        assert coder is not None and coder.name == name


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("2.1.197 (Claude Code)", "2.1.197"),
        ("WARNING: no aliases below /tmp\ncodex-cli 0.169.0", "0.169.0"),
        ("GitHub Copilot CLI 1.0.102.\nRun 'copilot update' to check.", "1.0.102"),
        ("aider 0.86.2", "0.86.2"),
        ("v0.25.0-preview.3+abc.", "0.25.0-preview.3+abc"),
    ],
)
def test_a_version_is_found_in_what_a_program_says(told: str, version: str) -> None:
    """Without the words around it."""
    found = VERSION.search(told)
    assert found is not None and found[0] == version
