"""A service on loopback that takes messages as apprise's json:// sends them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 60.0  # seconds until a test gives up


class Sink:
    """What it got, in order, and how it behaves: `down` refuses, `gate` makes it wait."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.tries = 0
        self.down = False
        self.gate: threading.Event | None = None
        self.port = 0
        self._more = threading.Condition()

    @property
    def url(self) -> str:
        """Its address, with a secret in it."""
        return f"json://fleet:s3cret-pass-word@127.0.0.1:{self.port}/hook"

    @property
    def titles(self) -> list[str]:
        """The titles so far."""
        return [one["title"] for one in self.got]

    def take(self, data: bytes) -> bool:
        """One message."""
        if self.gate is not None:
            self.gate.wait(PATIENCE)
        with self._more:
            self.tries += 1
            if not self.down:
                self.got.append(json.loads(data))
            self._more.notify_all()
            return not self.down

    def until(self, true: Callable[[], bool]) -> None:
        """Wait for what a message makes true."""
        with self._more:
            assert self._more.wait_for(true, PATIENCE), self.got


class _Handler(BaseHTTPRequestHandler):
    sink: Sink

    def log_message(self, *_args: object) -> None:
        """Nobody wants to read it."""

    def do_POST(self) -> None:
        """A message."""
        data = self.rfile.read(int(self.headers["Content-Length"]))
        taken = self.sink.take(data)
        with contextlib.suppress(ConnectionError):
            self.send_response(200 if taken else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()


@contextlib.contextmanager
def sink() -> Iterator[Sink]:
    """The service at an address of its own."""
    made = Sink()
    handler = type("Handler", (_Handler,), {"sink": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made.port = server.server_address[1]
    try:
        yield made
    finally:
        if made.gate is not None:
            made.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
