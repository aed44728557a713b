"""Input from hell: files that anyone can push must cost little, stop nothing and be explained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from gitfleet.event_log import UNSAFE
from gitfleet.files import boards, layout
from gitfleet.files.boards import File
from gitfleet.git.objects import Objects
from gitfleet.model.board import Problem
from tests.acceptance.fleetlab import Ran
from tests.lanes import sample
from tests.people.kit import SampleProject, git, task
from tests.people.mangled import Mangled, one_in

SECONDS = 1.0  # of processor time, for any one file
MEMORY = 100 * 1024  # KiB, for all of them one after the other
# One in eight of each kind of file for every change, all of them for the gate.
thinned = pytest.mark.parametrize("thin", sample([1, 8], 8))

# Reads each file on standard input as the board does: the dearest one, and what memory it took.
_WORKER = """
import json, resource, sys, time
from gitfleet.files import boards
from gitfleet.files.boards import File
from gitfleet.files.layout import LARGEST
from tests.people.mangled import one_in
files = one_in(int(sys.argv[1]))
boards.read({"tasks/a.md": File("a" * 40, b"---\\ntitel: x\\n---\\n")})  # all imports are made
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before, dearest = peak(), (0.0, "")
for path, data, kind in files:
    file = File("a" * 40, data)
    more = ["questions/a-1.md", "fleet.yaml", "claims/a.yaml", "log/a/001-work-aaaa.yaml"]
    for where in [path, *(more if kind in ("many", "bomb", "deep", "binary") else [])]:
        began = time.process_time()
        boards.read({where: file})
        dearest = max(dearest, (time.process_time() - began, f"{kind} {where} {data[:60]!r}"))
print(json.dumps({"seconds": dearest[0], "what": dearest[1], "memory": peak() - before}))
"""


@thinned
@pytest.mark.slow
def test_none_costs_more_than_a_second_or_100_mb(thin: int) -> None:
    """Read as a task, what may be dear also as a question, settings, a claim and an event, in a
    process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, str(thin)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["seconds"] < SECONDS, told
    assert told["memory"] < MEMORY, told


def test_an_answer_of_comments_is_cheap() -> None:
    """Sixty thousand beginnings of a comment, and no end, once took minutes."""
    head = "task: a\nasked: 2026-01-01T00:00:00Z\nby: {runner: r, coder: c, attempt: 1}\n"
    text = f"---\n{head}---\n## Question\nx\n## Answer\n{'<!--' * 60_000}"
    board = boards.read({"questions/a-1.md": File("a" * 40, text.encode())})
    assert board.entries["a"].questions[0].answer.startswith("<!--<!--")


def problems_of(one: Mangled) -> list[Problem]:
    board = boards.read({one.path: File("a" * 40, one.data)})
    return [problem for entry in board.entries.values() for problem in entry.problems]


@thinned
def test_each_gives_a_clear_error_or_is_plain(thin: int) -> None:
    """A sentence with the file, a line and column in it; what is plain (a byte order mark, CRLF)
    is valid, and nothing else is by accident."""
    files = one_in(thin)
    assert len(files) > 900 / thin
    lenient = {"fine", "noise", "value", "many", "deep", "documents", "id"}
    for one in files:
        found = problems_of(one)
        if one.kind == "fine":
            assert not found, (one.data[:80], found)
        elif not found:
            assert one.kind in lenient, one.data[:80]
        assert len(found) <= 20
        lines = len(one.data.splitlines()) + 2
        for problem in found:
            assert problem.what and problem.path == one.path
            assert 1 <= problem.line <= lines and problem.column >= 1
            assert len(str(problem)) < 1500 + len(one.path), str(problem)
    kinds = {one.kind for one in files if problems_of(one)}
    assert kinds == {one.kind for one in files} - {"fine"}


# -- a board of them


