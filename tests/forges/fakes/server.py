"""A forge on loopback, as far as gitfleet knows one: people, pull requests, comments, real git.

What all forges have in common; how each says it is in a module of its own. It keeps state like a
real one: a merge is a merge in the bare repository, a pull request needs a difference, a second
one from the same branch is refused. Trouble can be ordered: statuses, limits, silence.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

from tests.conftest import git

TOKEN: Final = "fl33t-t0ken-0123456789abcdef"


@dataclass
class User:
    """An account; `access` is none, read, write or admin."""

    id: int
    login: str
    access: str
    bot: bool = False


@dataclass
class Note:
    """A comment."""

    id: int
    user: User
    text: str
    at: str
    system: bool = False


@dataclass
class Request:
    """One request as it came, and what was answered."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    status: int = 0


@dataclass
class PullRequest:
    """A pull request and its comments."""

    number: int
    title: str
    body: str
    head: str
    base: str
    user: User
    created: str
    updated: str
    state: str = "open"  # open, merged, closed
    fork: bool = False
    notes: list[Note] = field(default_factory=list)
    merge: str | None = None


@dataclass
class Reply:
    """What goes back."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)


class Trouble(Exception):
    """A route that ends with an error of the forge's own."""

    def __init__(self, status: int, message: str, **more: Any) -> None:
        self.reply = Reply(status, {"message": message, **more})
        super().__init__(message)


Route = Callable[..., Reply]


