"""What every verb is made of: a command whose `--help` ends with examples, and typed words.

The types convert nothing. They say what a word names, so that the shell can complete it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import click


class Verb(click.Command):
    """A command with examples: lines as a person types them, some with a comment."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **more: Any) -> None:
        super().__init__(*args, **more)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, each on its line: they must not be wrapped."""
        write_examples(formatter, self.examples)


class VerbGroup(click.Group):
    """A command group; its help also shows the examples of its commands."""

    command_class = Verb

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples of every command in it."""
        commands = self.commands.values()
        write_examples(
            formatter,
            [line for one in commands if isinstance(one, Verb) for line in one.examples],
        )


def write_examples(formatter: click.HelpFormatter, lines: Sequence[str]) -> None:
    """Write the section `Examples`."""
    if lines:
        with formatter.section("Examples"):
            for line in lines:
                formatter.write(f"  {line}\n")


class Named(click.types.StringParamType):
    """A word that names something; completion offers names of that kind.

    The verb itself checks whether the named thing exists.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind


TASK: Final = Named("task")
ANY_TASK: Final = Named("any-task")  # also archived tasks
QUESTION: Final = Named("question")  # or the task that asked it
CODER: Final = Named("coder")
PAGE: Final = Named("page")
