"""The MCP tools for a coder's model: ask, note, progress, add, verdict.

Each drops a file into the outbox; `ask_human` waits for the answer in the inbox. The model reads a
refusal as an answer, so every refusal is a sentence.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from gitfleet.agent import client, outbox_writer
from gitfleet.errors import FleetError
from gitfleet.model.verdict import Fix, Ruling, Verdict

Tool = Callable[..., Coroutine[Any, Any, str]]

WAIT: Final = "2m"  # default time that an asker waits
_POLL: Final = 0.2  # seconds between two checks of the inbox
_SIGN_OF_LIFE: Final = 10.0  # seconds; a sign of life for clients that count silence


async def ask_human(
    question: str, options: list[str] | None = None, ctx: Context | None = None
) -> str:
    """Ask the person who is responsible for this project, when you need a decision that is not
    yours to make. `options`: answers to choose from, if there are some. The answer comes back, or
    the word that nobody has answered yet and that you are to stop."""
    with _told():
        limit = client.seconds(os.environ.get("GITFLEET_ASK_WAIT") or WAIT)
        asked = client.ask(question, options or [])
    reply = await _reply(asked, limit, ctx)
    if reply.refused:
        raise ToolError(f"the question was rejected: {reply.refused}")
    if reply.answer:
        client.heard(asked, reply.name)
        return f"A person answered: {reply.answer}"
    client.park(asked)
    return client.stop_words(reply)


async def _reply(asked: client.SentQuestion, limit: float, ctx: Context | None) -> client.Reply:
    began = told = time.monotonic()
    while True:
        reply = client.reply(asked)
        passed = time.monotonic() - began
        known = bool(reply.name)
        late = passed >= limit and (known or passed >= client.RECEIPT)
        if reply.answer or reply.refused or late:
            return reply
        if ctx is not None and time.monotonic() - told >= _SIGN_OF_LIFE:
            told = time.monotonic()
            await ctx.report_progress(passed, limit, f"waiting for an answer to {reply.name}")
        await anyio.sleep(_POLL)


async def note(kind: Literal["plan", "knowledge"], text: str) -> str:
    """Write down, in Markdown, where you are and what is to be done next (`plan`), or what you
    learned that others should know (`knowledge`). It takes the place of the note of that kind, and
    whoever goes on with this task reads it."""
    with _told():
        client.note(kind, text)
    return "written"


async def progress(text: str) -> str:
    """Tell in a line what you are doing just now. It is shown to people and stored nowhere."""
    with _told():
        client.progress(text)
    return "shown"


async def add(
    title: str, body: str, id: str | None = None, depends_on: list[str] | None = None
) -> str:
    """File a task for other work that should be done; do not do it yourself. `body` says in
    Markdown what is to be done and what must be true at the end. `id` and `depends_on` are ids of
    tasks: lower-case letters, digits, - and _."""
    with _told():
        text = outbox_writer.task_text({"title": title, "depends_on": depends_on or []}, body)
        name = outbox_writer.file_task(client.outbox(), text, outbox_writer.id_wanted(id))
    return f"created {name}"


async def verdict(
    ruling: Literal["accepted", "rejected"],
    reason: str = "",
    findings: list[str] | None = None,
    fix_title: str | None = None,
    fix_body: str = "",
) -> str:
    """Say whether the work you judge may land. A rejection lists each thing that is wrong in
    `findings`; `fix_title` and `fix_body` are the task that would repair it, if you know one.
    Said twice, the last one counts; without a verdict the work is not accepted."""
    with _told():
        try:
            fix = Fix(title=fix_title, body=fix_body) if fix_title else None
            said = Verdict(
                verdict=Ruling(ruling), reason=reason, findings=tuple(findings or ()), fix=fix
            )
        except ValueError as error:
            raise FleetError(str(error)) from error
        outbox_writer.say_verdict(client.outbox(), outbox_writer.ruling(said))
    return ruling


def of_role(role: str) -> tuple[Tool, ...]:
    """The tools that an attempt of this role can use."""
    every: tuple[Tool, ...] = (ask_human, note, progress)
    return (*every, verdict) if role == "validate" else (*every, add)


class _told:
    """Turn an error for people into one that the model reads."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FleetError):
            raise ToolError(str(error)) from error
