"""What a person decides by a verb is on the remote at once; without one it waits here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.acting import add, events, files, gitfleet, kinds, refusal
from tests.conftest import git, init
from tests.sharing.servers import serve_copy


@pytest.fixture
def clones(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A server's repository with a board, and two clones of it."""
    seed = init(tmp_path / "seed", name="clones")
    gitfleet("init", cwd=seed)
    bare = serve_copy(seed, tmp_path / "srv")
    made = []
    for name in ("ann", "ben"):
        git("clone", "-q", str(bare), name, cwd=tmp_path)
        gitfleet("init", cwd=tmp_path / name)
        made.append(tmp_path / name)
    return bare, made[0], made[1]


def test_a_verb_reaches_the_remote_at_once(clones: tuple[Path, Path, Path]) -> None:
    """With the person as its author; and the clone and its window are where the remote is."""
    bare, ann, _ = clones
    add(ann, "t", "true")
    for verb, kind in (("hold", "hold"), ("unhold", "unhold"), ("cancel", "cancel"),
                       ("retry", "retry"), ("close", "close")):  # fmt: skip
        said = gitfleet(verb, "t", cwd=ann)
        assert said.stderr == "" and kinds(bare, "t")[-1] == kind
        assert git("log", "-1", "--format=%an", "fleet", cwd=bare) == "Ada Author"
    assert git("rev-parse", "fleet", cwd=bare) == git("rev-parse", "HEAD", cwd=ann / ".fleet")
    assert git("status", "--porcelain", cwd=ann / ".fleet") == ""


def test_a_verb_decides_on_the_board_as_it_is_there(clones: tuple[Path, Path, Path]) -> None:
    """What somebody else filed can be decided on without a fetch before, and what went wrong in
    the meantime is refused as everywhere."""
    bare, ann, ben = clones
    add(ann, "t", "true")
    gitfleet("hold", "t", cwd=ben)
    assert "already on hold" in refusal("hold", "t", cwd=ann)
    assert "taken" in refusal("add", "Again", "--id", "t", cwd=ben)
    assert kinds(bare, "t") == ["hold"]


def test_without_the_remote_it_waits_here_and_says_so(
    clones: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """One sentence, and the next change takes it along, file by file, beside what others did."""
    bare, ann, ben = clones
    add(ann, "t", "true")
    bare.rename(tmp_path / "away")
    said = gitfleet("hold", "t", "--reason", "wait", cwd=ann)
    assert said.stdout == "t is on hold\n"
    assert said.stderr.startswith("gitfleet: saved in this clone, but not yet on origin (")
    assert said.stderr.count("\n") == 1
    (tmp_path / "away").rename(bare)
    add(ben, "u", "true")
    assert kinds(bare, "t") == []
    add(ann, "v", "true")
    assert kinds(bare, "t") == ["hold"] and events(bare, "t", "hold")[0]["reason"] == "wait"
    assert files(bare, "tasks") == ["tasks/.gitkeep", "tasks/t.md", "tasks/u.md", "tasks/v.md"]
    gitfleet("fsck", cwd=ann)


@pytest.mark.slow
def test_an_answer_that_was_lost_makes_nothing_twice(
    clones: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """The push arrived and nobody heard of it: what is kept here is the same, byte for byte."""
    bare, ann, _ = clones
    add(ann, "t", "true")
    hook = bare / "hooks" / "post-receive"  # the refs have moved by then
    hook.write_text(f"#!/bin/sh\nrm '{hook}'\nexec sleep 20\n")
    hook.chmod(0o755)
    server = {"GITFLEET_REMOTE_TIMEOUT": "2"}
    said = gitfleet("hold", "t", cwd=ann, env=server)
    assert kinds(bare, "t") == ["hold"] and said.stdout == "t is on hold\n"
    add(ann, "u", "true")
    assert kinds(bare, "t") == ["hold"]


def test_what_the_server_refuses_is_not_kept(clones: tuple[Path, Path, Path]) -> None:
    """Nobody would ever see it; the server's words are told."""
    bare, ann, _ = clones
    add(ann, "t", "true")
    hook = bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'Not on Sundays.' >&2\nexit 1\n")
    hook.chmod(0o755)
    assert "Not on Sundays." in refusal("hold", "t", cwd=ann)
    assert kinds(ann, "t") == []
    hook.unlink()
    gitfleet("hold", "t", cwd=ann)
    assert kinds(bare, "t") == ["hold"]