class FakeForge:
    """The forge. Tests act as people through its methods."""

    kind: ClassVar[str] = ""
    scheme: ClassVar[str] = "Bearer"
    prefix: ClassVar[str] = ""
    repository: ClassVar[str] = "ada/walks"
    robot: ClassVar[tuple[str, int]]  # login and id of a program's account

    def __init__(self, bare: Path) -> None:
        self.bare = bare
        self.users = {
            user.login: user
            for user in (
                User(1, "ada", "admin"),
                User(2, "bea", "write"),
                User(3, "eve", "read"),
                User(4, "robo", "write", bot=True),
            )
        }
        self.users["robo"].login, self.users["robo"].id = self.robot
        self.token_of: User | None = self.users["ada"]
        self.may = {"read", "write"}  # what the token may
        self.pulls: list[PullRequest] = []
        self.requests: list[Request] = []
        self.orders: list[tuple[str, Reply]] = []  # a pattern of `METHOD path`, what to answer
        self.gone = False
        self.lose: str = ""  # a pattern of requests that are carried out, but not answered
        self.page = 100  # the most that a page holds
        self._notes = 100
        self.lock = threading.RLock()
        self.url = ""
        self.complaints: list[str] = []  # where a request is not as the forge describes it

    # -- people

    def comment(self, number: int, login: str, text: str) -> None:
        """Somebody comments."""
        with self.lock:
            self._note(self.pull(number), self.users[login], text)

    def merge(self, number: int) -> None:
        """Somebody presses the button."""
        with self.lock:
            pull = self.pull(number)
            while not self._merged(pull):  # a runner pushed meanwhile
                pass
            pull.state, pull.updated = "merged", now()

    def _merged(self, pull: PullRequest) -> bool:
        head, base = self._tip(pull.head), self._tip(pull.base)
        tree = self._git("merge-tree", "--write-tree", base, head).split()[0]
        args = ("commit-tree", tree, "-p", base, "-p", head, "-m", f"Merge #{pull.number}")
        pull.merge = self._git(*args)
        git("update-ref", f"refs/heads/{pull.base}", pull.merge, base, cwd=self.bare, check=False)
        return self._tip(pull.base) == pull.merge

    def close(self, number: int) -> None:
        """Somebody closes it."""
        with self.lock:
            self.pull(number).state = "closed"
            self.pull(number).updated = now()

    def fork(self, branch: str, base: str) -> PullRequest:
        """A stranger opens a pull request from a branch of that name, in a repository of theirs."""
        with self.lock:
            made = self._made(branch, base, "Mine", "", self.users["eve"])
            made.fork = True
            return made

    def pull(self, number: int) -> PullRequest:
        """A pull request by its number."""
        return next(one for one in self.pulls if one.number == number)

    def order(self, pattern: str, *replies: Reply) -> None:
        """The next requests that match are answered so, one reply each."""
        with self.lock:
            self.orders += [(pattern, reply) for reply in replies]

    def asked(self, pattern: str) -> list[Request]:
        """The requests so far that match `METHOD path`."""
        return [one for one in self.requests if re.search(pattern, f"{one.method} {one.path}")]

    # -- state

    def _git(self, *args: str) -> str:
        return git(*args, cwd=self.bare)

    def _tip(self, branch: str) -> str:
        return self._git("rev-parse", "-q", "--verify", f"refs/heads/{branch}")

    def has(self, branch: str) -> bool:
        """Whether there is such a branch."""
        found = git(
            "rev-parse", "-q", "--verify", f"refs/heads/{branch}", cwd=self.bare, check=False
        )
        return bool(found)

    def _note(self, pull: PullRequest, user: User, text: str, *, system: bool = False) -> Note:
        self._notes += 1
        made = Note(self._notes, user, text, now(), system)
        pull.notes.append(made)
        pull.updated = made.at
        return made

    def _made(self, head: str, base: str, title: str, body: str, user: User) -> PullRequest:
        made = PullRequest(len(self.pulls) + 1, title, body, head, base, user, now(), now())
        self.pulls.append(made)
        return made

    def opened(self, head: str, base: str, title: str, body: str) -> PullRequest:
        """A new pull request, if there can be one."""
        if any(p.head == head and p.state == "open" and not p.fork for p in self.pulls):
            raise self.duplicate(head)
        if not self.has(head) or not self.has(base):
            raise Trouble(422, "Validation Failed")
        if self._git("diff", "--name-only", f"{base}...{head}") == "":
            raise Trouble(422, "Validation Failed", errors=[{"message": "No commits between"}])
        assert self.token_of is not None
        return self._made(head, base, title, body, self.token_of)

    def duplicate(self, head: str) -> Trouble:
        """What is said of a second pull request from one branch."""
        raise NotImplementedError

    def may_write(self, need: str = "write") -> None:
        """Trouble unless the token may."""
        if need not in self.may:
            raise Trouble(403, "Resource not accessible by personal access token")

    # -- serving

    def routes(self) -> list[tuple[str, str, Route]]:
        """Method, pattern of the path behind the prefix, function."""
        raise NotImplementedError

    def check(self, request: Request, reply: Reply) -> None:
        """Compare with what the forge's description says; complaints are collected."""

    def serve(self, request: Request, authorization: str) -> Reply | None:
        """Answer one request; None: the answer is lost on the way."""
        with self.lock:
            reply = self._ordered(request) or self._served(request, authorization)
            request.status = reply.status
            self.requests.append(request)
            lost = self.lose and re.search(self.lose, f"{request.method} {request.path}")
            return None if lost else reply

    def _ordered(self, request: Request) -> Reply | None:
        for at, (pattern, reply) in enumerate(self.orders):
            if re.search(pattern, f"{request.method} {request.path}"):
                del self.orders[at]
                return reply
        return None

    def _served(self, request: Request, authorization: str) -> Reply:
        if authorization != f"{self.scheme} {TOKEN}" or self.token_of is None:
            return Reply(401, {"message": "Bad credentials"})
        if not request.path.startswith(self.prefix):
            return Reply(404, {"message": "Not Found"})
        if self.gone:
            return Reply(404, {"message": "Not Found"})
        for method, pattern, route in self.routes():
            found = re.fullmatch(pattern, request.path.removeprefix(self.prefix))
            if found and method == request.method:
                try:
                    reply = route(request, **found.groupdict())
                except Trouble as trouble:
                    reply = trouble.reply
                self.check(request, reply)
                return reply
        self.complaints.append(f"no such route: {request.method} {request.path}")
        return Reply(404, {"message": "Not Found"})

    def paged(self, request: Request, items: list[Any], size: str) -> Reply:
        """A page of a list, with a link to the next."""
        per = min(self.page, int(request.query.get(size, "30")))
        at = int(request.query.get("page", "1"))
        headers = {}
        if len(items) > at * per:
            query = "&".join(f"{k}={v}" for k, v in request.query.items() if k != "page")
            link = f"{self.url}{request.path}?{query}&page={at + 1}"
            headers["Link"] = f'<{link}>; rel="next", <{link}>; rel="last"'
        return Reply(200, items[(at - 1) * per : at * per], headers)


def now() -> str:
    """The time as forges tell it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    forge: FakeForge

    def log_message(self, *_args: object) -> None:
        """Nobody wants to read it."""

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        data = self.rfile.read(size)
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        body = json.loads(data) if data else None
        request = Request(self.command, parts.path, query, body)
        reply = self.forge.serve(request, self.headers.get("Authorization", ""))
        if reply is None:
            self.close_connection = True
            return
        raw = reply.content
        out = raw if isinstance(raw, bytes) else b"" if raw is None else json.dumps(raw).encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(reply.status)
            for key, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve


@contextlib.contextmanager
def serving(forge: FakeForge) -> Iterator[FakeForge]:
    """The forge at an address of its own."""
    handler = type("Handler", (_Handler,), {"forge": forge})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    forge.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
