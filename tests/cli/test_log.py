"""`gitfleet log`: what attempts wrote, from the clone's own files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gitfleet.model.claim import Claim
from gitfleet.model.event import Check, Tokens
from gitfleet.model.states import Outcome, Role
from tests.cli.acting import GITFLEET, add, gitfleet, refusal, running, wait_for
from tests.cli.looking import Lab, on_terminal, task
from tests.conftest import git

LONG = 60.0


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """Two tasks nobody has tried."""
    lab = Lab(tmp_path / "repo")
    lab.commit({"tasks/a.md": task("A"), "tasks/b.md": task("B")})
    return lab


def wrote(lab: Lab, claim: Claim, files: dict[str, bytes], name: str = "a") -> Path:
    """The run directory of an attempt with these files."""
    folder = lab.clone.run_dir(name, claim.attempt, claim.nonce).path
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


def test_output_of_this_clone_that_is_gone_was_removed(lab: Lab) -> None:
    """By `gitfleet gc`, and not to be looked for on another machine."""
    lab.end("a", lab.claim("a", runner=lab.clone.runner_name()), Outcome.LIMITED)
    assert "`gitfleet gc` removes old output" in lab.say("log", "a")


def test_what_is_not_there_is_said(lab: Lab) -> None:
    """No attempt, not that one, nothing written, written elsewhere, or nothing to follow."""
    assert "a has no attempts yet" in refusal("log", "a", cwd=lab.path)
    here = lab.claim("a")
    wrote(lab, here, {"stdout": b""})
    lab.end("a", here, Outcome.LIMITED)
    assert "it wrote nothing" in lab.say("log", "a")
    there = lab.claim("b", runner="elsewhere")
    said = lab.say("log", "b")
    assert "not in this clone; it ran on elsewhere" in said
    assert "not in this clone" in refusal("log", "b", "--follow", cwd=lab.path)
    assert there.attempt == 1
    assert "a has 1 attempt, and no" in refusal("log", "a", "--attempt", "9", cwd=lab.path)
    assert "nothing to follow" in refusal("log", "a", "--follow", cwd=lab.path)
    wrote(lab, lab.claim("a"), {"stdout": b""})
    assert "it has written nothing" in lab.say("log", "a")


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


def test_a_pipe_gets_no_control_characters_either(lab: Lab) -> None:
    """It may end in a terminal all the same: `gitfleet log a | less -R`."""
    claim = lab.claim("a")
    wrote(lab, claim, {"stdout": WICKED})
    lab.end("a", claim, Outcome.LIMITED)
    said = lab.say("log", "a")
    assert "\x1b" not in said and "\x07" not in said and "red \\x1b[2J" in said


TRANSCRIPTS = Path(__file__).resolve().parents[1] / "coders" / "transcripts"
CLAUDE = (TRANSCRIPTS / "claude" / "demo1.jsonl").read_bytes()


def test_an_attempt_of_a_coder_is_told_as_a_person_reads_it(lab: Lab) -> None:
    """By the reader of the coder that made it, with times from what its runner noted; --raw has
    the bytes, and nothing of ours between them."""
    claim = lab.claim("a", coder="claude")
    call, answer = (CLAUDE.index(b'"type":"' + word) for word in (b"tool_use", b"tool_result"))
    call, answer = (CLAUDE.index(b"\n", at) + 1 for at in (call, answer))
    pace = b"%d 1800000000\n%d 1800000075\n%d 1800000076\n" % (call, answer, len(CLAUDE))
    wrote(lab, claim, {"stdout": CLAUDE, "stdout.pace": pace, "stderr": b"oops\n"})
    lab.end("a", claim, Outcome.LIMITED)
    rows = lab.say("log", "a").splitlines()
    assert rows[0].startswith("== attempt 1: work by claude on box, ")
    assert rows[1] == "-- said and done"
    assert "08:00:00 > Bash  echo hello > hello.txt" in rows
    assert "08:01:15 < Bash took 1m 15s" in rows
    assert rows[-4:-1] == ["All done.", "-- stderr", "oops"]
    assert rows[-1].startswith("-- 3 tool calls, 109,291 tokens (")
    raw = subprocess.run(
        [*GITFLEET, "log", "a", "--raw"], cwd=lab.path, capture_output=True, check=True
    )
    assert raw.stdout == CLAUDE + b"oops\n"
    assert "said and done" not in lab.say("log", "a", "--stderr")


def test_tokens_are_those_of_the_attempt_where_its_event_tells_them(lab: Lab) -> None:
    """A session that was gone on with counts what it had used before; the event does not."""
    claim = lab.claim("a", coder="claude")
    wrote(lab, claim, {"stdout": CLAUDE})
    lab.end("a", claim, Outcome.LIMITED, tokens=Tokens(input=5, output=2), usd=0.5)
    assert lab.say("log", "a").splitlines()[-1] == (
        "-- 3 tool calls, 7 tokens (5 in, 2 out), context 19,470 of 1,000,000 (1 %), $0.50"
    )


def test_the_checks_that_were_run_are_told_with_how_each_ended(lab: Lab) -> None:
    """Before what they wrote: which command it was is in no file's name."""
    claim = lab.claim("a")
    wrote(lab, claim, {"check-1.stdout": b"1 failed\n"})
    checks = (
        Check(command="pytest -q", exit_code=1, seconds=75.2, tail="1 failed"),
        Check(command="ruff check .", exit_code=0, seconds=2.0),
    )
    lab.end("a", claim, Outcome.LIMITED, checks=checks)
    assert lab.say("log", "a").splitlines()[1:] == [
        "$ pytest -q: ended with 1 after 1m 15s",
        "$ ruff check .: passed after 2s",
        "-- check-1.stdout",
        "1 failed",
    ]
    (one,) = lab.json("log", "a")
    assert [check["exit_code"] for check in one["checks"]] == [1, 0]


