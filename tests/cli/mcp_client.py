"""A program that calls one tool of `gitfleet mcp` by the official SDK, as a coder does.

python mcp_client.py TOOL key=value …     prints the text that came back
"""

from __future__ import annotations

import os
import sys

import anyio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def call(tool: str, arguments: dict[str, str]) -> str:
    """The text that the tool answers with."""
    server = StdioServerParameters(
        command=sys.executable, args=["-P", "-m", "gitfleet", "mcp"], env=dict(os.environ)
    )
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        await session.initialize()
        said = await session.call_tool(tool, arguments)
        return "\n".join(getattr(part, "text", "") for part in said.content)


if __name__ == "__main__":
    said = anyio.run(call, sys.argv[1], dict(word.split("=", 1) for word in sys.argv[2:]))
    sys.stdout.write(said + "\n")
