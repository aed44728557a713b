"""`gitfleet mcp`: inside an attempt, the MCP server for the coder's model."""

from __future__ import annotations

import os

import click

from gitfleet.agent import client
from gitfleet.cli.main import own_version
from gitfleet.cli.support.verb import Verb
from gitfleet.errors import FleetError


@click.command(
    "mcp",
    cls=Verb,
    examples=("gitfleet mcp",),
)
def command() -> None:
    """Serve ask_human, note, progress, add and verdict by the Model Context Protocol (stdio)."""
    client.outbox()
    client.inbox()
    try:
        # Imported here, because the SDK is an extra and takes half a second to import.
        from gitfleet.mcp import serve  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        raise FleetError(
            f"the MCP SDK is not installed ({error.name})",
            remedy="Install gitfleet with its extra `mcp`: pip install '.[mcp]' in a clone of it.",
        ) from error
    serve.run(os.environ.get("GITFLEET_ROLE", "work"), own_version())
