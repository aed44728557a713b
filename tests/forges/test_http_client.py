"""Requests have an end, tokens go where they belong, and errors say what to do."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest

from gitfleet.errors import FleetError
from gitfleet.forges import http_client
from gitfleet.forges.http_client import Api, Secret
from gitfleet.forges.http_errors import Denied, HttpRejected, Limited, NoAnswer

TOKEN = "t0p-s3cret-t0ken"
Answers = Callable[[str], bytes]


class Server:
    """Answers each request with what `answer` makes of its head: raw, for servers are odd."""

    def __init__(self, answer: Answers) -> None:
        self.answer = answer
        self.heads: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += client.recv(65536)
            head = data.partition(b"\r\n\r\n")[0].decode()
            self.heads.append(head)
            client.sendall(self.answer(head))

    def close(self) -> None:
        """Take nothing more."""
        # A blocked accept keeps the socket open until something comes.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def reply(status: int, body: str = "{}", **headers: str) -> bytes:
    """An answer as it goes over the wire."""
    given = {"Content-Length": str(len(body.encode())), "Connection": "close"}
    lines = [f"{key.replace('_', '-')}: {value}" for key, value in {**given, **headers}.items()]
    return "\r\n".join([f"HTTP/1.1 {status} X", *lines, "", body]).encode()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody wants to wait for what is tried again."""
    monkeypatch.setattr(http_client, "FIRST_PAUSE", 0.01)


@pytest.fixture
def serve() -> Iterator[Callable[[Answers], Server]]:
    """Makes servers, and ends them."""
    with contextlib.ExitStack() as stack:

        def make(answer: Answers) -> Server:
            made = Server(answer)
            stack.callback(made.close)
            return made

        yield make


@contextlib.contextmanager
def api(url: str, stopping: threading.Event | None = None) -> Iterator[Api]:
    """A client of that server, with the token."""
    made = Api(url, Secret(TOKEN, "MY_TOKEN"), stopping=stopping)
    try:
        yield made
    finally:
        made.close()


Serve = Callable[[Answers], Server]


def test_a_token_shows_in_no_repr() -> None:
    """Neither of itself, nor of what holds it."""
    secret = Secret(TOKEN, "MY_TOKEN")
    with api("http://127.0.0.1:9") as made:
        assert TOKEN not in f"{secret!r} {secret} {made!r} {made._client.headers!r}"


def test_a_token_is_not_taken_along_to_another_host(serve: Serve) -> None:
    """Not by a redirect, and not by the link to a next page."""
    other = serve(lambda _head: reply(200))
    server = serve(lambda _head: reply(302, Location=f"{other.url}/x"))
    with api(server.url) as made, pytest.raises(HttpRejected, match="another host"):
        made.get("x", "r")
    link = f'<{other.url}/x?page=2>; rel="next"'
    paged = serve(lambda _head: reply(200, "[1]", Link=link))
    with api(paged.url) as made:
        assert list(made.pages("x", "r")) == [1]
    assert not other.heads and TOKEN in server.heads[0]


def test_a_redirect_on_the_same_host_is_followed_where_nothing_is_changed_by_it(
    serve: Serve,
) -> None:
    """A repository was renamed: it is read there; a POST is not made a GET of."""

    def answer(head: str) -> bytes:
        return reply(200, '{"a": 1}') if "/new" in head else reply(301, Location="/new")

    server = serve(answer)
    with api(server.url) as made:
        assert made.get("old", "r") == {"a": 1}
        with pytest.raises(HttpRejected, match="another address: /new"):
            made.send("POST", "old", "r", {})
    circle = serve(lambda _head: reply(307, Location="/x"))
    with api(circle.url) as made, pytest.raises(HttpRejected, match="circle"):
        made.get("x", "r")


def test_what_may_have_been_done_is_not_done_again(serve: Serve) -> None:
    """A POST that failed on the way back is not repeated; a GET is, a few times."""
    server = serve(lambda _head: b"")
    with api(server.url) as made:
        with pytest.raises(NoAnswer):
            made.send("POST", "x", "r", {"a": 1})
        assert len(server.heads) == 1
        with pytest.raises(NoAnswer):
            made.get("x", "r")
        assert len(server.heads) == 1 + 4


def test_nobody_there_is_no_answer(serve: Serve) -> None:
    """With the host in the sentence."""
    server = serve(lambda _head: reply(200))
    server._socket.listen(0)
    free = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{free.getsockname()[1]}"
    free.close()
    with api(url) as made, pytest.raises(NoAnswer, match=r"127\.0\.0\.1 cannot be reached"):
        made.send("POST", "x", "r", {})