class Trees:
    """Trees written byte by byte: git's own commands refuse many of these names."""

    def __init__(self, project: SampleProject) -> None:
        self.at = project.path
        self.objects = Objects(project.repo)

    def put(self, kind: str, data: bytes) -> str:
        if kind == "blob":
            return self.objects.put_blob(data)
        args = ["git", "hash-object", "-t", kind, "-w", "--stdin", "--literally"]
        made = subprocess.run(args, cwd=self.at, input=data, capture_output=True, check=True)
        return made.stdout.decode().strip()

    def tree(self, entries: Iterable[tuple[str, str, str]]) -> str:
        """Of (mode, name, id)."""
        order = sorted(entries, key=lambda e: os.fsencode(e[1]) + b"/" * (e[0] == "40000"))
        return self.put(
            "tree",
            b"".join(
                f"{m} ".encode() + os.fsencode(n) + b"\0" + bytes.fromhex(o) for m, n, o in order
            ),
        )

    def listed(self, tree: str) -> list[tuple[str, str, str]]:
        out = git("ls-tree", tree, cwd=self.at).splitlines()
        words = (line.replace("\t", " ", 1).split(" ", 3) for line in out)
        return [(mode.lstrip("0"), name, oid) for mode, _, oid, name in words]

    def with_tasks(self, tasks: list[tuple[str, str, str]], *more: tuple[str, str, str]) -> None:
        """Commit the board with these in tasks/ and at its top, past every hook, as a push does."""
        inside = self.listed("fleet:tasks") + tasks
        top = [e for e in self.listed("fleet:") if e[1] != "tasks"]
        tree = self.tree([*top, ("40000", "tasks", self.tree(inside)), *more])
        commit = git("commit-tree", tree, "-p", "fleet", "-m", "hell", cwd=self.at)
        git("update-ref", "refs/heads/fleet", commit, cwd=self.at)


def runs_on(project: SampleProject) -> Ran:
    """A runner works on what can be worked on, ends, and has met no error of its own."""
    ran = project.start("--until-idle").wait()
    assert ran.status == 4, ran.stderr + "\n".join(map(str, ran.lines))
    assert ran.lines.of("landed", task="good")
    assert not ran.lines.of("error") and not list(project.clone.folder.glob("error-*.txt"))
    assert project.broken() == []
    return ran


@pytest.fixture
def surroundings(project: SampleProject) -> Iterable[None]:
    """Nothing outside of the repository and the state folder appears, changes or goes."""
    home, around = Path(os.environ["HOME"]), project.path.parent
    (home / "x.md").write_text("mine")
    seen = {place: sorted(p.name for p in place.iterdir()) for place in (home, around)}
    checkout = git("status", "--porcelain", cwd=project.path)
    yield
    assert {place: sorted(p.name for p in place.iterdir()) for place in seen} == seen
    assert (home / "x.md").read_text() == "mine"
    assert git("status", "--porcelain", cwd=project.path) == checkout


@pytest.mark.parametrize("thin", sample([1, 32]))
@pytest.mark.usefixtures("surroundings")
def test_a_runner_lives_with_all_of_them(project: SampleProject, thin: int) -> None:
    """All at once beside one good task, links and submodules in place of files among them: the
    good one lands, each of the others is told, and the page is drawn."""
    made = Trees(project)
    project.put({"tasks/good.md": task("Good", "touch good")})
    held = [one for one in one_in(thin) if "/" not in one.path[6:]]
    kept = [one for one in held if problems_of(one) or b"hold: true" in one.data]
    blobs = {one.data for one in kept}
    ids = {data: made.put("blob", data) for data in blobs if len(data) <= 2_000_000}
    entries = [("100644", one.path[6:], ids[one.data]) for one in kept if one.data in ids]
    link = made.put("blob", b"../../../../../../etc/passwd")
    main = project.tip("main")
    entries += [
        ("120000", "link.md", link),
        ("160000", "sub.md", main),
        ("100755", "executable.md", made.put("blob", task(hold=True).encode())),
        ("100644", "Good.md", made.put("blob", task().encode())),
    ]
    made.with_tasks(list({entry[1]: entry for entry in entries}.values()))
    ran = runs_on(project)
    board = project.board()
    told = ran.lines.of("needs-attention")
    invalid = {line.fields.get("task", "") for line in told}  # one file has no name at all
    wrong = {task for task, entry in board.entries.items() if entry.problems}
    assert len(wrong) > 700 / thin and len(told) == len(wrong)
    assert {"link", "sub", "Good"} <= invalid and "executable" not in wrong
    assert "a symbolic link" in board.entries["link"].problems[0].what
    assert "a submodule" in board.entries["sub"].problems[0].what
    assert "| [good](tasks/good.md) | Good |" in project.show("README.md")
    one = next(one.path[6:-3] for one in kept if one.kind == "truncated")
    for verb in (("list", "--all"), ("lint",), ("show", one), ("list", "--json")):
        said = project.gitfleet(*verb)
        assert said.status in (0, 1) and "Traceback" not in said.err, said.err
        assert not UNSAFE.search(said.out.replace("\n", "")), verb


