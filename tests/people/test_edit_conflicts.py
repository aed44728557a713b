"""Nobody's edit is lost silently: by `gitfleet run`, by each verb that writes, at every failure."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitfleet.board import merge_human_edits
from gitfleet.board.merge_human_edits import HumanEdits, merge
from gitfleet.board.store import Store, utc_now
from gitfleet.cli.support.context import fleet_of
from gitfleet.cli.support.session import open_session
from gitfleet.errors import FleetError
from gitfleet.event_log import EventLog
from gitfleet.files import layout
from gitfleet.git import refs, salvage
from gitfleet.git.objects import Objects, blob_id
from gitfleet.git.repo import Repo, find
from gitfleet.intake.inbox_branches import read_inbox
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.plan import archive
from tests.cli.acting import gitfleet, work
from tests.conftest import git
from tests.lanes import sample
from tests.people.desks import (
    INBOX_BRANCH,
    QUESTION,
    WAYS,
    Desk,
    Desks,
    Files,
    by_inbox,
    by_run,
    by_verb,
    two_desks,
)
from tests.people.kit import task

SETTINGS = "format: 2\ntarget: main\nheartbeat: 1s\n"
T0, T1, T2 = (task(f"Version {number}", f"echo {number} > made") for number in range(3))
START: Files = {
    "fleet.yaml": SETTINGS,
    "tasks/login.md": T0,
    "tasks/t.md": task("T"),
    "tasks/held.md": task("Held", hold=True),
    "tasks/gone.md": task("Gone"),
    "log/gone/001-cancel-aaaa.yaml": "at: 2026-01-01T00:00:00Z\nby: Ann <ann@example.org>\n",
    "questions/t-1.md": QUESTION.replace("task: a", "task: t"),
}
ANNS: Files = {"fleet.yaml": SETTINGS + "concurrency: 2\n", "tasks/login.md": T1}
BENS: Files = {"fleet.yaml": SETTINGS + "concurrency: 7\n", "tasks/login.md": T2}


@pytest.fixture
def desks(tmp_path: Path) -> Desks:
    return two_desks(tmp_path)


def conflicting(desks: Desks, start: Files = START) -> tuple[str, str]:
    """Ann and Ben edit the settings and one task: Ben's commit, and the ref that will hold it."""
    desks.start(start)
    desks.ann.push(ANNS)
    made = desks.ben.commit(BENS)
    return made, f"{salvage.PREFIX}edits/{made[:10]}"


def copy_of(desks: Desks) -> str:
    """The id of the task that holds Ben's version."""
    (path,) = (one for one in desks.files() if one.startswith("tasks/login-"))
    return Path(path).stem


def assert_kept(desks: Desks, kept: str) -> None:
    """Ann's versions are on the board, Ben's is a held task, and all of his is on the ref."""
    assert desks.show("tasks/login.md") == T1.encode()
    assert desks.show("fleet.yaml") == (SETTINGS + "concurrency: 2\n").encode()
    copy = copy_of(desks)
    assert desks.show(f"tasks/{copy}.md") == T2.encode() and desks.status(copy) == "held"
    shown = git("show", f"{kept}:fleet.yaml", cwd=desks.ben.path)
    assert shown == (SETTINGS + "concurrency: 7\n").strip()
    assert desks.broken() == []


VERBS = {
    "add": ("add", "Other", "--id", "other", "--coder", "shell", "--body", "```sh\ntrue\n```"),
    "hold": ("hold", "t"),
    "unhold": ("unhold", "held"),
    "cancel": ("cancel", "t"),
    "close": ("close", "t"),
    "retry": ("retry", "gone"),
    "answer": ("answer", "t", "This."),
    "revert": ("revert", "landed"),
}


