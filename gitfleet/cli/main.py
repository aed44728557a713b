"""The command `gitfleet` (and `git fleet`): finds the verb, and shows every error in one place.

Exit status: 0 success; 1 a known error; 2 wrong usage; 3 an internal error, with a log to paste; 4
`run --until-idle` ended while something needs a person; 130 Ctrl-C.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from gitfleet.errors import FleetError
from gitfleet.event_log import harmless

# Each verb is a file that is imported only when used, so that every verb starts fast.
VERBS: Final[Mapping[str, str]] = {
    "init": "Create the board of this repository, or use the remote's.",
    "add": "Create a task.",
    "run": "Run the fleet: claim, work, check, merge, close.",
    "stop": "Stop the runner of this clone.",
    "runners": "Show the runners that share this board, and their attempts.",
    "top": "Watch all attempts on all machines, live.",
    "list": "List tasks and their status.",
    "show": "Show a task: text, status, attempts, next step.",
    "diff": "Show the changes of a task.",
    "log": "Show the transcripts of a task's attempts.",
    "prompts": "Show the prompts of this board and their variables.",
    "lint": "Check a board's files.",
    "questions": "Show the open questions of agents.",
    "answer": "Answer an agent's question.",
    "retry": "Retry a failed or cancelled task.",
    "cancel": "Cancel a task, even a running one.",
    "hold": "Put a task on hold.",
    "unhold": "Take a task off hold.",
    "close": "Mark a task as done by hand.",
    "revert": "Create a task that reverts a landed one.",
    "ask": "Inside an attempt: ask a person.",
    "note": "Inside an attempt: record the plan, or knowledge gained.",
    "progress": "Inside an attempt: report current progress.",
    "mcp": "Inside an attempt: MCP server for agents, over stdio.",
    "verdict": "Inside an attempt: accept or reject the work.",
    "hooks": "Install or remove gitfleet's git hooks.",
    "gc": "Remove old worktrees, transcripts, salvage refs and branches.",
    "fsck": "Verify the history of the board.",
    "doctor": "Check this clone, this machine and its coders.",
    "plugins": "Show the installed plugins, and whether this machine may use them.",
    "demo": "Run a demo on a small project, in a temporary directory.",
    "help": "Show a page of the documentation, or the help of a command.",
    "completion": "Print the completion script for bash, zsh or fish.",
    "deinit": "Remove gitfleet from this clone; the branch stays.",
}


_RENAMED: Final[Mapping[str, str]] = {"uninstall": "deinit", "release": "unhold"}
_HIDDEN: Final = ("hook", "complete")  # called by the installed hooks and completion scripts


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS and cmd_name not in _HIDDEN:
            return None
        command: click.Command = importlib.import_module(f"gitfleet.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb; for a misspelt one, an error with similar names, as click does for options."""
        if args and args[0] in _RENAMED:
            ctx.fail(f"No such command {args[0]!r}; renamed: gitfleet {_RENAMED[args[0]]}")
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            import difflib  # noqa: PLC0415 - for what is wrong only; a verb is to start fast

            near = difflib.get_close_matches(args[0][:100], VERBS, n=3)
            if near and args[0] not in _HIDDEN:
                said = f"No such command {harmless(args[0])!r}. Did you mean {' or '.join(near)}?"
                ctx.fail(said)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def own_version() -> str:
    """The version of the installed distribution."""
    # Imported here on purpose: it takes a tenth of a verb's start-up time.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("git-fleet")
    except PackageNotFoundError:
        return "unknown"


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"gitfleet {own_version()}")
        ctx.exit()


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version.",
)
@click.option(
    "-C",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Run as if started in this directory.",
)
def cli(directory: Path | None) -> None:
    """Run a fleet of coding agents with only git and Python: tasks are files on a branch.

    `gitfleet help` lists the pages of the documentation.
    """
    if directory is not None:
        os.chdir(directory)


def main() -> None:
    """Run the command line and exit."""
    try:
        _require_linux()
        status = cli.main(prog_name="gitfleet", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except FleetError as error:
        click.echo(f"gitfleet: {harmless(str(error))}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output closed the pipe; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        click.echo(f"gitfleet: internal error: {error!r}", err=True)
        click.echo(f"  Please report it with the log in {_log()}", err=True)
        sys.exit(3)


def _require_linux() -> None:
    if sys.platform != "linux":
        raise FleetError(
            f"gitfleet runs only on Linux, and this is {platform.system()}",
            remedy="On Windows, use WSL; on macOS, a Linux machine, virtual machine or container.",
        )


def _log() -> str:
    """Write a log for a bug report, without environment or arguments: they may hold a secret."""
    fd, path = tempfile.mkstemp(prefix="gitfleet-error-", suffix=".log")
    with os.fdopen(fd, "w") as file:
        file.write(f"gitfleet {own_version()}, Python {platform.python_version()}\n")
        file.write(f"{platform.platform()}\n\n{traceback.format_exc()}")
    return path
