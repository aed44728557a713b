"""What lies between a clone and its server, and can be cut: a proxy on loopback, or a path."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from tests.cli.acting import wait_for

SSHD: Final = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")


class Link(Protocol):
    """A way to the server."""

    url: str

    def cut(self, *, silent: bool) -> None:
        """Nothing gets through any more. `silent`: whoever tries is not even told."""

    def mend(self) -> None:
        """As it was."""


class PathLink:
    """A symbolic link to the repository; cut, it is gone."""

    def __init__(self, repository: Path, link: Path) -> None:
        self._repository, self._link = repository, link
        self.url = str(link)
        self.mend()

    def cut(self, *, silent: bool) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._link.unlink()

    def mend(self) -> None:
        with contextlib.suppress(FileExistsError):
            self._link.symlink_to(self._repository)


class Proxy:
    """A port on loopback through which a server on loopback is reached, until it is cut."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut, self._silent = False, False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, silent: bool) -> None:
        with self._lock:
            self._cut, self._silent = True, silent
            if not silent:
                self._drop()

    def mend(self) -> None:
        with self._lock:
            self._cut = False
            self._drop()  # what fell silent is not taken up again

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            with self._lock:
                refused = self._cut and not self._silent
                self._open.add(near)
            try:
                if not refused:
                    self._both_ways(near)
            finally:
                with self._lock:
                    self._open.discard(near)

    def _both_ways(self, near: socket.socket) -> None:
        with socket.create_connection(self._server) as far:
            with self._lock:
                self._open.add(far)
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            back.start()
            self._pump(near, far)
            back.join()
            with self._lock:
                self._open.discard(far)

    def _pump(self, source: socket.socket, goal: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._cut:  # into a hole, otherwise
                    goal.sendall(data)
        with contextlib.suppress(OSError):
            goal.shutdown(socket.SHUT_WR)


class ProxyLink:
    """An address that leads through a proxy of its own."""

    def __init__(self, proxy: Proxy, url: str) -> None:
        self._proxy, self.url = proxy, url

    def cut(self, *, silent: bool) -> None:
        self._proxy.cut(silent=silent)

    def mend(self) -> None:
        self._proxy.mend()


class Ssh:
    """An sshd on loopback, and how to log in there."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.user = os.environ.get("LOGNAME") or _user()
        options = (
            f"-i {folder}/key -o IdentitiesOnly=yes -o UserKnownHostsFile={folder}/known"
            " -o StrictHostKeyChecking=accept-new -o BatchMode=yes -F /dev/null -q"
        )
        self.command = f"ssh {options}"


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[Ssh]:
    """An sshd that lets this user in with a key of its own, and shows him a home of its own."""
    assert SSHD is not None
    folder.mkdir(mode=0o700)
    for name in ("host", "key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    kept = ("PATH", "HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM")
    given = " ".join(f"{name}='{os.environ[name]}'" for name in kept if name in os.environ)
    shell = folder / "shell"
    shell.write_text(f'#!/bin/sh\nexec env -i {given} sh -c "$SSH_ORIGINAL_COMMAND"\n')
    shell.chmod(0o755)
    key = (folder / "key.pub").read_text()
    (folder / "authorized").write_text(f'restrict,command="{shell}" {key}')
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile {folder}/pid\n"
        f"AuthorizedKeysFile {folder}/authorized\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nMaxStartups 100\n"
        "PermitRootLogin prohibit-password\n"
    )
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            wait_for(
                lambda: "listening" in (folder / "log").read_text() or server.poll() is not None,
                "sshd to listen",
            )
            yield Ssh(port, folder)
        finally:
            server.terminate()
            server.wait(10)
