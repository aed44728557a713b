"""A coder without code: where its prompt goes, and that no shell reads its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.coders import command
from gitfleet.coders.base import Cannot
from gitfleet.model.config import PromptBy
from tests.coders.kit import job


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