@pytest.mark.parametrize("verb", sample(VERBS, "add", "answer"))
def test_every_verb_that_writes_tells_whose_edit_lost(desks: Desks, verb: str) -> None:
    """On standard error, a line for each file: the file, what became of Ben's version, the ref
    that holds it and the command that shows it. The verb does its own work."""
    start = {**START, "tasks/landed.md": task("Landed", "echo 1 > one")}
    if verb == "revert":
        desks.start({"fleet.yaml": SETTINGS, "tasks/landed.md": start["tasks/landed.md"]})
        work(desks.ann.path)
        git("pull", "-q", "origin", "main", cwd=desks.ben.path)
        git("pull", "-q", "--ff-only", "origin", "fleet", cwd=desks.ben.window)
    made, kept = conflicting(desks, start if verb != "revert" else START)
    told = desks.ben.verb(*VERBS[verb])
    lines = [line for line in told.splitlines() if kept in line]
    assert lines == [
        f"gitfleet: fleet.yaml: the board has another version. Your version (commit {made[:10]})"
        f" is not on the board. It is kept on {kept};"
        f" see it with: git show {kept}:fleet.yaml",
        f"gitfleet: tasks/login.md: the board has another version. Your version (commit"
        f" {made[:10]}) is tasks/{copy_of(desks)}.md, on hold:"
        f" `gitfleet unhold {copy_of(desks)}` allows it to start,"
        f" `gitfleet cancel {copy_of(desks)}` cancels it. It is kept on {kept};"
        f" see it with: git show {kept}:tasks/login.md",
    ]
    assert_kept(desks, kept)
    said = git("log", "-1", "--format=%an", "fleet", cwd=desks.bare)
    assert said == "Ada Author"  # the verb's own commit, in the name that git knows here
    again = desks.ben.add("again")
    assert kept not in again and copy_of(desks)  # once, and no second copy


@pytest.mark.slow
def test_a_runner_logs_whose_edit_lost_and_does_not_run_it(desks: Desks) -> None:
    """The copy stays on hold: two versions of one task are not two tasks to do."""
    made, kept = conflicting(desks, {"fleet.yaml": SETTINGS, "tasks/login.md": T0})
    lines = work(desks.ben.path)
    assert git("show", "main:made", cwd=desks.bare) == "1"
    copy = copy_of(desks)
    mark = f"commit={made[:10]} kept={kept}"
    conflicts = [line.split(" ", 1)[1] for line in lines if " edit-conflict " in line]
    assert conflicts == [
        f'edit-conflict path=fleet.yaml went="ignored: the board has another version" {mark}',
        f"edit-conflict path=tasks/login.md went=tasks/{copy}.md held=yes"
        f' reason="the board has another version" {mark}',
    ]
    assert [line for line in lines if " landed " in line and "task=login " in line]
    assert not [line for line in lines if f"task={copy}" in line]
    assert_kept(desks, kept)


def test_a_verb_as_a_process_prints_on_standard_error_alone(desks: Desks) -> None:
    """So that `id=$(gitfleet add …)` still holds the id."""
    _, kept = conflicting(desks)
    said = gitfleet("add", "Other", "--id", "other", "--coder", "shell", cwd=desks.ben.path)
    assert said.stdout == "other\n" and said.stderr.count(kept) == 4


# -- retries


def racing(desks: Desks, name: str) -> Callable[[Board, datetime], Change]:
    """A decision during which Ann pushes three times, so that the next push is too late."""
    left = [f"tasks/{name}-{number}.md" for number in range(3)]

    def decide(_board: Board, _now: datetime) -> Change:
        if left:
            desks.ann.push({left.pop(): task("Ann's")})
        return Change(subject="Mine", files={"tasks/mine.md": T0.encode()})

    return decide


