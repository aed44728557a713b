"""A server with our hook takes what keeps the board a board, and nothing else; over smart HTTP."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitfleet.audit import pre_receive
from gitfleet.board.store import Store
from gitfleet.git.repo import find
from gitfleet.model.states import Outcome, Role
from tests.cli.acting import gitfleet, refusal, script
from tests.conftest import git
from tests.sharing.pasts import Past, text
from tests.sharing.servers import http_server, serve_copy


class Served:
    """A clone to push from, and the server's repository behind HTTP."""

    def __init__(self, past: Past, bare: Path, url: str) -> None:
        self.past, self.bare, self.url = past, bare, url
        git("remote", "add", "origin", url, cwd=past.path)

    def push(self, *specs: str, force: bool = False) -> tuple[bool, str]:
        """Whether the server took it, and what was said."""
        options = ["--force"] if force else []
        done = subprocess.run(
            ["git", "push", *options, "--atomic", "origin", *specs],
            cwd=self.past.path,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode == 0, done.stderr

    def taken(self, *specs: str) -> None:
        took, said = self.push(*(specs or (f"{self.past.tip}:refs/heads/fleet",)))
        assert took, said

    def refused(self, *specs: str, force: bool = False) -> str:
        before = self.tip("fleet")
        took, said = self.push(*(specs or (f"{self.past.tip}:refs/heads/fleet",)), force=force)
        assert not took, said
        assert self.tip("fleet") == before
        assert "Traceback" not in said
        return re.sub(r"\s*\nremote: ", "\n", said)

    def tip(self, branch: str) -> str:
        return git(
            "rev-parse", "-q", "--verify", f"refs/heads/{branch}", cwd=self.bare, check=False
        )


@pytest.fixture
def served(repo_path: Path, tmp_path: Path) -> Iterator[Served]:
    """A board with a finished task, on a server with the hook."""
    past = Past(repo_path)
    past.work("old")
    bare = serve_copy(repo_path, tmp_path / "srv")
    gitfleet("hooks", "install", "--server", str(bare), cwd=tmp_path)
    with http_server(tmp_path / "srv") as url:
        yield Served(past, bare, f"{url}/board.git")


# -- what passes


@pytest.mark.slow
def test_a_person_may_file_a_task_edit_it_and_answer(served: Served) -> None:
    """What people do all day."""
    past = served.past
    past.task("new")
    served.taken()
    past.person({"tasks/new.md": text("Another title")})
    question = b"---\ntask: new\nasked: 2026-11-20T15:00:00Z\n---\n## Question\nThis?\n"
    past.person({"questions/new-1.md": question})
    served.taken()
    past.person({"questions/new-1.md": question + b"\n## Answer\nYes.\n"})
    served.taken()
    past.person({"log/new/001-note-ab12.yaml": b"at: 2026-11-20T15:00:00Z\nreason: well\n"})
    served.taken()


@pytest.mark.slow
def test_a_merged_pull_request_passes_whichever_way_round(served: Served) -> None:
    """Forges put the board first, `git pull` the person."""
    past = served.past
    for number, board_first in enumerate((True, False)):
        fork = past.task(f"t{number}")
        side = past.commit({f"tasks/pr{number}.md": text()}, fork)
        oid, nonce = past.claimed(f"t{number}")
        past.go(oid)
        board = past.go(past.ended(f"t{number}", nonce))
        served.taken()
        parents = (board, side) if board_first else (side, board)
        files = {f"tasks/pr{number}.md": text()}
        past.go(past.merge(*parents, like=board, files=files))
        served.taken()


def test_a_landing_passes_with_the_target_it_moves(served: Served) -> None:
    """The merge is in no branch of the server before that very push; it lies in quarantine."""
    past = served.past
    past.task("a")
    oid, nonce = past.claimed("a")
    past.go(oid)
    past.go(past.ended("a", nonce))
    oid, nonce = past.claimed("a", Role.VALIDATE)
    past.go(oid)
    served.taken()
    merge = git("commit-tree", "main^{tree}", "-p", "main", "-m", "Merge a", cwd=past.path)
    past.go(past.landed("a", nonce, merge=merge))
    board = f"{past.tip}:refs/heads/fleet"
    assert f"the commit {merge[:10]} does not exist here" in served.refused(board)
    said = served.refused(board, f"{merge}:refs/heads/other")
    assert f"the commit {merge[:10]} is not in main" in said
    served.taken(board, f"{merge}:refs/heads/main")
    assert served.tip("main") == merge


@pytest.mark.slow
def test_a_real_runners_work_passes(served: Served, tmp_path: Path) -> None:
    """Claims, work branches, landings, fixes, the page: a runner on a clone meets no refusal."""
    git("clone", "-q", served.url, "box", cwd=tmp_path)
    box = tmp_path / "box"
    gitfleet("init", cwd=box)
    for task in ("one", "two"):
        args = ("add", f"Do {task}", "--id", task, "--coder", "shell")
        gitfleet(*args, cwd=box, input=script(f"echo {task} > {task}"))
    git("push", "-q", "origin", "fleet", cwd=box)
    said = gitfleet("run", "--until-idle", cwd=box).stdout
    assert said.count(" landed task=") == 2 and " error " not in said, said
    names = git("ls-tree", "--name-only", "main", cwd=served.bare).split()
    assert {"one", "two"} <= set(names)
    assert "0 broken" in gitfleet("fsck", cwd=box).stdout


@pytest.mark.slow
def test_a_runner_passes_that_repairs_what_people_committed_beside_it(
    served: Served, tmp_path: Path
) -> None:
    """Their local commits are below its own: damage goes up with its repair, a broken task as it
    is. Otherwise one slip of a person would end all work on that machine."""
    git("clone", "-q", served.url, "box", cwd=tmp_path)
    box = tmp_path / "box"
    gitfleet("init", cwd=box)
    gitfleet("run", "--until-idle", cwd=box)
    window = box / ".fleet"
    event = next(iter(window.glob("done/*/old/log/*work*.yaml")))
    event.unlink()
    (window / "tasks" / "broken.md").write_text("no front matter")
    (window / "tasks" / "fine.md").write_text(
        "---\ntitle: F\ncoder: shell\n---\n```sh\necho f > f\n```\n"
    )
    git("add", "-A", cwd=window)
    git("commit", "-q", "--no-verify", "-m", "A slip", cwd=window)
    said = gitfleet("run", "--until-idle", cwd=box, code=4).stdout
    assert " repaired " in said and " landed task=fine" in said and " error " not in said, said
    path = event.relative_to(window)
    assert git("cat-file", "-t", f"fleet:{path}", cwd=served.bare) == "blob"
    assert git("cat-file", "-t", "fleet:tasks/broken.md", cwd=served.bare) == "blob"
    assert "0 broken, 1 repaired" in gitfleet("fsck", cwd=box).stdout


def test_everything_else_passes_untouched(served: Served) -> None:
    """Other branches, tags, heartbeats: whatever they hold, python is not even started."""
    past = served.past
    broken = past.commit({"claims/old.yaml": b"forged\n", "tasks/x.md": b"broken"})
    hook = served.bare / "hooks" / "pre-receive"
    hook.write_text(hook.read_text().replace("-m gitfleet", "-m gitfleet.no.such.module"))
    for ref in ("heads/fleet2/x", "heads/gitfleet/in/x", "tags/v1", "gitfleet/runners/box"):
        took, said = served.push(f"{broken}:refs/{ref}")
        assert took, said
    assert not served.push(f"{past.task('a')}:refs/heads/fleet")[0]


def test_a_first_push_of_a_whole_board_passes(served: Served, tmp_path: Path) -> None:
    """A server that has no board yet, and a branch of another name."""
    served.taken(":refs/heads/other", "main:refs/heads/other2")
    git("config", "gitfleet.branch", "agents", cwd=served.bare)
    served.taken(f"{served.past.tip}:refs/heads/agents")
    served.past.person({served.past.event("old"): None})
    took, said = served.push(f"{served.past.tip}:refs/heads/agents")
    assert not took and "breaks invariant 3" in said
    served.taken(f"{served.past.tip}:refs/heads/fleet")


# -- what is refused


def test_a_forged_landing_is_refused(served: Served) -> None:
    """Whether the commit says that it is a runner's, or not."""
    past = served.past
    fork = past.task("a")
    event = past.blob(past.event("old"))
    for runner in (False, True):
        forged = past.commit({"log/a/001-landed-ab12.yaml": event}, fork, runner=runner)
        said = served.refused(f"{forged}:refs/heads/fleet")
        assert f"commit {forged[:10]} breaks invariant 4: log/a/001-landed-ab12.yaml" in said


def test_a_stolen_claim_is_refused(served: Served) -> None:
    """Changed, dropped without its event, or taken for a task that was not to be had."""
    past = served.past
    past.task("a")
    oid, _ = past.claimed("a")
    past.go(oid)
    served.taken()
    mine = re.sub(rb"nonce: \w+", b"nonce: " + b"f" * 32, past.blob("claims/a.yaml"))
    for files, rule in (
        ({"claims/a.yaml": mine}, 1),
        ({"claims/a.yaml": None}, 2),
        ({"claims/old.yaml": past.blob("claims/a.yaml")}, 1),
    ):
        stolen = past.commit(files, runner=True)
        said = served.refused(f"{stolen}:refs/heads/fleet")
        assert f"commit {stolen[:10]} breaks invariant {rule}: claims/" in said


def test_an_edited_event_is_refused_though_a_later_commit_looks_well(served: Served) -> None:
    """Each commit of the push is judged; one that is put back in the same push is forgiven."""
    past = served.past
    event = past.event("old")
    data = past.blob(event)
    edited = past.person({event: data + b"# a small edit\n"})
    past.task("a")
    assert f"commit {edited[:10]} breaks invariant 3: {event}" in served.refused()
    past.person({event: data})
    served.taken()


def test_a_broken_task_is_refused_with_its_line_and_remedy(served: Served) -> None:
    """The same words as `gitfleet lint`; mended by a later commit of the push, it passes."""
    past = served.past
    past.person({"tasks/a.md": b"---\ntitel: Hello\n---\n"})
    said = served.refused()
    assert "tasks/a.md:2:1: unknown key 'titel'" in said and "did you mean 'title'?" in said
    past.person({"tasks/a.md": b"---\ntitle: Hello\n---\n"})
    served.taken()
    past.person({"fleet.yaml": b"format: 2\nchekcs: []\n"})
    assert "fleet.yaml:2:1: unknown key 'chekcs'" in served.refused()


def test_what_gitfleet_pushes_may_carry_a_broken_task(served: Served) -> None:
    """From an inbox branch, say: it stops nothing but itself, not the runner that brings it."""
    past = served.past
    past.person({"tasks/a.md": b"no front matter"}, message="From x\n\nGitfleet-Txn: 0f")
    served.taken()


def test_the_board_is_neither_deleted_nor_rewound(served: Served) -> None:
    """Unless the server's owner says so."""
    past = served.past
    past.task("a")
    served.taken()
    back = f"{past.tip}~1:refs/heads/fleet"
    assert "must not be deleted" in served.refused(":refs/heads/fleet")
    assert "gitfleet/in/<name>" in served.refused(back, force=True)
    tree = git("rev-parse", "main^{tree}", cwd=past.path)
    blob = served.refused(f"{tree}:refs/heads/fleet", force=True)
    assert "must be a commit" in blob or "cannot" in blob
    git("config", "gitfleet.allowRewind", "true", cwd=served.bare)
    took, said = served.push(back, force=True)
    assert took, said


def test_a_line_that_goes_round_the_board_is_refused(served: Served) -> None:
    """A forged past, in which every step is legal, merged with the true board."""
    past = served.past
    fork = past.task("a")
    served.taken()
    oid, nonce = past.claimed("a", at=fork)
    past.go(oid)
    past.go(past.ended("a", nonce))
    served.taken()
    true = past.tip
    oid, nonce = past.claimed("a", at=past.commit({"tasks/b.md": text()}, fork))
    forged = past.ended("a", nonce, Outcome.FAILED, at=oid)
    past.go(past.merge(forged, true))
    assert "breaks invariant 3" in served.refused()


def test_a_trailer_excuses_nothing(served: Served) -> None:
    """A commit that says it is a repair is judged by what it changes."""
    past = served.past
    event = past.event("old")
    bad = past.person({event: None})
    past.person({"tasks/b.md": text()}, message=f"Repair\n\nGitfleet-Repair: {bad}")
    assert "breaks invariant 3" in served.refused()


def test_a_push_that_takes_too_long_to_judge_is_refused(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the number of its commits at once, and by time: it can be pushed in parts."""
    past = served.past
    first = past.task("a")
    for number in range(3):
        past.task(f"b{number}")
    git("config", "gitfleet.mostCommits", "3", cwd=served.bare)
    assert "more than 3 new commits" in served.refused()
    served.taken(f"{first}:refs/heads/fleet")
    served.taken()
    store = Store(find(past.path))
    line = f"{first} {past.tip} refs/heads/fleet"
    assert pre_receive.check_push(store, [line]) == []
    monkeypatch.setattr(pre_receive, "SECONDS", -1.0)
    (told,) = pre_receive.check_push(store, [line])
    assert "takes longer than" in told.what and "in parts" in told.remedy


def test_judging_costs_by_what_is_new(served: Served) -> None:
    """One commit on a long board is judged without a look at its past."""
    past = served.past
    for number in range(6):
        past.work(f"t{number}")
    old = past.tip
    new = past.task("last")
    store = Store(find(past.path))
    seen: list[str] = []
    commit = store.objects.commit
    store.objects.commit = lambda oid: (seen.append(oid), commit(oid))[1]  # type: ignore[method-assign,func-returns-value]
    assert pre_receive.check_push(store, [f"{old} {new} refs/heads/fleet"]) == []
    assert set(seen) == {old, new}


# -- installing


def test_a_hook_that_was_there_runs_after_ours_with_the_same_input(
    served: Served, tmp_path: Path
) -> None:
    """And comes back when ours goes."""
    hook = served.bare / "hooks" / "pre-receive"
    gitfleet("hooks", "remove", "--server", str(served.bare), cwd=tmp_path)
    assert not hook.exists()
    hook.write_text(f"#!/bin/sh\ncat > '{tmp_path}/heard'\ntest ! -e '{tmp_path}/no'\n")
    hook.chmod(0o755)
    theirs = hook.read_text()
    for _ in range(2):
        said = gitfleet("hooks", "install", "--server", str(served.bare), cwd=tmp_path).stdout
        assert "pre-receive.before-gitfleet runs after it" in said
    before = served.tip("fleet")
    new = served.past.task("a")
    served.taken()
    assert (tmp_path / "heard").read_text() == f"{before} {new} refs/heads/fleet\n"
    (tmp_path / "no").touch()
    served.past.task("b")
    assert not served.push(f"{served.past.tip}:refs/heads/fleet")[0]
    assert not served.push(f"{served.past.main}:refs/heads/else")[0]
    (tmp_path / "heard").unlink()
    served.past.person({served.past.event("old"): None})
    served.refused()
    assert not (tmp_path / "heard").exists()
    said = gitfleet("hooks", "remove", "--server", str(served.bare), cwd=tmp_path).stdout
    assert said.startswith("Removed ") and hook.read_text() == theirs


def test_hooks_that_many_repositories_share_are_left_alone(served: Served, tmp_path: Path) -> None:
    """core.hooksPath of a user or of the system is not one repository's to fill."""
    git("config", "core.hooksPath", str(tmp_path / "shared"), cwd=served.bare)
    said = refusal("hooks", "install", "--server", str(served.bare), cwd=tmp_path)
    assert "core.hooksPath" in said and "hook pre-receive" in said
    assert not (tmp_path / "shared").exists()


def test_a_server_that_lost_gitfleet_takes_no_push_unseen(served: Served) -> None:
    """It fails closed for the board and says so; the other branches stay open."""
    hook = served.bare / "hooks" / "pre-receive"
    hook.write_text(re.sub(r"'/[^']*python[^']*'", "'/nowhere/python'", hook.read_text()))
    served.past.task("a")
    assert "so the push cannot be checked" in served.refused()
    served.taken("main:refs/heads/else")


def test_nothing_of_a_refused_push_stays_on_the_server(served: Served) -> None:
    """Neither an object nor a ref: the hook writes nothing into the repository it guards."""

    def there() -> set[Path]:
        return {path for path in served.bare.rglob("*") if path.is_file()}

    before = there()
    served.past.person({served.past.event("old"): None, "tasks/secret.md": text("x" * 100)})
    served.refused()
    assert there() == before
