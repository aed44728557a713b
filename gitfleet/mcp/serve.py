"""The MCP server of an attempt, over stdio.

It is a child of a coder and must not outlive it: when standard input ends, it ends, even in the
middle of a call that waits for a person.
"""

from __future__ import annotations

import os
import select
import threading
import time
from typing import Final

import anyio
from mcp.server.mcpserver import MCPServer

from gitfleet.mcp import tools

_GRACE: Final = 3.0  # seconds in which calls made before the end of input may finish
_ABOUT: Final = """\
You are working on a gitfleet task, and no person is at the keyboard. These tools reach people and
the board: ask when a decision is not yours, note what others need.
"""


def run(role: str, version: str) -> None:
    """Serve the role's tools until standard input ends."""
    _end_with_input()
    server = MCPServer("gitfleet", instructions=_ABOUT, version=version, log_level="WARNING")
    for tool in tools.of_role(role):
        server.add_tool(tool, structured_output=False)
    anyio.run(server.run_stdio_async)


def _end_with_input() -> None:
    """End this process when no process holds the other end of standard input any more.

    The SDK sees the end of its input, too, and ends cooperative calls. This also watches a copy of
    the input: a pipe or socket without a writer hangs up, whether or not it is being read.
    """
    copy = os.dup(0)  # the SDK replaces descriptor 0

    def watch() -> None:
        poll = select.poll()
        poll.register(copy, select.POLLRDHUP)  # POLLHUP and POLLERR are always reported
        poll.poll()
        time.sleep(_GRACE)
        os._exit(0)  # no call's thread or handler may delay the exit, and nothing is left to write

    threading.Thread(target=watch, name="end with input", daemon=True).start()