def test_an_answer_that_never_ends_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then keeps nobody longer than the whole may take; a flood is cut off."""
    monkeypatch.setattr(http_client, "TOTAL", 0.3)

    class Drip(Server):
        def _serve(self, client: socket.socket) -> None:
            with client, contextlib.suppress(OSError):
                client.recv(65536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while True:
                    client.sendall(b" ")
                    time.sleep(0.02)  # as slow as a server likes

    server = Drip(lambda _head: b"")
    began = time.monotonic()
    with api(server.url) as made, pytest.raises(NoAnswer, match="takes too long"):
        made.get("x", "r")
    assert time.monotonic() - began < 30
    server.close()
    monkeypatch.setattr(http_client, "LARGEST", 100)
    flood = serve(lambda _head: reply(200, " " * 1000))
    with api(flood.url) as made, pytest.raises(HttpRejected, match="more than"):
        made.get("x", "r")


@pytest.mark.parametrize(
    ("status", "headers", "least", "most"),
    [
        (429, {"Retry-After": "120"}, 119, 120),
        (429, {"Retry-After": formatdate(time.time() + 3000, usegmt=True)}, 2000, 3001),
        (429, {}, 59, 60),
        (429, {"Retry-After": "99999999"}, 3599, 3600),
        (503, {"Retry-After": "60"}, 59, 60),
        (403, {"Retry-After": "60"}, 59, 60),
        (
            403,
            {
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": "1000000600",
                # Its clock stands elsewhere than ours.
                "Date": "Sun, 09 Sep 2001 01:46:40 GMT",
            },
            600,
            601,
        ),
    ],
)
def test_a_limit_says_how_long(
    serve: Serve, status: int, headers: dict[str, str], least: float, most: float
) -> None:
    """In all the ways in which servers tell it; and until then nothing is sent."""
    server = serve(lambda _head: reply(status, **headers))
    with api(server.url) as made:
        with pytest.raises(Limited) as told:
            made.get("x", "r")
        assert least <= told.value.seconds <= most
        with pytest.raises(Limited):
            made.get("x", "r")
    assert len(server.heads) == 1


def test_a_secondary_limit_of_github_is_no_missing_right(serve: Serve) -> None:
    """It is told by its words alone."""
    body = '{"message": "You have exceeded a secondary rate limit. Please wait."}'
    server = serve(lambda _head: reply(403, body))
    with api(server.url) as made, pytest.raises(Limited):
        made.get("x", "r")


@pytest.mark.parametrize("status", [401, 403, 404, 409, 422, 500])
def test_no_error_tells_the_token(serve: Serve, status: int) -> None:
    """Not even where the server repeats it."""
    server = serve(lambda _head: reply(status, f'{{"message": "no: {TOKEN}"}}'))
    with api(server.url) as made, pytest.raises(FleetError) as told:
        made.get("x", "`Pull requests: write`")
    assert TOKEN not in f"{told.value} {told.value!r}"
    if status == 403:
        assert "lacks a right: `Pull requests: write`" in told.value.what
        assert isinstance(told.value, Denied)


def test_something_else_than_a_forge_is_no_answer(serve: Serve) -> None:
    """A login page of a hotel answers everything with 200."""
    server = serve(lambda _head: reply(200, "<html>Welcome</html>"))
    with api(server.url) as made, pytest.raises(NoAnswer, match="other than JSON"):
        made.get("x", "r")
    listing = serve(lambda _head: reply(200, "{}"))
    with api(listing.url) as made, pytest.raises(NoAnswer, match="other than a list"):
        list(made.pages("x", "r"))


def test_the_end_of_the_runner_cuts_pauses(serve: Serve) -> None:
    """Nobody waits for a forge then."""
    stopping = threading.Event()
    stopping.set()
    server = serve(lambda _head: reply(500))
    with api(server.url, stopping) as made, pytest.raises(NoAnswer, match="ending"):
        made.get("x", "r")
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    "address",
    ["http://git.example.org", "ftp://x", "https://", "https://ada:secret@git.example.org", "x"],
)
def test_a_token_travels_encrypted_or_not_at_all(address: str) -> None:
    """But to this very machine."""
    with pytest.raises(FleetError) as told:
        http_client.check_address(address)
    assert "secret" not in str(told.value)
    http_client.check_address("http://127.0.0.1:8000")
    http_client.check_address("https://git.example.org/forge")