def test_what_an_attempt_was_told_is_shown(lab: Lab) -> None:
    """And nothing else of it, if that is asked for."""
    claim = lab.claim("a")
    wrote(lab, claim, {"stdout": b"one\n", "prompt.md": b"Do \x1b[2Jit.\n"})
    lab.end("a", claim, Outcome.LIMITED)
    assert lab.say("log", "a", "--prompt").splitlines()[1:] == ["-- prompt.md", "Do \\x1b[2Jit."]


def test_programs_get_every_event(lab: Lab) -> None:
    """In full, with what the run came to, for coders of structure and for those that say lines."""
    claim = lab.claim("a", coder="claude")
    wrote(lab, claim, {"stdout": CLAUDE})
    lab.end("a", claim, Outcome.LIMITED)
    (one,) = lab.json("log", "a")
    assert one["coder"] == "claude" and one["role"] == "work" and one["attempt"] == 1
    kinds = [event["said"] for event in one["events"]]
    assert kinds[:3] == ["started", "text", "tool_start"] and kinds[-1] == "text"
    assert one["sum"]["tools"] == 3 and one["sum"]["context"] == 19_470
    plain = lab.claim("b")
    wrote(lab, plain, {"stdout": b"one\ntwo\n", "stderr": b"oops\n"}, "b")
    (other,) = lab.json("log", "b")
    assert [event["text"] for event in other["events"]] == ["one", "two"]


def test_an_attempt_of_another_machine_is_told_from_its_transcript(lab: Lab) -> None:
    """As it was pushed; there is no folder of it here, and none is needed."""
    claim = lab.claim("a", coder="claude", runner="elsewhere")
    lab.end("a", claim, Outcome.LIMITED)
    who, objects = lab.store.signature(), lab.store.objects
    tree = objects.write_tree(None, {"stdout": CLAUDE, "prompt.md": b"Do it.\n"})
    commit = objects.write_commit(tree, [], "transcript\n", who, who)
    git("update-ref", "refs/gitfleet/runs/a/1", commit, cwd=lab.path)
    rows = lab.say("log", "a").splitlines()
    assert "> Bash  echo hello > hello.txt" in rows and rows[-1].startswith("-- 3 tool calls")
    assert lab.say("log", "a", "--prompt").splitlines()[-1] == "Do it."
    (one,) = lab.json("log", "a")
    assert one["folder"] is None and len(one["events"]) > 5


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


# A claude that says a line each time it is let on, as the real one does.
_CLAUDE = """#!/bin/sh
while IFS= read -r line; do
  read _ < '{gate}'
  printf '%s\\n' "$line"
done < '{lines}'
"""


def test_a_coder_is_followed_while_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thing it does appears as it does it, for people and, a line each, for programs."""
    lab = Lab(tmp_path / "repo")
    gate, lines, folder = tmp_path / "gate", tmp_path / "lines", tmp_path / "bin"
    os.mkfifo(gate)
    lines.write_bytes(CLAUDE)
    folder.mkdir()
    (folder / "claude").write_text(_CLAUDE.format(gate=gate, lines=lines))
    (folder / "claude").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    lab.commit({"tasks/a.md": task("A").replace("coder: shell", "coder: claude")})
    keep = os.open(gate, os.O_RDWR)  # so that no reader ever finds an end
    with running(lab.path) as runner:
        runner.until("claimed", "task=a")
        wait_for(lambda: list(lab.clone.runs.glob("a/*/stdout")), "the coder")
        people, programs = (
            subprocess.Popen(
                [*GITFLEET, "log", "a", "-f", *more],
                cwd=lab.path,
                stdout=subprocess.PIPE,
                text=True,
            )
            for more in ((), ("--json",))
        )
        assert people.stdout is not None and programs.stdout is not None
        until = CLAUDE[: CLAUDE.index(b'"type":"tool_use"')].count(b"\n") + 1
        os.write(keep, b"go\n" * until)
        said: list[str] = []
        while not said or "> Bash" not in said[-1]:
            said.append(people.stdout.readline())
            assert said[-1], said
        assert "-- said and done\n" in said and "I will create hello.txt.\n" in said
        assert '"said":"started"' in programs.stdout.readline()
        assert people.poll() is None
        os.write(keep, b"go\n" * CLAUDE.count(b"\n"))
        rest = people.stdout.read()
        assert people.wait(LONG) == 0 and "All done." in rest and "-- 3 tool calls, " in rest
        assert all(row.startswith("{") for row in programs.stdout.read().splitlines())
        assert programs.wait(LONG) == 0
        people.stdout.close()
        programs.stdout.close()
    os.close(keep)


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
