"""git servers for tests: smart HTTP with a password, on loopback, in a thread of the test."""

from __future__ import annotations

import base64
import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from tests import warm

USER: Final = "ada"
PASSWORD: Final = "s3cret-of-ada"


class _Handler(BaseHTTPRequestHandler):
    """`git http-backend` behind basic authentication."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    disable_nagle_algorithm = True
    root: Path
    env: dict[str, str]

    def log_message(self, *_args: object) -> None:
        """Nobody wants to read it."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _user(self) -> str | None:
        said = self.headers.get("Authorization", "")
        if not said.startswith("Basic "):
            return None
        user, _, password = base64.b64decode(said[6:]).decode().partition(":")
        return user if (user, password) == (USER, PASSWORD) else None

    def _refuse(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _serve(self) -> None:
        body, user = self._body(), self._user()
        if user is None:
            self._refuse()
            return
        path, _, query = self.path.partition("?")
        env = {
            **self.env,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": user,
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "GATEWAY_INTERFACE": "CGI/1.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        ran = subprocess.run(
            ["git", "http-backend"], input=body, env=env, capture_output=True, check=False
        )
        self._answer(ran.stdout)

    do_GET = do_POST = _serve

    def _answer(self, out: bytes) -> None:
        head, _, data = out.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((value for key, value in fields if key == "Status"), "200")
        self.send_response(int(status[:3]))
        for key, value in fields:
            if key != "Status":
                self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # a client may have been killed
            self.wfile.write(data)


@contextlib.contextmanager
def http_server(root: Path) -> Iterator[str]:
    """Serve the repositories below `root`; the address, with user and password in it.

    A server is another machine: of this one's environment it has what it needs to run us.
    """
    kept = ("PATH", "HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GITFLEET_NO_FSYNC")
    env = {name: os.environ[name] for name in kept if name in os.environ}
    env |= warm.for_python(os.environ)
    handler = type("Handler", (_Handler,), {"root": root, "env": env})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://{USER}:{PASSWORD}@127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def serve_copy(path: Path, root: Path, name: str = "board.git") -> Path:
    """A bare copy of a repository, below `root`, that takes pushes over HTTP."""
    root.mkdir(parents=True, exist_ok=True)
    bare = root / name
    subprocess.run(["git", "clone", "-q", "--bare", str(path), str(bare)], check=True)
    subprocess.run(["git", "config", "http.receivepack", "true"], cwd=bare, check=True)
    subprocess.run(["git", "remote", "remove", "origin"], cwd=bare, check=True)
    return bare
