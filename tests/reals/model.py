"""A model on loopback that says what a script tells it: the outside that real coders speak with.

    plays = {"one": [shell("date > now && git add now && git commit -qm Now"), say("Done.")]}
    with Model(plays) as model:
        ...  # a coder pointed at model.url is told a prompt in which cue("one") stands

A request takes the next step of the play whose cue stands in it, so that any number of coders play
at once. One script drives every coder: a call is put into the words of the tools that the request
offers. A request with another key than the model's own is refused. One without a cue gets a
friendly answer, as do the asides that coders make beside their work (titles, topics): those offer
no tools.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

from tests.reals.dialects import DIALECTS, Dialect, Json, Offered, Reply, ToolCall

KEY: Final = "scripted-key"
_CUE: Final = re.compile(r"cue<([a-z0-9-]+)>")
_SHELLS: Final = ("Bash", "bash", "exec_command", "shell_command", "run_shell_command", "shell")
_FILLERS: Final[Mapping[str, Any]] = {"string": "it", "boolean": False, "integer": 1, "number": 1}


class NotOffered(Exception):
    """The script calls a tool that the coder does not offer."""


Call = Callable[[Offered], ToolCall]  # raises NotOffered


@dataclass(frozen=True)
class Step:
    """One answer of the model. The functions below make them."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1  # so often, before the next step's turn comes
    cut: bool = False  # the connection ends in the middle
    hang: bool = False  # silence after the first event, for as long as the model lives
    spent: tuple[int, int] | None = None  # tokens read and written; None: guessed from the request
    gate: threading.Event | None = None  # not answered before it is set


def cue(play: str) -> str:
    """The words by which a prompt chooses a play."""
    return f"cue<{play}>"


def say(text: str) -> Step:
    """Say it. Without a call in the same step a coder takes it for its last word."""
    return Step(text=text)


def shell(command: str, text: str = "") -> Step:
    """Run a command with the coder's own shell tool."""

    def worded(offered: Offered) -> ToolCall:
        name = next((name for name in _SHELLS if name in offered), None)
        if name is None:
            raise NotOffered(f"a shell; there are {sorted(offered)}")
        schema = offered[name]
        key = "cmd" if "cmd" in schema.get("properties", {}) else "command"
        return ToolCall(name, _filled(schema, {key: command}))

    return Step(text=text, calls=(worded,))


def call(tool: str, text: str = "", **arguments: Any) -> Step:
    """Call a tool by its name: as it is offered, or as the last word of what an MCP server's is
    called (mcp__server__tool, mcp__server::tool, server_tool, ...)."""

    def worded(offered: Offered) -> ToolCall:
        ends = re.compile(rf"(?:^|[_:-]){re.escape(tool)}$")
        name = next((name for name in offered if ends.search(name)), None)
        if name is None:
            raise NotOffered(f"{tool}; there are {sorted(offered)}")
        return ToolCall(name, _filled(offered[name], arguments))

    return Step(text=text, calls=(worded,))


def refuse(status: int, *, times: int = 1, after: int | None = None) -> Step:
    """An HTTP error, `times` times; `after`: seconds that the client is told to wait."""
    headers = {} if after is None else {"retry-after": str(after)}
    return Step(f"scripted {status}", status=status, headers=headers, times=times)


def both(*steps: Step) -> Step:
    """The calls of several steps in one answer."""
    text = " ".join(step.text for step in steps if step.text)
    return replace(steps[0], text=text, calls=tuple(call for step in steps for call in step.calls))


def _filled(schema: Json, arguments: Json) -> Json:
    """The arguments, and something harmless for what else the tool requires."""
    properties = schema.get("properties", {})
    missing = [name for name in schema.get("required", ()) if name not in arguments]
    return arguments | {name: _FILLERS.get(properties[name].get("type"), "") for name in missing}


