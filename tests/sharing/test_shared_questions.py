"""Questions on a board that several machines share."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.board.store import Store
from gitfleet.files import layout
from gitfleet.git.repo import find
from tests.cli.acting import gitfleet, running, show, wait_for, work
from tests.conftest import git, init

_AGENT = """\
cp "$1" '{folder}/'$GITFLEET_ATTEMPT.md
if test -e half; then mv half whole; exit 0; fi
echo begun > half
gitfleet note plan "then whole"
gitfleet ask "May I?"
"""
BRANCH = "gitfleet/ask/one-1"


class Shared:
    """A bare repository with a board, and two machines' clones of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bare = init(folder / "srv.git", name="", bare=True)
        self.box = init(folder / "box", name="box")
        git("remote", "add", "origin", str(self.bare), cwd=self.box)
        git("push", "-q", "origin", "main", cwd=self.box)
        gitfleet("init", cwd=self.box)
        agent = folder / "agent.sh"
        agent.write_text(_AGENT.format(folder=folder))
        window = self.box / ".fleet"
        (window / "fleet.yaml").write_text(
            "format: 2\ntarget: main\nheartbeat: 1s\nlease: 20s\n"
            "roles: {work: {coder: mine}}\n"
            f"coders: {{mine: {{argv: [sh, {agent}, '{{prompt_file}}']}}}}\n"
        )
        (window / "tasks" / "one.md").write_text("---\ntitle: The one\n---\nDo it.\n")
        git("add", "-A", cwd=window)
        git("commit", "--no-verify", "-q", "-m", "Settings", cwd=window)
        git("push", "-q", "origin", "fleet", cwd=self.box)
        git("fetch", "-q", "origin", cwd=self.box)
        self.desk = folder / "desk"
        git("clone", "-q", str(self.bare), str(self.desk), cwd=folder)
        gitfleet("init", cwd=self.desk)

    def person(self, name: str) -> Path:
        """A clone of somebody who has only git."""
        path = self.folder / name
        git("clone", "-q", "-b", "fleet", str(self.bare), str(path), cwd=self.folder)
        return path

    def branches(self) -> list[str]:
        """The branches of questions that the server has."""
        said = git("for-each-ref", "--format=%(refname)", f"refs/heads/{BRANCH}", cwd=self.bare)
        return said.split()


@pytest.fixture
def shared(tmp_path: Path) -> Shared:
    """A board that `box` and `desk` share."""
    return Shared(tmp_path)


def answer(path: Path, text: str) -> None:
    path.write_text(path.read_text().rstrip("\n") + f"\n\n## Answer\n{text}\n")


@pytest.mark.slow
def test_another_machine_goes_on_after_a_merge_on_the_server(shared: Shared) -> None:
    """box asks and goes home. A person with nothing but git merges the question's branch with an
    answer in it; desk finds the work, the notes and the answer, lands, and removes the branch."""
    work(shared.box, code=4)
    assert shared.branches() == [f"refs/heads/{BRANCH}"]
    bob = shared.person("bob")
    git("fetch", "-q", "origin", cwd=bob)
    git("switch", "-q", BRANCH, cwd=bob)
    path = bob / "questions" / "one-1.md"
    path.write_text(path.read_text() + "Yes, gently\n")
    git("commit", "-q", "-a", "-m", "Yes", cwd=bob)
    git("switch", "-q", "fleet", cwd=bob)
    git("pull", "-q", "--rebase", cwd=bob)
    git("merge", "-q", "--no-ff", "-m", "Answered", BRANCH, cwd=bob)
    git("push", "-q", "origin", "fleet", cwd=bob)
    work(shared.desk)
    assert git("show", "main:whole", cwd=shared.bare) == "begun"
    told = (shared.folder / "2.md").read_text()
    assert "Yes, gently" in told and "then whole" in told
    with running(shared.desk):
        wait_for(lambda: not shared.branches(), "the branch to go")
    assert gitfleet("fsck", cwd=shared.desk).returncode == 0