@pytest.mark.usefixtures("surroundings")
@pytest.mark.parametrize("name", sample(["..", ".git", ".GIT", "git~1", "."], "..", "git~1"))
def test_paths_that_lead_elsewhere(project: SampleProject, name: str) -> None:
    """A tree with such an entry cannot be checked out: the window stays behind and says so, the
    runner works on, and nothing is written outside."""
    made = Trees(project)
    project.put({"tasks/good.md": task("Good", "touch good")})
    inner = made.tree([("100644", "x.md", made.put("blob", task(hold=True).encode()))])
    made.with_tasks([("40000", name, inner)], ("40000", name, inner))
    ran = runs_on(project)
    assert ran.lines.of("checkout-behind")
    assert not (project.path / "x.md").exists() and not (project.path / ".git/x.md").exists()


@pytest.mark.usefixtures("surroundings")
def test_shapes_that_are_no_files(project: SampleProject) -> None:
    """Folders where files belong, folders a hundred deep, modes that git never writes."""
    made = Trees(project)
    project.put({"tasks/good.md": task("Good", "touch good")})
    blob = made.put("blob", task(hold=True).encode())
    deep = made.tree([("100644", "x.md", blob)])
    for _ in range(100):
        deep = made.tree([("40000", "d", deep), ("100644", "x.md", blob)])
    folder = made.tree([("100644", "inner", blob)])
    odd = [
        ("100640", "mode1.md", blob),
        ("100600", "mode2.md", blob),
        ("40755", "mode3.md", folder),
    ]
    made.with_tasks(
        [("40000", "folder.md", folder), ("40000", "deep", deep), *odd],
        ("40000", "fleet.yml", folder),
    )
    runs_on(project)
    assert "mode1" in project.board().entries and project.board().entries["mode1"].task


def test_large_files_are_not_even_read(project: SampleProject) -> None:
    """Ten megabytes as a task, a prompt, settings, an event, a note, the page."""
    made = Trees(project)
    project.put({"tasks/good.md": task("Good", "touch good")})
    blob = made.put("blob", b"x" * 10_000_000)
    prompts = made.tree([("100644", "work.md", blob), ("100644", "validate.md", blob)])
    log = made.tree([("40000", "good", made.tree([("100644", "001-note-aaaa.yaml", blob)]))])
    top = [("40000", "prompts", prompts), ("40000", "log", log), ("100644", "README.md", blob)]
    keep = {"prompts", "log"}
    rest = [e for e in made.listed("fleet:") if e[1] not in keep | {"tasks", "README.md"}]
    tasks = made.tree([*made.listed("fleet:tasks"), ("100644", "big.md", blob)])
    tree = made.tree([*rest, ("40000", "tasks", tasks), *top])
    commit = git("commit-tree", tree, "-p", "fleet", "-m", "large", cwd=project.path)
    git("update-ref", "refs/heads/fleet", commit, cwd=project.path)
    runs_on(project)
    (problem,) = project.board().entries["big"].problems
    assert problem.what == f"larger than {layout.LARGEST // 1024} KiB (9765 KiB)"


def test_a_commit_of_all_of_them_is_refused_at_once(project: SampleProject) -> None:
    """The hook looks at all and tells the first twenty."""
    files = {
        one.path: one.data
        for one in one_in(4)
        if one.path[6:7] == "m" and len(one.data) < 2_000_000
    }
    said = project.commit(files)
    assert said.status == 1 and "problems; nothing was committed" in said.err
    assert len(said.err.splitlines()) == 21
