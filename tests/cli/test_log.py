"""`gitfleet log`: what attempts wrote, from the clone's own files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gitfleet.model.claim import Claim
from gitfleet.model.states import Outcome, Role
from tests.cli.acting import GITFLEET, add, gitfleet, refusal, running, wait_for
from tests.cli.looking import Lab, on_terminal, task

LONG = 60.0


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two tasks nobody has tried."""
    lab = Lab(tmp_path / "repo")
    lab.commit({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    return lab


def wrote(lab: Lab, claim: Claim, files: dict[str, bytes], name: str = "a") -> Path:
    """The run directory of an attempt with these files."""
    folder = lab.clone.run_dir(name, claim.attempt, claim.nonce)
    folder.mkdir(parents=True)
    for file, data in files.items():
        (folder / file).write_bytes(data)
    return folder


def test_the_output_of_each_attempt_is_shown_below_its_heading(lab: Lab) -> None:
    """In the order of attempts; of each, what came first first."""
    first = lab.claim("a")
    wrote(lab, first, {"stdout": b"one\n", "stderr": b"oops\n", "prompt.md": b"secret\n"})
    lab.end("a", first, Outcome.SUBMITTED, head=lab.work("a", {"a": "a"}))
    second = lab.claim("a", Role.VALIDATE)
    check = {"check-2.stdout": b"2", "check-10.stdout": b"ten\n", "setup-1.stderr": b"set\n"}
    wrote(lab, second, check)
    lab.end("a", second, Outcome.FAILED, reason="so\nso")
    lines = lab.say("log", "a").splitlines()
    assert lines[0].startswith("== attempt 1: work by shell on box, ")
    assert lines[0].endswith("5s, submitted: it was submitted")
    assert lines[1:5] == ["-- stdout", "one", "-- stderr", "oops"]
    assert lines[5].startswith("== attempt 2: validate by checks on box")
    assert lines[5].endswith("failed: so so")
    assert lines[6:] == [
        *("-- setup-1.stderr", "set", "-- check-2.stdout", "2", "-- check-10.stdout", "ten"),
    ]
    assert "one" not in lab.say("log", "a", "--attempt", "2")
    assert "one" not in lab.say("log", "a", "--stderr") and "oops" in lab.say(
        "log", "a", "--stderr"
    )


def test_what_is_not_there_is_said(lab: Lab) -> None:
    """No attempt, not that one, nothing written, written elsewhere, or nothing to follow."""
    assert "nobody has tried a" in refusal("log", "a", cwd=lab.path)
    here = lab.claim("a")
    wrote(lab, here, {"stdout": b""})
    lab.end("a", here, Outcome.LIMITED)
    there = lab.claim("b", runner="elsewhere")
    said = lab.say("log", "b")
    assert "not in this clone; it ran on elsewhere" in said
    assert "not in this clone" in refusal("log", "b", "--follow", cwd=lab.path)
    assert there.attempt == 1
    assert "it wrote nothing" in lab.say("log", "a")
    assert "There are 1." in refusal("log", "a", "--attempt", "9", cwd=lab.path)
    assert "nothing to follow" in refusal("log", "a", "--follow", cwd=lab.path)


def test_output_that_is_on_no_board_is_shown_as_such(lab: Lab) -> None:
    """After the board was rewound the files are still here, and may be all that is left."""
    folder = lab.clone.runs / "a" / "004-deadbeef"
    folder.mkdir(parents=True)
    (folder / "stdout").write_text("lost\n")
    (lab.clone.runs / "a" / "no-run").mkdir()
    assert lab.say("log", "a").splitlines() == [
        *("== attempt 4: it is not on the board", "-- stdout", "lost"),
    ]


WICKED = b"\x1b[31mred\x1b[0m \x1b[2J\x1b]0;owned\x07 50%\r100%\r\ndone \xff\xc2\x9b2J"


def test_a_terminal_gets_harmless_text_and_raw_gets_the_bytes(lab: Lab) -> None:
    """Colours go, other codes show; --raw and a pipe have every byte, headings apart."""
    claim = lab.claim("a")
    wrote(lab, claim, {"stdout": WICKED})
    lab.end("a", claim, Outcome.LIMITED)
    said = on_terminal(lab.path, "log", "a", env={"NO_COLOR": "1"})
    assert "\x1b" not in said and "\x07" not in said and "\x9b" not in said
    assert "red \\x1b[2J" in said and "50%\n100%\ndone" in said
    raw = subprocess.run(
        [*GITFLEET, "log", "a", "--raw"], cwd=lab.path, capture_output=True, check=True
    )
    assert raw.stdout == WICKED + b"\n"
    assert raw.stderr.startswith(b"== attempt 1")


def test_an_attempt_cannot_make_us_read_another_file_or_wait(lab: Lab) -> None:
    """Its run directory is in its reach: a link is not followed, a pipe not waited for."""
    claim = lab.claim("a")
    folder = wrote(lab, claim, {})
    (lab.path / "secret").write_text("secret\n")
    (folder / "stdout").symlink_to(lab.path / "secret")
    os.mkfifo(folder / "stderr")
    lab.end("a", claim, Outcome.LIMITED)
    said = lab.say("log", "a")
    assert "secret" not in said and "it wrote nothing" in said


def test_a_running_attempt_is_followed_until_its_event_is_there(tmp_path: Path) -> None:
    """What it says appears while it runs, and the command ends with the attempt."""
    lab = Lab(tmp_path / "repo")
    gate = tmp_path / "gate"
    add(
        lab.path,
        "slow",
        f"echo begin; while ! [ -e '{gate}' ]; do sleep 0.05; done\n"
        "echo to-stderr >&2; printf 'the end'; exit 3",
        "--id",
        "slow",
    )
    with running(lab.path) as runner:
        runner.until("claimed", "task=slow")
        follow = subprocess.Popen(
            [*GITFLEET, "log", "slow", "--follow"], cwd=lab.path, stdout=subprocess.PIPE, text=True
        )
        assert follow.stdout is not None
        said = [follow.stdout.readline() for _ in range(3)]
        assert said[0].startswith("== attempt 1: work by shell") and "running since" in said[0]
        assert said[1:] == ["-- stdout\n", "begin\n"]
        assert follow.poll() is None
        gate.touch()
        rest = follow.stdout.read()
        assert follow.wait(LONG) == 0
        assert "the end" in rest and "-- stderr\nto-stderr\n" in rest
        assert rest.splitlines()[-1].startswith("== failed: exit status 3")
        follow.stdout.close()


def test_following_ends_when_nobody_is_left_who_could_write(lab: Lab) -> None:
    """A runner that died leaves a claim behind; waiting for its event could take for ever."""
    claim = lab.claim("a")
    wrote(lab, claim, {"stdout": b"the last words"})
    said = gitfleet("log", "a", "--follow", cwd=lab.path).stdout
    assert "the last words" in said and "its runner is gone" in said.splitlines()[-1]


def test_ctrl_c_ends_following(tmp_path: Path) -> None:
    """Exit status 130, as the shell expects it, and no traceback."""
    lab = Lab(tmp_path / "repo")
    add(lab.path, "slow", "echo begin; sleep 600", "--id", "slow")
    with running(lab.path) as runner:
        runner.until("claimed", "task=slow")
        follow = subprocess.Popen(
            [*GITFLEET, "log", "slow", "--follow"],
            cwd=lab.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert follow.stdout is not None
        assert wait_for(follow.stdout.readline, "its heading")
        follow.send_signal(2)
        _, errors = follow.communicate(timeout=LONG)
        assert follow.returncode == 130 and not errors.strip()