@pytest.mark.slow
def test_two_people_answer_without_each_other(shared: Shared) -> None:
    """Each in a clone of their own: the one whose answer reached the board first has given it, the
    other's stands under it, and nobody had to resolve anything."""
    work(shared.box, code=4)
    git("fetch", "-q", "origin", cwd=shared.desk)
    git("pull", "-q", "origin", "fleet", cwd=shared.desk / ".fleet")
    answer(shared.desk / ".fleet" / "questions" / "one-1.md", "cookie")
    git("commit", "-q", "-a", "-m", "Cookie", cwd=shared.desk / ".fleet")
    bob = shared.person("bob")
    answer(bob / "questions" / "one-1.md", "JWT")
    git("commit", "-q", "-a", "-m", "JWT", cwd=bob)
    git("push", "-q", "origin", "fleet", cwd=bob)
    work(shared.desk)
    store = Store(find(shared.desk))
    board = store.board()
    (question,) = board.entries["one"].questions
    assert question.answer == "JWT"
    file = store.file(board, layout.question_path("one-1"))
    later = b"<!-- Ada Author <ada@example.org> answered later:\ncookie\n-->"
    assert file is not None and later in file
    assert gitfleet("fsck", cwd=shared.desk).returncode == 0


@pytest.mark.slow
def test_an_inbox_branch_that_answers_too_late_stands_under_the_answer(shared: Shared) -> None:
    """An inbox branch loses no answer either."""
    work(shared.box, code=4)
    bob = shared.person("bob")
    answer(bob / "questions" / "one-1.md", "JWT")
    git("commit", "-q", "-a", "-m", "JWT", cwd=bob)
    git("push", "-q", str(shared.box), "HEAD:gitfleet/in/bob", cwd=bob)
    gitfleet("answer", "one", "cookie", cwd=shared.box)
    work(shared.box)
    git("pull", "-q", "origin", "fleet", cwd=shared.box / ".fleet")
    text = show(shared.box, "questions/one-1.md")
    assert "## Answer\ncookie\n" in text and "answered later:\nJWT\n-->" in text


@pytest.mark.slow
def test_a_server_that_refuses_the_branch_stops_nothing(shared: Shared) -> None:
    """It is told once, with what to do instead; work and answers go on."""
    hook = shared.bare / "hooks" / "update"
    hook.write_text('#!/bin/sh\ncase "$1" in refs/heads/gitfleet/ask/*) exit 1;; esac\n')
    hook.chmod(0o755)
    with running(shared.box) as runner:
        said = runner.until("error", "doing=questions")
        assert "rejected the push to gitfleet/ask/one-1" in said
        gitfleet("answer", "one", "yes", cwd=shared.box)
        git("push", "-q", "origin", "fleet", cwd=shared.box, check=False)
        runner.until("landed", "task=one")
        assert sum("doing=questions" in line for line in runner.lines) == 1
    assert shared.branches() == []


@pytest.mark.slow
def test_a_branch_that_vanished_on_the_server_comes_again(shared: Shared) -> None:
    """Whoever still remembers it looks, and makes it anew while the question is open."""
    work(shared.box, code=4)
    git("update-ref", "-d", f"refs/heads/{BRANCH}", cwd=shared.bare)
    work(shared.box, code=4)
    assert shared.branches() == [f"refs/heads/{BRANCH}"]
    gitfleet("answer", "one", "yes", cwd=shared.box)
    work(shared.box)
    assert shared.branches() == []


@pytest.mark.slow
def test_who_comes_back_goes_on_where_another_machine_stopped(shared: Shared) -> None:
    """Its own old worktree is not the last state of the work any more."""
    (shared.folder / "agent.sh").write_text(
        'echo $GITFLEET_ATTEMPT >> trace\ngitfleet ask "Number $GITFLEET_ATTEMPT?"\n'
    )
    for number, machine in enumerate((shared.box, shared.desk), 1):
        work(machine, code=4)
        gitfleet("answer", f"one-{number}", "on", cwd=machine)
        git("push", "-q", "origin", "fleet", cwd=machine)
    work(shared.box, code=4)
    assert git("show", "gitfleet/task/one:trace", cwd=shared.bare) == "1\n2\n3"
