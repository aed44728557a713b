"""A coder without code: where its prompt goes, and that no shell reads its words."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gitfleet.coders import command
from gitfleet.coders.base import Cannot, FinishedRun, Tally
from gitfleet.execution.base import Exit
from gitfleet.model.config import EventsAs, PromptBy
from gitfleet.model.event import Tokens
from gitfleet.model.states import Failure
from tests.coders.kit import job
from tests.coders.replay import read


def test_places_are_filled_inside_a_word(tmp_path: Path) -> None:
    """Every place stands for one thing, as part of a word or as all of it."""
    words = (
        "mycli",
        "--model={model}",
        "{prompt_file}",
        "{workspace}/x",
        "{task}",
        "{other}",
        "{}",
    )
    launch = command.launch(job(tmp_path, argv=words))
    assert launch.argv == (
        "mycli",
        "--model=small-1",
        str(tmp_path / "prompt.md"),
        f"{tmp_path / 'workspace'}/x",
        "fix-login",
        "{other}",
        "{}",
    )
    assert launch.stdin is None


def test_what_is_put_in_is_not_looked_into_again(tmp_path: Path) -> None:
    """A prompt that holds a place, or what a shell would read, stays as it is: one word."""
    prompt = "Use {model}; $(rm -rf /) 'and' {prompt_file}\n"
    launch = command.launch(job(tmp_path, prompt=prompt, argv=("mycli", "{prompt}")))
    assert launch.argv == ("mycli", prompt)


def test_a_command_that_names_no_prompt_gets_it_on_standard_input(tmp_path: Path) -> None:
    """Unless told otherwise."""
    launch = command.launch(job(tmp_path, argv=("mycli", "-q")))
    assert (launch.argv, launch.stdin) == (("mycli", "-q"), tmp_path / "prompt.md")


@pytest.mark.parametrize(
    ("by", "argv", "wanted", "stdin"),
    [
        (PromptBy.STDIN, ("x", "{prompt_file}"), 2, True),
        (PromptBy.FILE, ("x",), 1, False),
        (PromptBy.ARGUMENT, ("x",), 2, False),
        (PromptBy.ARGUMENT, ("x", "-p", "{prompt}"), 3, False),
    ],
)
def test_how_the_prompt_is_given_can_be_said(
    tmp_path: Path, by: PromptBy, argv: tuple[str, ...], wanted: int, stdin: bool
) -> None:
    """`prompt:` wins over what argv tells; an argument is put behind the others."""
    launch = command.launch(job(tmp_path, argv=argv, by=by))
    assert len(launch.argv) == wanted and (launch.stdin is not None) is stdin
    if by is PromptBy.ARGUMENT:
        assert launch.argv[-1] == "Do it.\n"


def test_a_prompt_too_long_for_an_argument_is_said_in_plain_words(tmp_path: Path) -> None:
    """Linux would refuse it in words that nobody understands; a file or stdin take it."""
    long = "ä" * 70_000
    with pytest.raises(Cannot, match="prompt_file"):
        command.launch(job(tmp_path, prompt=long, argv=("mycli", "{prompt}")))
    assert command.launch(job(tmp_path, prompt=long, argv=("mycli",))).stdin is not None


def test_a_command_without_words_cannot_be_started(tmp_path: Path) -> None:
    """`misconfigured`."""
    with pytest.raises(Cannot, match="argv"):
        command.launch(job(tmp_path))


def test_its_environment_is_what_the_settings_add(tmp_path: Path) -> None:
    """Given as it stands."""
    launch = command.launch(job(tmp_path, argv=("x",), env={"A": "{model}"}))
    assert launch.env == {"A": "{model}"}


def _told(folder: Path, *lines: str, events: EventsAs = EventsAs.JSON) -> Tally:
    _, tally = read(
        command.CODER, job(folder, argv=("x",), events=events), "\n".join(lines).encode()
    )
    return tally


def test_it_may_tell_in_gitfleets_own_words_what_it_does(tmp_path: Path) -> None:
    """One event a line; what is none is something said."""
    tally = _told(
        tmp_path,
        '{"said": "started", "session": "s-1", "model": "m"}',
        "plain words",
        '{"said": "tool_start", "tool": "build", "call": "1"}',
        '{"said": "usage", "tokens": {"input": 5, "output": 2}, "context": 7, "window": 100}',
        '{"said": "tool_end", "call": "1", "denied": "net"}',
        '{"said": "nonsense"}',
        '{"said": "usage", "tokens": "many", "usd": -1, "until": "soon", "failure": "odd"}',
    )
    assert (tally.session, tally.model, tally.context, tally.window) == ("s-1", "m", 7, 100)
    assert tally.tokens == Tokens(5, 2) and tally.tool_calls == 1 and not tally.tools
    assert tally.denied == ("net",) and tally.usd is None and tally.failure is None
    assert tally.said == '{"said": "nonsense"}'


@pytest.mark.parametrize(
    ("line", "code", "failure"),
    [
        ('{"said": "error", "failure": "limited"}', 0, Failure.LIMITED),
        ('{"said": "error", "failure": "auth", "text": "no key"}', 1, Failure.AUTH),
        ('{"said": "ended"}', 1, Failure.CRASHED),
        ('{"said": "text", "text": "fine"}', 0, None),
        ("", 0, None),
    ],
)
def test_it_is_judged_by_what_it_told_else_by_its_exit_status(
    tmp_path: Path, line: str, code: int, failure: Failure | None
) -> None:
    """A program that speaks no protocol need not say that it is done."""
    ended = Exit(code, None, 1.8e9)
    tally = _told(tmp_path, line)
    evidence = FinishedRun(exit=ended, tally=tally, stdout=tmp_path / "o", stderr=tmp_path / "e")
    assert command.CODER.judge(evidence).failure is failure


def test_a_limit_that_it_tells_has_an_end(tmp_path: Path) -> None:
    """With its zone, or in UTC."""
    for text in ("2026-12-01T09:00:00Z", "2026-12-01T09:00:00"):
        line = f'{{"said": "limit", "failure": "limited", "until": "{text}"}}'
        assert _told(tmp_path, line).until == datetime(2026, 12, 1, 9, tzinfo=UTC)


def test_its_output_may_mean_nothing(tmp_path: Path) -> None:
    """`events: none`: it is kept, and not read."""
    assert _told(tmp_path, "words", '{"said": "text"}', events=EventsAs.NONE) == Tally()
    assert _told(tmp_path, "words", events=EventsAs.TEXT).said == "words"