@dataclass(frozen=True)
class Asked:
    """One request that was answered. `step` is None for what takes no step of a play."""

    dialect: str
    play: str
    step: int | None
    offered: tuple[str, ...]
    body: Json = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class Model:
    """The server. `asked` and `missed` are what tests look at."""

    def __init__(
        self,
        plays: Mapping[str, Sequence[Step]],
        *,
        key: str = KEY,
        toolless: Iterable[str] = (),
    ) -> None:
        """`toolless`: plays of coders that never offer tools (aider), so have no asides."""
        self.key = key
        self.asked: list[Asked] = []
        self.missed: list[str] = []  # tools that a script called and a coder did not offer
        self.ending = threading.Event()
        self._plays = {name: list(steps) for name, steps in plays.items()}
        self._toolless = frozenset(toolless)
        self._at: dict[str, int] = {}
        self._given: dict[str, int] = {}
        self._news = threading.Condition()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.model = self
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Model:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.ending.set()
        self._http.shutdown()
        self._http.server_close()

    def wait_for(self, play: str, step: int, *, timeout: float = 60) -> None:
        """Wait until a step of a play was asked for."""

        def there() -> bool:
            return any(one.play == play and one.step == step for one in self.asked)

        with self._news:
            assert self._news.wait_for(there, timeout), f"{play} did not come to step {step}"

    def finished(self, play: str) -> bool:
        """Whether all steps of a play were taken."""
        return self._at.get(play, 0) >= len(self._plays[play])

    def answer(self, dialect: Dialect, body: Json, headers: Mapping[str, str]) -> Step:
        """The step that this request gets."""
        offered = dialect.offered(body)
        with self._news:
            play, number, step = self._next(_CUE.findall(json.dumps(body)), bool(offered))
            self.asked.append(Asked(dialect.name, play, number, tuple(offered), body, headers))
            self._news.notify_all()
        return step

    def _next(self, cues: list[str], tools: bool) -> tuple[str, int | None, Step]:
        play = cues[0] if cues else ""
        if not cues or not (tools or play in self._toolless):
            return play, None, say("Good.")
        if play not in self._plays:
            self.missed.append(f"the play {play}")
            return play, None, refuse(400)
        at = self._at.get(play, 0)
        if at >= len(self._plays[play]):
            return play, None, say("There is nothing more to do.")
        step = self._plays[play][at]
        self._given[play] = self._given.get(play, 0) + 1
        if self._given[play] >= step.times:
            self._at[play], self._given[play] = at + 1, 0
        return play, at, step


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    model: Model

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was ended in the middle of a request is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Tests print nothing."""

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def do_GET(self) -> None:
        """Lists of models: clients look whether theirs is there."""
        ids = ("scripted", "gpt-5", "claude-sonnet-4-5", "gemini-2.5-pro")
        models = [{"id": name, "object": "model", "type": "model"} for name in ids]
        self._json(200, {"object": "list", "data": models, "models": [], "has_more": False})

    def do_POST(self) -> None:
        raw = self._body()
        path = self.path.partition("?")[0]
        dialect = next((one for one in DIALECTS if one.path.search(path)), None)
        if dialect is None:
            counted = {"input_tokens": len(raw) // 4, "totalTokens": len(raw) // 4}
            self._json(200 if "count" in path.lower() else 404, counted)
        elif self.server.model.key not in self._keys():
            self._json(401, dialect.refusal(401, "the key is not valid"))
        else:
            body = json.loads(raw)
            headers = {name.lower(): value for name, value in self.headers.items()}
            self._take(dialect, body, self.server.model.answer(dialect, body, headers), len(raw))

    def _take(self, dialect: Dialect, body: Json, step: Step, size: int) -> None:
        model = self.server.model
        if step.gate is not None:
            step.gate.wait()
        if step.status != 200:
            self._json(step.status, dialect.refusal(step.status, step.text), step.headers)
            return
        try:
            calls = tuple(worded(dialect.offered(body)) for worded in step.calls)
        except NotOffered as error:
            model.missed.append(str(error))
            self._json(400, dialect.refusal(400, f"the script wants {error}"))
            return
        name = body.get("model") or self.path.rpartition("/")[2].partition(":")[0]
        reply = Reply(name, step.text, calls, step.spent or (size // 4, 20))
        if body.get("stream") or "streamgenerate" in self.path.lower():
            self._stream(dialect, reply, step)
        else:
            self._json(200, dialect.whole(reply), step.headers)

    def _keys(self) -> set[str]:
        """Every way to show a key."""
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        names = ("x-api-key", "x-goog-api-key")
        return {bearer, *(self.headers.get(name, "") for name in names)}

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("transfer-encoding", ""):
            raw = b"".join(iter(self._chunk, b""))
        else:
            raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        return gzip.decompress(raw) if self.headers.get("content-encoding") == "gzip" else raw

    def _chunk(self) -> bytes:
        data = self.rfile.read(int(self.rfile.readline().partition(b";")[0], 16))
        self.rfile.readline()
        return data

    def _json(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, dialect: Dialect, reply: Reply, step: Step) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        for name, value in step.headers.items():
            self.send_header(name, value)
        self.end_headers()
        events = list(dialect.events(reply))
        for number, (kind, data) in enumerate(events):
            if step.hang and number == 1:
                self.server.model.ending.wait()
                self.close_connection = True
                return
            if step.cut and number >= len(events) // 2:
                self.close_connection = True
                return
            text = data if isinstance(data, str) else json.dumps(data)
            raw = (f"event: {kind}\n" if kind else "").encode() + f"data: {text}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))
        self.wfile.write(b"0\r\n\r\n")
