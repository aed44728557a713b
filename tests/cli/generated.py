"""Draws the man page, and what the shell completes, from the command line itself.

`python -m tests.cli.generated` writes both files; tests/cli/test_generated.py holds them current.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click

from gitfleet.cli.main import cli
from gitfleet.cli.support.verb import Named, Verb
from gitfleet.coders import registry

ROOT: Final = Path(__file__).resolve().parents[2]
MAN_PAGE: Final = ROOT / "man" / "git-fleet.1"
COMMANDS: Final = ROOT / "gitfleet" / "_assets" / "completion" / "commands.json"
_SETTINGS: Final = {"help_option_names": ["-h", "--help"]}


def children(group: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """The commands in a group, by their names, in the order of its help."""
    if isinstance(group, click.Group):
        for name in group.list_commands(context):
            found = group.get_command(context, name)
            assert found is not None
            yield name, found


# -- what the shell completes


def described(command: click.Command, context: click.Context) -> dict[str, Any]:
    """A command as data: its options, its arguments and the commands in it."""
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    known: dict[str, Any] = {
        "help": command.get_short_help_str(200),
        "options": {
            name: {"help": one.help or "", "value": _kind(one)}
            for one in command.get_params(context)
            if isinstance(one, click.Option)
            for name in one.opts
            if name != "-h"
        },
    }
    if arguments:
        known["arguments"] = [_kind(one) for one in arguments]
        known["endless"] = arguments[-1].nargs == -1
    inner = {
        name: described(one, click.Context(one, info_name=name, parent=context))
        for name, one in children(command, context)
    }
    return {**known, "commands": inner} if inner else known


def _kind(param: click.Parameter) -> str | list[str] | None:
    """What a value of it names; a list: one of these; None: it takes none."""
    if isinstance(param, click.Option) and (param.is_flag or param.count):
        return None
    if isinstance(param.type, Named):
        return param.type.kind
    if isinstance(param.type, click.Choice):
        return [str(choice) for choice in param.type.choices]
    if isinstance(param.type, click.Path):
        return "file" if param.type.file_okay else "directory"
    return "text"


# -- the man page

_HEAD: Final = r"""
.\" Drawn by: python -m tests.cli.generated
.TH "GIT\-FLEET" "1" "" "gitfleet" "gitfleet"
.ad l
.nh
.SH NAME
git\-fleet, gitfleet \- run a fleet of coding agents with only git and Python
.SH SYNOPSIS
.B git fleet
.RI [ OPTIONS ]
.I COMMAND
.RI [ ARGUMENTS ]
.br
.B gitfleet
.RI [ OPTIONS ]
.I COMMAND
.RI [ ARGUMENTS ]
.SH DESCRIPTION
"""
_TAIL: Final = r"""
.SH EXIT STATUS
.TP
.B 0
success;
.BR "run \-\-until\-idle" :
everything that can be done is done
.TP
.B 1
an error, explained in one sentence with what to do about it
.TP
.B 2
wrong usage
.TP
.B 3
an internal error, with a log to paste into a report
.TP
.B 4
.B run \-\-until\-idle
or
.B \-\-once
ended while something needs a person; the last line names it
.TP
.B 5
.BR "ask \-\-wait" :
no answer in time
.TP
.B 130
Ctrl\-C
.SH SEE ALSO
.B gitfleet help
lists the pages of the documentation, among them
.B gitfleet help board
on the files, keys and statuses, and
.B gitfleet help coders
on the coding agents.
.BR git (1)
"""


def man_page() -> str:
    """The whole command line as one page, in the roff of man(7)."""
    context = click.Context(cli, info_name="gitfleet", **_SETTINGS)  # type: ignore[arg-type]  # click's own keywords
    lines = [*_paragraphs(cli.help or ""), ".SH OPTIONS", *_options(cli, context), ".SH COMMANDS"]
    for name, command in children(cli, context):
        lines += _command(command, click.Context(command, info_name=name, parent=context))
    return _HEAD.lstrip() + "\n".join(lines) + _TAIL


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    inner = list(children(command, context))
    if not inner:
        usage = " ".join(command.collect_usage_pieces(context))
        yield f'.SS "{_roff(context.command_path)} {_roff(usage)}"'
        yield from _paragraphs(command.help or "")
        yield from _options(command, context)
        yield from _examples(command)
    for name, one in inner:
        yield from _command(one, click.Context(one, info_name=name, parent=context))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        if number:
            yield ".PP"
        yield _roff(" ".join(paragraph.split()))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for one in command.get_params(context):
        record = one.get_help_record(context)
        if isinstance(one, click.Option) and record is not None and "--help" not in one.opts:
            yield from (".TP", f".B {_roff(record[0])}", _roff(record[1]))


def _examples(command: click.Command) -> Iterator[str]:
    lines: Sequence[str] = command.examples if isinstance(command, Verb) else ()
    if lines:
        yield from (".PP", "Examples:", ".PP", ".nf", ".RS 4")
        yield from map(_roff, lines)
        yield from (".RE", ".fi")


def _roff(text: str) -> str:
    """Text as roff has it: nothing of it is a command or an escape."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    text = text.replace("|", r"|\:")  # a line may be broken there
    text = text.replace("…", "...").replace("'", r"\(aq").replace("`", r"\(ga")
    return rf"\&{text}" if text.startswith(".") else text


def drawn() -> dict[Path, str]:
    """Each file with what is to be in it."""
    context = click.Context(cli, info_name="gitfleet", **_SETTINGS)  # type: ignore[arg-type]  # click's own keywords
    words = {"coders": [*registry.PREFERENCE, "shell"], **described(cli, context)}
    known = json.dumps(words, indent=1, ensure_ascii=False)
    return {MAN_PAGE: man_page(), COMMANDS: known + "\n"}


def main() -> None:
    """Write the files."""
    for path, text in drawn().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
