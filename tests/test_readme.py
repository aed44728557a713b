"""What the pages for people say can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest

from gitfleet.cli.main import VERBS, cli

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_BLOCK: Final = re.compile(r"^```(?P<kind>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE: Final = re.compile(r"`([^`\n]+)`")
_CALL: Final = re.compile(r"(?:^|[\s;&|(/])(?:gitfleet|git fleet)[ ]+(?P<rest>[^#;&|<>)]*)")
_LINK: Final = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def _commands(page: Path) -> Iterator[str]:
    """Every call of gitfleet that stands in code, in a block or within a line."""
    text = page.read_text()
    for block in _BLOCK.finditer(text):
        if block["kind"] in ("sh", "console", "", "text"):
            for line in block["text"].splitlines():
                # Of a transcript only what was typed; what was printed is another's to keep right.
                typed = line.removeprefix("$ ")
                if block["kind"] == "sh" or typed != line:
                    yield from (found["rest"] for found in _CALL.finditer(typed))
    for inline in _INLINE.finditer(_BLOCK.sub("", text)):
        if found := re.match(r"(?:gitfleet|git fleet) (?P<rest>[^#;&|<>)]*)", inline[1]):
            yield found["rest"]


CALLS: Final = sorted({(page.name, rest) for page in PAGES for rest in _commands(page)})


def _options(command: click.Command) -> set[str]:
    own = {name for parameter in command.params for name in parameter.opts}
    return own | {"-h", "--help"}


@pytest.mark.parametrize(("page", "rest"), CALLS)
def test_every_command_that_is_named_exists(page: str, rest: str) -> None:
    """Each verb is known to the command line, and so is each of the options it is shown with."""
    words = shlex.split(rest)
    group: click.Command = cli
    while words and isinstance(group, click.Group):
        assert not words[0].startswith("-") or words[0] in _options(group), f"{page}: {rest}"
        if words[0].startswith("-"):
            return
        found = group.get_command(click.Context(group), words[0])
        assert found is not None, f"{page}: no verb {words[0]!r}"
        group, words = found, words[1:]
    for word in words:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in _options(group), f"{page}: {rest}"


def test_the_readme_names_every_verb_for_people() -> None:
    """What can be done stands in the README, or there is a page that tells it."""
    text = "".join(page.read_text() for page in PAGES)
    named = {verb for verb in VERBS if re.search(rf"gitfleet {verb}\b", text)}
    assert set(VERBS) - named == set()


def test_two_lines_are_enough_on_a_machine_with_python_and_git() -> None:
    """The demo and the tests are one pasted line each, and make an environment of their own."""
    text = (ROOT / "README.md").read_text()
    for name, end in (
        ("demo", ".venv/bin/gitfleet demo"),
        ("tests", '.venv/bin/pytest -q -n auto -m "not slow"'),
    ):
        found = re.search(rf"^<!-- {name} -->\n```sh\n(.+)\n```$", text, re.MULTILINE)
        assert found
        first, install, last = found[1].split(" && ")
        assert first == "python3 -m venv .venv"
        assert install.startswith(".venv/bin/pip install -q ")
        assert last == end


def test_nobody_is_told_to_install_somebody_elses_package() -> None:
    """The index knows a `gitfleet` that is not this one."""
    for page in PAGES:
        assert not re.search(
            r"(pip|pipx|uv)\S* (tool )?(install|add|run) (-\S+ )*gitfleet\b", page.read_text()
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """A page that is linked is there."""
    missing = [
        link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()
    ]
    assert not missing
