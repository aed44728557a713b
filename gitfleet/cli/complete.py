"""`gitfleet complete`: what may follow the words that are typed. The completion scripts call it.

It must answer at once, so it imports neither the verbs nor what reads a board: the commands are
data that is drawn from them (tests/cli/generated.py), and `git ls-tree` lists the ids.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from gitfleet import assets
from gitfleet.model.ids import is_id

Described = Mapping[str, Any]  # of tests/cli/generated.py:described
_FILES: Final = ("file", "directory")


@click.command(
    "complete",
    hidden=True,
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def command(shell: str, words: tuple[str, ...]) -> None:
    """Print what may stand for the last of WORDS: `words`, `file` or `directory`, then a line each.

    A line is the word and, behind a tab, its meaning if it has one.
    """
    tree = json.loads((assets.folder("completion") / "commands.json").read_text(encoding="utf-8"))
    typed = _joined(words) if shell == "bash" else list(words)
    place = Place(tree, typed[:-1])
    word = typed[-1] if typed else ""
    option, equals, begun = word.partition("=")
    if equals and option.startswith("--"):
        kind, before = place.value_of(option), option + equals if shell == "fish" else ""
    else:
        kind, before, begun = place.kind(word), "", word
    if kind in _FILES:
        click.echo(kind)
        return
    click.echo("words")
    for text, what in place.candidates(kind, begun):
        if text.startswith(begun):
            click.echo(f"{before}{text}\t{what}".rstrip())


def _joined(words: Sequence[str]) -> list[str]:
    """The words with `--option = value` joined again: bash splits them at each `=`."""
    found: list[str] = []
    for word in words:
        if found and (word == "=" or found[-1].endswith("=")) and found[-1].startswith("--"):
            found[-1] += word
        else:
            found.append(word)
    return found


class Place:
    """The position on the command line: in which command, before which of its arguments."""

    def __init__(self, tree: Described, words: Sequence[str]) -> None:
        self._tree, self._command, self._at = tree, tree, 0
        self._directory: list[str] = []  # the value of each -C, as git reads them
        self._waiting = ""  # the option whose value comes next
        self._plain = False  # after `--` there are no options
        for word in words:
            self._take(word)

    def _take(self, word: str) -> None:
        if self._waiting:
            self._directory += ["-C", word] if self._waiting == "-C" else []
            self._waiting = ""
        elif word == "--":
            self._plain = True
        elif word.startswith("-") and word != "-" and not self._plain:
            name, equals, _ = word.partition("=")
            self._waiting = name if self.value_of(name) is not None and not equals else ""
        elif word in self._command.get("commands", {}):
            self._command = self._command["commands"][word]
        else:
            self._at += 1

    def value_of(self, option: str) -> Any:
        """The kind of value that an option takes; None if it takes none."""
        return self._command["options"].get(option, {}).get("value")

    def kind(self, word: str) -> Any:
        """The kind of the word that is being typed."""
        if self._waiting:
            return self.value_of(self._waiting)
        if word.startswith("-") and not self._plain:
            return "option"
        if "commands" in self._command:
            return "command"
        kinds = self._command.get("arguments", ())
        if self._at < len(kinds):
            return kinds[self._at]
        return kinds[-1] if self._command.get("endless") else "option"

    def candidates(self, kind: Any, begun: str) -> Iterator[tuple[str, str]]:
        """The words of a kind, with descriptions.

        Words that do not start with `begun` may be left out.
        """
        if isinstance(kind, list):
            yield from ((word, "") for word in kind)
        elif kind == "option":
            options = self._command["options"]
            yield from ((name, one["help"]) for name, one in options.items())
        elif kind == "command":
            commands = self._command["commands"]
            yield from ((name, one["help"]) for name, one in commands.items())
        elif kind == "coder":
            yield from ((name, "") for name in self._tree["coders"])
        elif kind == "page":
            yield from ((path.stem, "") for path in sorted(assets.folder("docs").glob("*.md")))
        elif kind in ("task", "any-task", "question"):
            yield from ((name, "") for name in self._names(kind, begun))

    def _names(self, kind: str, begun: str) -> Iterator[str]:
        board = self._git("config", "--get", "gitfleet.branch").strip() or "fleet"
        folders = [f"{board}:questions"] if kind == "question" else []
        for folder in (*folders, f"{board}:tasks"):
            yield from _ids(self._git("ls-tree", "-z", "--name-only", folder), ".md")
        if kind == "any-task" and begun:  # there may be thousands: only after the first letter
            months = self._git("ls-tree", "-z", "--name-only", f"{board}:done").split("\0")
            for month in months:
                if month.replace("-", "").isdigit():
                    yield from _ids(
                        self._git("ls-tree", "-z", "--name-only", f"{board}:done/{month}")
                    )

    def _git(self, *args: str) -> str:
        """The output of a git command; empty if it fails."""
        done = subprocess.run(
            ["git", *self._directory, *args], capture_output=True, check=False, timeout=5
        )
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _ids(listed: str, suffix: str = "") -> Iterator[str]:
    """The ids among file names. Other names are never offered: a shell might execute them."""
    for name in listed.split("\0"):
        if name.endswith(suffix) and is_id(name.removesuffix(suffix)):
            yield name.removesuffix(suffix)
