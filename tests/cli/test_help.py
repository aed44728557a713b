"""`gitfleet help`, and the examples of every `--help`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gitfleet.cli.main import VERBS, cli
from gitfleet.cli.support.pager import without_wide_tables
from tests.cli.acting import gitfleet, refusal
from tests.cli.looking import on_terminal

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(path.stem for path in DOCS.glob("*.md"))
COLOUR = re.compile("\x1b\\[[0-9;]*m")


# -- pages


def test_it_lists_every_page_with_its_title(tmp_path: Path) -> None:
    """In any directory; a repository is not needed."""
    lines = gitfleet("help", cwd=tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == PAGES
    assert any(line.split(maxsplit=1) == ["board", "The board"] for line in lines)
    assert "gitfleet help PAGE" in lines[-1]


@pytest.mark.parametrize("page", PAGES)
def test_in_a_pipe_a_page_is_the_markdown_that_it_is(tmp_path: Path, page: str) -> None:
    """Byte for byte, for grep and for agents."""
    assert gitfleet("help", page, cwd=tmp_path).stdout == (DOCS / f"{page}.md").read_text()


@pytest.mark.parametrize("page", PAGES)
def test_on_a_terminal_a_page_fits_its_width_and_loses_nothing(tmp_path: Path, page: str) -> None:
    """Tables that are too wide become lists: no cell is cut."""
    said = on_terminal(tmp_path, "help", page, env={"NO_COLOR": "1", "GIT_PAGER": "cat"})
    assert all(len(line) <= 80 for line in said.splitlines())
    shown = "".join(re.findall(r"[a-z0-9]+", said.lower()))
    for row in re.findall(r"^\|.*\|$", (DOCS / f"{page}.md").read_text(), re.MULTILINE):
        for code in re.findall(r"`([^`]+)`", row):
            assert "".join(re.findall(r"[a-z0-9]+", code.lower())) in shown, code


def test_on_a_terminal_the_pager_of_git_shows_it(tmp_path: Path) -> None:
    """GIT_PAGER, core.pager, PAGER: whatever the person has set for git."""
    env = {"GIT_PAGER": "sed 's/^/paged: /'"}
    said = COLOUR.sub("", on_terminal(tmp_path, "help", "board", env=env))
    assert said.startswith("paged: ")
    assert "The board" in said


def test_a_pager_that_is_left_early_is_no_error(tmp_path: Path) -> None:
    """As `q` in less, long before the end of the page."""
    said = on_terminal(tmp_path, "help", "board", env={"GIT_PAGER": "head -n 1 >/dev/null"})
    assert said == ""


def test_a_verb_is_explained_as_by_its_own_help(tmp_path: Path) -> None:
    """As `git help add` does."""
    said = gitfleet("add", "-h", cwd=tmp_path).stdout
    assert gitfleet("help", "add", cwd=tmp_path).stdout == said


def test_what_is_neither_is_answered_with_what_is_like_it(tmp_path: Path) -> None:
    """A page or a command."""
    assert "did you mean board" in refusal("help", "baord", cwd=tmp_path)
    assert "lists the pages" in refusal("help", "../README", cwd=tmp_path)
    assert "no such command" in refusal("help", "hook", cwd=tmp_path)


def test_only_tables_without_room_become_lists() -> None:
    """What fits stays a table, and what stands in a fence is code."""
    narrow = "| a | b |\n|---|---|\n| 1 | 2 |\n"
    wide = f"| key | is | else |\n|---|---|---|\n| `x` | {'w' * 90} | |\n| `y` | one | two |\n"
    fenced = f"```sh\n| {'x' * 100} |\n|---|\n|---|\n```\n"
    assert without_wide_tables(narrow + fenced, 80) == narrow + fenced
    expected = f"- `x`: {'w' * 90}\n- `y`\n    - is: one\n    - else: two\n"
    assert without_wide_tables(wide, 80) == expected


# -- examples


def _commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        yield (*words, name)
        if isinstance(found, click.Group):
            yield from _commands(found, (*words, name))


COMMANDS = list(_commands(cli))


def _examples(words: tuple[str, ...]) -> list[str]:
    """The lines below `Examples:` in a command's help."""
    context = click.Context(cli, info_name="gitfleet", help_option_names=["-h", "--help"])
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None
        context = click.Context(found, info_name=word, parent=context)
        command = found
    _, _, below = command.get_help(context).partition("\nExamples:\n")
    return [line.strip() for line in below.splitlines() if line.strip()]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_has_an_example_of_its_own(words: tuple[str, ...]) -> None:
    """At least one that calls this very command, and none too wide for a terminal."""
    lines = _examples(words)
    assert any(line.startswith(" ".join(("gitfleet", *words))) for line in lines)
    assert all(len(line) <= 76 for line in lines)


@pytest.mark.parametrize(
    ("words", "line"), [(words, line) for words in COMMANDS for line in _examples(words)]
)
def test_every_example_parses(
    words: tuple[str, ...], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each can be pasted: its verb, its options and the values of these are right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(click.Path, "convert", lambda _self, value, *_: Path(value))
    told = shlex.split(line, comments=True)
    if told[0] == "eval":
        told = shlex.split(told[1].removeprefix("$(").removesuffix(")"))
    cut = next((i for i, word in enumerate(told) if word in ("<", ">", "|")), len(told))
    program, *args = told[:cut]
    assert program == "gitfleet"
    context: click.Context = click.Context(cli, info_name="gitfleet")
    command: click.Command = cli
    while isinstance(command, click.Group):
        name, found, args = command.resolve_command(context, args)
        assert found is not None, line
        command, context = found, click.Context(found, info_name=name, parent=context)
        if isinstance(found, click.Group) and not args:
            return
    with command.make_context(context.info_name, args):
        pass


def test_the_list_of_verbs_is_the_one_that_help_shows() -> None:
    """Every verb that people see is among those looked at here."""
    assert set(VERBS) == {words[0] for words in COMMANDS}
