"""A link that goes, and a server that answers too late: nothing is done twice, nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.acting import events, kinds, wait_for
from tests.conftest import git, init
from tests.sharing.fleets import SETTINGS, Box, Fleets, fleets, new_box, served

NEAR, FAR, PORT = "10.213.77.1", "10.213.77.2", 9418


def _ip(*args: str, check: bool = True) -> bool:
    done = subprocess.run(["ip", *args], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"ip {args}: {done.stderr}"
    return done.returncode == 0


class Net:
    """Two network namespaces, joined by a cable."""

    def __init__(self, name: str) -> None:
        self.near, self.far = f"{name}-near", f"{name}-far"

    def lay(self) -> None:
        _ip("link", "add", "near0", "netns", self.near, "type", "veth",
            "peer", "name", "far0", "netns", self.far)  # fmt: skip
        for space, device, address in ((self.near, "near0", NEAR), (self.far, "far0", FAR)):
            _ip("-n", space, "addr", "add", f"{address}/24", "dev", device)
            for up in (device, "lo"):
                _ip("-n", space, "link", "set", up, "up")

    def cable(self, state: str) -> None:
        """Take the link `up` or `down`."""
        _ip("-n", self.near, "link", "set", "near0", state)

    @staticmethod
    def within(space: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", space)


@pytest.fixture
def net() -> Iterator[Net]:
    """Skipped where namespaces are not allowed."""
    made = Net(f"gitfleet-{os.getpid()}")
    try:
        allowed = _ip("netns", "add", made.near, check=False)
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("network namespaces are not allowed here")
    try:
        _ip("netns", "add", made.far)
        try:
            made.lay()
        except AssertionError as error:
            pytest.skip(f"no veth pair can be made here: {error}")
        yield made
    finally:
        for space in (made.near, made.far):
            _ip("netns", "delete", space, check=False)


@contextmanager
def _daemon(net: Net, root: Path) -> Iterator[str]:
    log = root.parent / "daemon.log"
    command = (
        "git", "daemon", "--export-all", "--enable=receive-pack", f"--base-path={root}",
        f"--listen={NEAR}", f"--port={PORT}", "--reuseaddr", "--verbose",
    )  # fmt: skip
    with log.open("w") as file:
        daemon = subprocess.Popen(
            [*net.within(net.near), *command], stderr=file, stdout=file, start_new_session=True
        )
        try:
            wait_for(lambda: "Ready to rumble" in log.read_text(), "git daemon")
            yield f"git://{NEAR}:{PORT}"
        finally:
            os.killpg(daemon.pid, signal.SIGTERM)  # git starts the daemon as a child of its own
            daemon.wait(10)


class _Cable:
    """The address of the server, for a Box."""

    def __init__(self, net: Net, url: str) -> None:
        self._net, self.url = net, url

    def cut(self, *, silent: bool) -> None:
        assert silent
        self._net.cable("down")

    def mend(self) -> None:
        self._net.cable("up")


@pytest.mark.slow
def test_a_runner_that_was_unplugged_for_a_lease_lands_nothing(net: Net, tmp_path: Path) -> None:
    """Its work is taken over once, by who can reach the server; it ends its attempt by itself when
    its lease is over, lands nothing when the link is back, and says why both times."""
    seed = init(tmp_path / "seed", name="seed")
    bare = served(seed, tmp_path / "srv", SETTINGS.format(heartbeat=1, lease=5))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with _daemon(net, tmp_path / "srv") as url:
        link = _Cable(net, f"{url}/board.git")
        patience = {"GITFLEET_REMOTE_TIMEOUT": "2"}
        far, near = (
            new_box(tmp_path, name, link, {**patience, "WHERE": name}, net.within(space))
            for name, space in (("far", net.far), ("near", net.near))
        )
        made = Fleets(bare, seed, [far, near])
        try:
            made.write("t", f'[ "$WHERE" = near ] || read _ < {gate}\necho "$WHERE" > made')
            made.send("t")
            far.start()
            far.until(" claimed ", "task=t")
            link.cut(silent=True)
            near.start()
            far.until(" offline ")
            far.until(" lease-expired ", "task=t", "did not answer for a whole lease")
            near.until(" taken-over ", "task=t", f"runner={far.runner}")
            near.until(" landed ", "task=t")
            link.mend()
            far.until(" online ")
            far.until(" fenced ", "task=t")
        finally:
            made.stop()
        _taken_over_once(made, far, near)


def _taken_over_once(made: Fleets, far: Box, near: Box) -> None:
    bare = made.bare
    assert git("show", "main:made", cwd=bare) == "near"
    assert made.merges() == [("t", f"gitfleet ({near.runner})")]
    assert kinds(bare, "t") == ["work", "work", "validate", "landed"]
    lost, done = events(bare, "t", "work")
    assert (lost["outcome"], lost["runner"]) == ("lost", far.runner)
    assert (done["outcome"], done["runner"]) == ("submitted", near.runner)
    assert not far.lines(" landed ") and len(near.lines(" taken-over ")) == 1


# -- a server that answers too late

SLOW_HOOK = """\
#!/bin/sh
# One push of the board at a time; the first after `slow` was laid here takes long.
grep -q ' refs/heads/fleet$' || exit 0
exec 9> '{folder}/turn'
flock 9
if [ -e '{folder}/slow' ]; then
    rm '{folder}/slow'
    sleep {seconds}
    touch '{folder}/slept'
fi
exit 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["claim", "work", "landing"])
def test_a_push_whose_answer_comes_too_late_is_recognised(when: str, tmp_path: Path) -> None:
    """A hook that sleeps longer than the client waits: nobody knows of the push, it arrives all
    the same, and whose it is remembers it. Nothing is done twice, no claim and no nonce stays."""
    with fleets(tmp_path, "http", boxes=1, heartbeat=1, lease=120) as made:
        (box,) = made.boxes
        box.env["GITFLEET_REMOTE_TIMEOUT"] = "4"
        hook, slow = made.bare / "hooks" / "pre-receive", tmp_path / "slow"
        hook.write_text(SLOW_HOOK.format(folder=tmp_path, seconds=9))
        hook.chmod(0o755)
        lay = f"[ -e {tmp_path}/slept ] || touch {slow}\n"
        if when == "landing":
            _check(made, lay.strip())
        made.write("t", f"{lay if when == 'work' else ''}echo done >> made")
        box.start()
        box.until(" running ")
        if when == "claim":
            slow.touch()
        _push(made)
        made.until_done(1, 120)
        assert (tmp_path / "slept").exists()
        wait_for(lambda: not list((box.path / ".git/gitfleet/held").glob("*")), "no nonce is held")
        made.stop()
        assert git("show", "main:made", cwd=made.bare) == "done"
        assert [task for task, _ in made.merges()] == ["t"]
        assert kinds(made.bare, "t") == ["work", "validate", "landed"]
        assert box.lines(" late-claim " if when == "claim" else " ended ", "task=t")


def _push(made: Fleets) -> None:
    """File it past the hook: that is not the push which is to sleep."""
    window = made.seed / ".fleet"
    git("add", "-A", cwd=window)
    git("commit", "--no-verify", "-q", "-m", "Task", cwd=window)
    tip = git("rev-parse", "HEAD", cwd=window)
    git("fetch", "-q", str(window), "HEAD", cwd=made.bare)
    git("update-ref", "refs/heads/fleet", tip, cwd=made.bare)


def _check(made: Fleets, command: str) -> None:
    settings = made.seed / ".fleet" / "fleet.yaml"
    text = settings.read_text().replace('["test ! -e broken"]', f"['{command}']")
    settings.write_text(text)