def test_a_conflict_is_told_once_however_often_the_push_comes_too_late(
    desks: Desks, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a runner and by a verb; and there is one copy and one ref."""
    _, kept = conflicting(desks)
    lines: list[str] = []
    store = fleet_of(open_session(desks.ben.path), EventLog(lines.append)).store
    assert store.transact(racing(desks, "one")).won
    assert len([line for line in lines if "edit-conflict" in line]) == 2
    assert_kept(desks, kept)
    git("pull", "-q", "--ff-only", "origin", "fleet", cwd=desks.ann.window)
    desks.ann.push({"fleet.yaml": SETTINGS + "concurrency: 4\n"})
    made = desks.ben.commit({"fleet.yaml": SETTINGS + "concurrency: 5\n"})
    monkeypatch.chdir(desks.ben.path)
    open_session().change(racing(desks, "two"))
    kept = f"{salvage.PREFIX}edits/{made[:10]}"
    told = capsys.readouterr().err
    assert told.count("gitfleet: fleet.yaml: ") == 1 and kept in told
    assert len(desks.ben.salvaged()) == 2


def test_a_verb_that_fails_merges_nothing_and_tells_nothing(
    desks: Desks, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit is not on the board yet; the next verb merges it and tells of it."""
    made, kept = conflicting(desks)
    before = git("rev-parse", "fleet", cwd=desks.bare)
    assert "already on hold" in desks.ben.refused("hold", "held").what
    monkeypatch.chdir(desks.ben.path)
    with pytest.raises(FleetError, match="as it was"):
        open_session().change(lambda _board, _now: fail("as it was"))
    assert capsys.readouterr().err == ""
    assert desks.ben.tip() == made and git("rev-parse", "fleet", cwd=desks.bare) == before
    assert kept in desks.ben.verb("hold", "t")
    assert_kept(desks, kept)


def fail(what: str) -> Change:
    raise FleetError(what)


@pytest.mark.slow
def test_an_answer_of_the_server_that_is_lost_loses_no_conflict(desks: Desks) -> None:
    """The push arrived and nobody heard of it: the merge is told all the same."""
    _, kept = conflicting(desks)
    hook = desks.bare / "hooks" / "post-receive"  # the refs have moved by then
    hook.write_text(f"#!/bin/sh\nrm '{hook}'\nexec sleep 20\n")
    hook.chmod(0o755)
    said = gitfleet("hold", "t", cwd=desks.ben.path, env={"GITFLEET_REMOTE_TIMEOUT": "2"})
    assert said.stderr.count(f"see it with: git show {kept}") == 2
    assert kept not in desks.ben.add("other")
    assert_kept(desks, kept)


# -- where the salvage ref cannot be written


def block(desk: Desk, place: str) -> Callable[[], None]:
    """Make a ref that stands where the folder of salvage refs has to be; its removal."""
    ref = f"{salvage.PREFIX}{place}"
    git("update-ref", ref, "HEAD", cwd=desk.path)

    def unblock() -> None:
        git("update-ref", "-d", ref, cwd=desk.path)

    return unblock


def test_a_verb_changes_nothing_while_the_losing_version_cannot_be_kept(desks: Desks) -> None:
    """It says why, and the person's commit stays on the branch; later all is as ever."""
    made, kept = conflicting(desks)
    before = git("rev-parse", "fleet", cwd=desks.bare)
    unblock = block(desks.ben, "edits")
    error = desks.ben.refused("hold", "t")
    assert f"your commit {made[:10]} cannot be merged into the board" in error.what
    assert f"{kept} cannot be written" in error.what and "Nothing was changed" in error.remedy
    assert desks.ben.tip() == made and git("rev-parse", "fleet", cwd=desks.bare) == before
    unblock()
    assert kept in desks.ben.verb("hold", "t")
    assert_kept(desks, kept)


def test_a_runner_works_on_while_the_losing_version_cannot_be_kept(desks: Desks) -> None:
    """Without that commit, which waits in its clone and is told once."""
    made, kept = conflicting(desks)
    unblock = block(desks.ben, "edits")
    fleet = fleet_of(open_session(desks.ben.path), EventLog(desks.ben.lines.append))

    def note(number: int) -> None:
        change = Change(subject="Note", files={f"notes/t/{number}.md": b"so\n"})
        assert fleet.store.transact(lambda _board, _now: change).won

    for number in range(3):
        note(number)
    (line,) = desks.ben.lines
    assert f" edits-waiting commit={made[:10]} reason=" in line and kept in line
    assert desks.ben.tip() == made and desks.show("notes/t/2.md") == b"so\n"
    assert desks.show("tasks/login.md") == T1.encode()
    unblock()
    note(3)
    assert_kept(desks, kept)
    assert desks.show("notes/t/2.md") == desks.show("notes/t/3.md") == b"so\n"
    assert desks.ben.tip() == git("rev-parse", "fleet", cwd=desks.bare)


def test_an_inbox_branch_stays_while_the_losing_version_cannot_be_kept(desks: Desks) -> None:
    """The others are merged; it is told once, and merged when it can be."""
    desks.start(START)
    desks.ann.push(ANNS)
    made = desks.ben.commit(BENS)
    git("push", "-q", "origin", f"{made}:{INBOX_BRANCH}", cwd=desks.ben.path)
    good = desks.ben.commit({**START, "tasks/new.md": T0})
    git("push", "-q", "origin", f"{good}:{INBOX_BRANCH}2", cwd=desks.ben.path)
    unblock = block(desks.ann, "in")
    desks.ann.read_inbox()
    assert f" edits-waiting commit={made[:10]} reason=" in desks.ann.lines[0]
    assert refs.read(find(desks.bare), INBOX_BRANCH) == made
    assert refs.read(find(desks.bare), f"{INBOX_BRANCH}2") is None
    assert desks.show("tasks/new.md") == T0.encode()
    unblock()
    desks.ann.read_inbox()
    assert refs.read(find(desks.bare), INBOX_BRANCH) is None
    assert desks.ann.salvaged() == {f"{salvage.PREFIX}in/{made[:10]}": made}
    assert desks.status(copy_of(desks)) == "held"


def test_an_inbox_branch_that_the_server_rejects_holds_up_no_other(desks: Desks) -> None:
    """It stays and is logged once, although the server's reason names another commit each time;
    the branch after it is merged."""
    hook = desks.bare / "hooks" / "pre-receive"
    hook.write_text(
        "#!/bin/sh\nwhile read old new ref; do\n"
        'git ls-tree -r --name-only $new | grep -q bad && echo "no: $new" >&2 && exit 1\n'
        "done\nexit 0\n"
    )
    tip = desks.ben.tip()
    for name in ("bad", "good"):
        git("reset", "-q", "--hard", tip, cwd=desks.ben.window)
        made = desks.ben.commit({f"tasks/{name}.md": T0})
        git("push", "-q", "origin", f"{made}:{INBOX_BRANCH}-{name}", cwd=desks.ben.path)
    hook.chmod(0o755)
    desks.ann.read_inbox()
    assert desks.show("tasks/good.md") == T0.encode() and "tasks/bad.md" not in desks.files()
    assert refs.read(find(desks.bare), f"{INBOX_BRANCH}-bad") is not None
    (line,) = (line for line in desks.ann.lines if " inbox-kept " in line)
    assert "branch=gitfleet/in/ben-bad" in line and "rejected the push" in line
    desks.ann.lines.clear()
    fleet = fleet_of(open_session(desks.ann.path), EventLog(desks.ann.lines.append))
    for number in range(2):
        desks.ann.push({"notes/a/plan.md": str(number)})
        fleet.store.backend.fetch()  # type: ignore[attr-defined]
        read_inbox(fleet, fleet.store.backend.inbox())  # type: ignore[attr-defined]
    assert len([line for line in desks.ann.lines if " inbox-kept " in line]) == 1


# -- commits right on top of the board, and commits that nobody can read


@pytest.mark.parametrize("way", [by_run, by_verb], ids=["run", "verb"])
def test_commits_on_top_of_the_board_go_up_as_they_are_but_for_names_it_never_takes(
    desks: Desks, way: Callable[[Desks, Files], object]
) -> None:
    """As by `git push`, with the same objections as everywhere."""
    desks.start({"tasks/a.md": T0})
    clean = desks.ben.commit({"tasks/a.md": T1})
    way(desks, {"tasks/b.md": T1})
    commits = git("log", "--format=%H", "fleet", cwd=desks.bare).split()
    assert clean in commits and commits.index(clean) == 2
    assert desks.ben.salvaged() == {}
    desks.ben.lines.clear()
    desks.ben.verb("hold", "a")
    fine = {"x.txt": "x", "tasks/c.md": T2, "claims/c.yaml": "x: 1\n", ".gitattributes": "* text\n"}
    made = desks.ben.commit({"notes/a/b.": "x", **fine})
    told = desks.ben.add("last")
    assert desks.files() >= {"tasks/last.md", *fine}
    assert "notes/a/b." not in desks.files()
    assert desks.show(".gitattributes") == b"* text\n"
    kept = f"{salvage.PREFIX}edits/{made[:10]}"
    assert told.count(f"see it with: git show {kept}") == 1
    assert desks.ben.tip() == git("rev-parse", "fleet", cwd=desks.bare)
    assert git("log", "-1", "--format=%P", "fleet~1", cwd=desks.bare) == made  # one line


def test_a_runner_that_worked_without_the_remote_archived_tasks(desks: Desks) -> None:
    """Its commit on top of the remote's board goes up unchanged: each event that it moved is in
    done/ alone, and no rule of the board is broken."""
    desks.start({"tasks/a.md": T0})
    desks.ben.verb("close", "a")
    store = Store(find(desks.ben.path), runner="box", now=lambda: utc_now() + timedelta(days=2))
    archived = store.transact(archive.batch)
    assert archived.won
    desks.ben.add("last")
    assert git("log", "-1", "--format=%P", "fleet", cwd=desks.bare) == archived.board.commit
    names = {path for path in desks.files() if "/a/" in path or path.startswith("tasks/a")}
    assert names and all(path.startswith("done/") for path in names)
    assert desks.ben.salvaged() == {} and desks.broken() == []


def too_deep(desk: Desk) -> str:
    """A commit on the fleet branch with a tree that no reader goes down."""
    repo = find(desk.path)
    objects = Objects(repo)
    inner = objects.write_tree(None, {"x": b"x"})
    for _ in range(80):
        made = git("mktree", cwd=desk.path, input=f"040000 tree {inner}\tx\n")
        inner = made
    tip = desk.tip()
    entries = git("ls-tree", tip, cwd=desk.path)
    tree = git("mktree", cwd=desk.path, input=f"{entries}\n040000 tree {inner}\tdeep\n")
    commit = git("commit-tree", tree, "-p", tip, "-m", "deep", cwd=desk.path)
    git("update-ref", "refs/heads/fleet", commit, cwd=desk.path)
    return commit


def test_a_commit_that_nobody_can_read_waits_and_holds_up_no_runner(desks: Desks) -> None:
    """A verb says so and changes nothing; a runner goes on without it."""
    desks.start(START)
    made = too_deep(desks.ben)
    error = desks.ben.refused("hold", "t")
    assert f"your commit {made[:10]} cannot be merged" in error.what
    assert "more than 64 folders deep" in error.what
    desks.ben.runner()
    assert f" edits-waiting commit={made[:10]} reason=" in desks.ben.lines[0]
    assert desks.show("notes/x/plan.md") == made.encode() and desks.ben.tip() == made


@pytest.mark.parametrize("way", WAYS)
def test_a_folder_that_nobody_can_read_can_be_removed(desks: Desks, way: str) -> None:
    """And until it is, it holds up no other edit."""
    desks.start(START)
    too_deep(desks.ann)
    git("push", "-q", "origin", "fleet", cwd=desks.ann.path)
    git("reset", "-q", "--hard", cwd=desks.ann.window)
    git("pull", "-q", "--ff-only", "origin", "fleet", cwd=desks.ben.window)
    desks.ann.push({"tasks/ann.md": T1})
    by_inbox(desks, {"tasks/ben.md": T1})
    assert {"tasks/ann.md", "tasks/ben.md"} <= desks.files()
    git("fetch", "-q", "origin", cwd=desks.ben.path)
    git("reset", "-q", "--hard", "origin/fleet", cwd=desks.ben.window)
    deep = f"deep/{'x/' * 80}x"
    merged = WAYS[way](desks, {deep: None})
    assert merged.desk.salvaged() == {}
    assert "deep" not in git("ls-tree", "--name-only", "fleet", cwd=desks.bare)


@pytest.mark.parametrize("name", sample(["..", ".git", "../../x", "."], ".git"))
def test_a_tree_that_git_would_not_write_stays_off_the_board(desks: Desks, name: str) -> None:
    """Nor is it sent: a server that checks objects would refuse it, and all that comes after."""
    git("config", "receive.fsckObjects", "true", cwd=desks.bare)
    desks.start(START)
    blob = git("rev-parse", "fleet:fleet.yaml", cwd=desks.ben.path)
    inner = raw_tree(desks.ben, (b"100644", name, blob), (b"100644", f"{name}.md", blob))
    entries = [(b"40000", name, inner), (b"40000", "notes", inner), (b"100644", "fleet.yaml", blob)]
    tree = raw_tree(desks.ben, *entries)
    made = git("commit-tree", tree, "-p", "fleet", "-m", "odd", cwd=desks.ben.path)
    before = desks.files()
    git("update-ref", "refs/heads/fleet", made, cwd=desks.ben.path)
    told = desks.ben.add("other")
    assert f"git show '{salvage.PREFIX}edits/{made[:10]}:notes/{name}'" in told or (
        f"git show {salvage.PREFIX}edits/{made[:10]}:notes/{name}" in told
    )
    fine = set() if "/" in name else {f"notes/{name}.md"}
    assert "tasks/other.md" in desks.files()
    assert desks.files() < {*before, "tasks/other.md", *fine}
    assert desks.ben.tip() == git("rev-parse", "fleet", cwd=desks.bare)
    assert desks.ben.add("more").count("gitfleet: ") == 0


def raw_tree(desk: Desk, *entries: tuple[bytes, str, str]) -> str:
    """A tree of (mode, name, id) written byte by byte, past every check of git's."""
    data = b"".join(
        mode + b" " + name.encode() + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries
    )
    command = ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
    made = subprocess.run(command, cwd=desk.path, input=data, capture_output=True, check=True)
    return made.stdout.decode().strip()


# -- on a server that judges, and in a crowd


def test_a_server_that_judges_takes_the_merge_of_a_commit_with_runners_files(
    desks: Desks,
) -> None:
    """A person's commit that adds a claim must not keep everything after it from the server."""
    desks.start(START)
    desks.ann.push(ANNS)
    gitfleet("hooks", "install", "--server", str(desks.bare), cwd=desks.ann.path)
    edits = {"claims/t.yaml": "x: 1\n", "log/t/009-landed-aaaa.yaml": "x: 1\n", "tasks/b.md": T0}
    merged = by_verb(desks, edits)
    assert merged.told.count("only runners write there") == 2
    assert {"tasks/b.md", "tasks/other.md"} <= desks.files()
    assert desks.broken() == [] and merged.desk.salvaged() == {merged.kept: merged.commit}


@pytest.mark.parametrize("way", sample(WAYS, "commits found by a verb"))
def test_of_very_many_conflicts_the_first_are_told_and_how_many_there_are(
    desks: Desks, way: str
) -> None:
    """Nobody reads a thousand lines; all of them are on the ref."""
    desks.start({f"prompts/p{n}.md": "0\n" for n in range(30)})
    desks.ann.push({f"prompts/p{n}.md": "1\n" for n in range(30)})
    merged = WAYS[way](desks, {f"prompts/p{n}.md": "2\n" for n in range(30)})
    lines = [line for line in merged.told.splitlines() if merged.kept in line]
    assert len(lines) == 21 and "10" in lines[-1]


def test_a_file_that_only_became_executable_is_no_edit(desks: Desks) -> None:
    """It says what it said, so that nothing conflicts with Ann's edit of it."""
    desks.start({"tasks/a.md": T0})
    desks.ann.push({"tasks/a.md": T1})
    (desks.ben.window / "tasks" / "a.md").chmod(0o755)
    merged = by_run(desks, {"tasks/b.md": T0})
    assert merged.told == "" and desks.files() >= {"tasks/a.md", "tasks/b.md"}
    assert desks.show("tasks/a.md") == T1.encode()


def test_without_a_common_history_each_other_version_of_a_task_is_on_hold(desks: Desks) -> None:
    """Nobody can see then whether it is an edit or another task."""
    desks.start({"tasks/login.md": T1})
    desks.ben.commit({"tasks/login.md": T2, "tasks/new.md": T0})
    tree = git("rev-parse", "fleet^{tree}", cwd=desks.ben.path)
    made = git("commit-tree", tree, "-m", "alone", cwd=desks.ben.path)
    git("reset", "-q", "--hard", made, cwd=desks.ben.window)
    desks.ben.add("other")
    assert desks.show("tasks/login.md") == T1.encode()
    assert desks.status(copy_of(desks)) == "held" and desks.status("new") == "ready"


def test_a_limit_for_one_merge_holds_for_edits_and_not_for_a_whole_board(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an inbox branch with too many files the rest is named. Commits on top of the board may
    be a clone's board of long ago, all of which counts."""
    monkeypatch.setattr(merge_human_edits, "_MOST", 2)
    objects = Objects(repo)
    before = objects.write_tree(None, {"fleet.yaml": b"0"})
    after = objects.write_tree(before, {f"tasks/t{number}.md": b"0" for number in range(4)})
    edits = HumanEdits(before=before, after=after, by="Ben", at=utc_now())
    merged = merge(objects, before, edits)
    assert len(merged.files) == 2
    assert {one.why for one in merged.conflicts} == {"more than 2 files at once"}
    assert len(merge(objects, before, replace(edits, ahead=True)).files) == 4


def test_a_copys_id_is_no_other_tasks(repo: Repo) -> None:
    """Where a task with the id of the copy is there, finished or not, the id gets longer."""
    objects = Objects(repo)
    before = objects.write_tree(None, {"tasks/a.md": b"0"})
    after = objects.write_tree(None, {"tasks/a.md": b"2"})
    oid = blob_id(b"2")
    copy = f"tasks/a-{oid[:6]}.md"
    for taken in (copy, f"{copy}/b.md", f"done/2026-01/a-{oid[:6]}/task.md"):
        here = objects.write_tree(None, {"tasks/a.md": b"1", taken: b"another"})
        merged = merge(objects, here, HumanEdits(before, after, "Ben", utc_now()))
        assert [one.copy for one in merged.conflicts] == [f"tasks/a-{oid[:10]}.md"]


def test_a_copys_id_is_no_folder_of_the_same_edit(repo: Repo) -> None:
    """Somebody who foresees the name of the copy keeps nobody's edits from the board."""
    objects, oid = Objects(repo), blob_id(b"2")
    before, here = (objects.write_tree(None, {"tasks/a.md": data}) for data in (b"0", b"1"))
    foreseen = f"tasks/a-{oid[:6]}.md/b.md"
    after = objects.write_tree(None, {"tasks/a.md": b"2", foreseen: b"3"})
    merged = merge(objects, here, HumanEdits(before, after, "Ben", utc_now()))
    assert [one.copy for one in merged.conflicts] == [f"tasks/a-{oid[:10]}.md"]
    result = objects.write_tree(here, merged.files)
    assert objects.find(result, foreseen) and objects.find(result, f"tasks/a-{oid[:10]}.md")


def test_the_same_content_is_copied_once(desks: Desks) -> None:
    """The edit that came by an inbox branch comes again by a clone's commit, byte for byte."""
    desks.start({"tasks/login.md": T0})
    desks.ann.push({"tasks/login.md": T1})
    tip = desks.ben.tip()
    by_inbox(desks, {"tasks/login.md": T2})
    git("reset", "-q", "--hard", tip, cwd=desks.ben.window)
    merged = by_run(desks, {"tasks/login.md": T2})
    assert f"went=tasks/{copy_of(desks)}.md" in merged.told and "held=yes" not in merged.told


# -- the merge by itself

PATHS = [
    "fleet.yaml", "tasks/a.md", "tasks/a-56a605.md", "tasks/b.md", "tasks/a.md/b.md", "tasks",
    "tasks/Bad Name.md", "prompts/work.md", "notes/a/plan.md", "notes/a", "questions/a-1.md",
    f"tasks/a-{blob_id(b'1')[:6]}.md/b.md", f"log/a-{blob_id(b'1')[:6]}",
    "log/a/001-hold-aaaa.yaml", "log/a/002-landed-aaaa.yaml", "log/a", "claims/a.yaml",
    "done/2026-01/a/task.md", "README.md", "x/y", "notes/a/b.",
]  # fmt: skip
TREES = st.dictionaries(st.sampled_from(PATHS), st.sampled_from([b"0", b"1", b"2"]))


def tree_of(objects: Objects, files: dict[str, bytes]) -> str:
    """A tree of these files; where one needs a folder that another one is, the first counts."""
    fitting: dict[str, bytes] = {}
    for path in sorted(files):
        if not any(path.startswith(f"{other}/") for other in fitting):
            fitting[path] = files[path]
    return objects.write_tree(None, dict(fitting))


@given(before=TREES, here=TREES, after=TREES, ahead=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_edit_is_on_the_board_or_named(
    repo: Repo, before: dict[str, bytes], here: dict[str, bytes], after: dict[str, bytes],
    ahead: bool,
) -> None:  # fmt: skip
    """Whatever the three trees are: the result can be written, each edited file is as its author
    left it or in a conflict, and every other file is as the board had it."""
    objects = Objects(repo)
    trees = [tree_of(objects, files) for files in (before, before if ahead else here, after)]
    edits = HumanEdits(before=trees[0], after=trees[2], by="Ben", at=utc_now(), ahead=ahead)
    merged = merge(objects, trees[1], edits)
    result = objects.write_tree(trees[1], merged.files)
    named = {one.path for one in merged.conflicts}
    edited = {change.path: change.new for change in objects.diff(trees[0], trees[2])}
    for path, new in edited.items():
        found = objects.find(result, path)
        as_made = (found.oid if found else None) == (new.oid if new else None)
        assert path in named or as_made or (new is None and found and found.kind == "tree")
    for change in objects.diff(trees[1], result):
        copy = {one.copy for one in merged.conflicts}
        hold = layout.place(change.path).what is layout.FileKind.EVENT
        assert change.path in edited or change.path in copy or hold
        assert not layout.of_runner(change.path) or ahead


@pytest.fixture
def repo(repo_path: Path) -> Repo:
    return find(repo_path)
