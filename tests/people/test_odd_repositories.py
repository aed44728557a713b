"""Repositories of every odd kind: init, one task landed, the files right, `git status` clean."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.fleetlab import start_runner
from tests.conftest import init
from tests.lanes import sample
from tests.people.kit import Spoken, git, gitfleet, script, task

FILTER = "sed -e s/@/POINTER/"  # as git-lfs: what is stored is not what lies in the files


class Place:
    """Where a person stands, and what they do there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "project"
        self.script = "echo made > made"
        self.target = "main"
        self.options: tuple[str, ...] = ()
        self.board = self.path / ".fleet"
        self.settings = ""
        self.landed = {"made": "made"}
        self.clean = True
        self.lands = True

    def run(self, *args: str) -> Spoken:
        return gitfleet(*args, cwd=self.path)


Make = Callable[[Place], None]


def plain(place: Place) -> None:
    init(place.path, name="plain")


def bare(place: Place) -> None:
    """No checkout at all; the board is shown in a worktree that the person made."""
    init(place.folder / "seed", name="bare")
    git("clone", "-q", "--bare", "seed", str(place.path), cwd=place.folder)
    git("remote", "remove", "origin", cwd=place.path)
    place.board = place.folder / "board"


def linked(place: Place) -> None:
    """One stands in a worktree that is not the main one."""
    init(place.folder / "home", name="linked")
    git("branch", "side", cwd=place.folder / "home")
    git("worktree", "add", "-q", str(place.path), "side", cwd=place.folder / "home")
    place.board = place.folder / "home/.fleet"
    place.target = "side"


def submodules(place: Place) -> None:
    """The task writes into the project, and finds the submodule's files in its workspace."""
    init(place.folder / "library", name="library")
    init(place.path, name="submodules")
    git("config", "--global", "protocol.file.allow", "always", cwd=place.path)
    git("submodule", "add", "-q", str(place.folder / "library"), "lib", cwd=place.path)
    git("commit", "-q", "-m", "With a library", cwd=place.path)
    place.script = "cat lib/README > made"
    place.landed = {"made": "hello"}


def inside_submodule(place: Place) -> None:
    """The project is itself a submodule of another: its git directory lies elsewhere."""
    init(place.folder / "inner", name="inner")
    outer = init(place.folder / "outer", name="outer")
    git("-c", "protocol.file.allow=always", "submodule", "add", "-q", "../inner", cwd=outer)
    git("commit", "-q", "-m", "With it", cwd=outer)
    git("config", "remote.origin.url", str(place.folder / "inner"), cwd=outer / "inner")
    place.path = outer / "inner"
    place.board = place.path / ".fleet"


def pointers(place: Place) -> None:
    """A filter as LFS has one: workspaces and checkouts hold the real content, commits pointers."""
    init(place.path, name="pointers")
    git("config", "filter.fake.clean", "sed -e s/CONTENT/POINTER/", cwd=place.path)
    git("config", "filter.fake.smudge", "sed -e s/POINTER/CONTENT/", cwd=place.path)
    git("config", "filter.fake.required", "true", cwd=place.path)
    (place.path / ".gitattributes").write_text("*.big filter=fake\n")
    (place.path / "a.big").write_text("CONTENT a\n")
    git("add", "-A", cwd=place.path)
    git("commit", "-q", "-m", "Big files", cwd=place.path)
    assert git("show", "main:a.big", cwd=place.path) == "POINTER a"
    place.script = "grep CONTENT a.big; sed s/a/b/ a.big > b.big"
    place.landed = {"b.big": "POINTER b"}


def master(place: Place) -> None:
    init(place.path, name="master")
    git("branch", "-m", "master", cwd=place.path)
    place.target = "master"


def detached(place: Place) -> None:
    """HEAD is on no branch: one says where work is to land."""
    init(place.path, name="detached")
    git("checkout", "-q", "--detach", cwd=place.path)
    said = place.run("init")
    assert said.status == 1 and "--target" in said.err
    place.options = ("--target", "main")


def unborn(place: Place) -> None:
    """Before the first commit there is nothing to work from: that is said, then it goes."""
    init(place.folder / "x", name="x")
    git("init", "-q", "-b", "main", str(place.path), cwd=place.folder)
    said = place.run("init")
    assert said.status == 1 and "first commit" in said.err
    (place.path / "README").write_text("hello\n")
    git("add", "-A", cwd=place.path)
    git("commit", "-q", "-m", "First", cwd=place.path)


def shallow(place: Place) -> None:
    """Only the newest commit is here."""
    seed = init(place.folder / "seed", name="shallow")
    for number in range(3):
        git("commit", "-q", "--allow-empty", "-m", f"{number}", cwd=seed)
    git("clone", "-q", "--depth=1", f"file://{seed}", str(place.path), cwd=place.folder)
    assert git("rev-parse", "--is-shallow-repository", cwd=place.path) == "true"


SIGN = """
for word in "$@"; do case "$word" in --verify*) exit 0;; esac; done
cat > /dev/null
echo "[GNUPG:] SIG_CREATED " >&2
echo "-----BEGIN PGP SIGNATURE-----"
echo "signed"
echo "-----END PGP SIGNATURE-----"
"""


def signed_by_the_person(place: Place) -> None:
    """commit.gpgsign with a key that works: a runner still does not sign in the person's name."""
    init(place.path, name="signed_by_the_person")
    git("config", "gpg.program", str(script(place.folder / "gpg", SIGN)), cwd=place.path)
    git("config", "commit.gpgsign", "true", cwd=place.path)


def signing_that_fails(place: Place) -> None:
    """A key that asks for a passphrase nobody is there to type: nothing of a runner's needs it."""
    init(place.path, name="signing_that_fails")
    git("config", "gpg.program", str(script(place.folder / "gpg", "exit 2")), cwd=place.path)
    git("config", "commit.gpgsign", "true", cwd=place.path)
    # The person's own commits on the board are theirs to sign; here they cannot.
    git("config", "--global", "alias.put", "commit --no-gpg-sign", cwd=place.path)


def signing_asked_for(place: Place) -> None:
    """`sign: true`: what lands is signed."""
    init(place.path, name="signing_asked_for")
    git("config", "gpg.program", str(script(place.folder / "gpg", SIGN)), cwd=place.path)
    place.settings = "sign: true\n"


def failing_hooks(place: Place) -> None:
    """Every hook of the project fails; they are for its people, not for workspaces or the board."""
    init(place.path, name="failing_hooks")
    names = "pre-commit commit-msg prepare-commit-msg post-checkout pre-merge-commit post-merge"
    for name in f"{names} post-commit pre-rebase update pre-receive post-index-change".split():
        script(place.path / ".git/hooks" / name, "exit 1")


def refusing_transactions(place: Place) -> None:
    """A reference-transaction hook that watches every ref that moves."""
    init(place.path, name="refusing_transactions")
    script(place.path / ".git/hooks/reference-transaction", "cat > /dev/null; exit 0")


def hooks_of_the_project(place: Place) -> None:
    """core.hooksPath of the project leads among its files."""
    init(place.path, name="hooks_of_the_project")
    script(place.path / ".husky/pre-commit", "exit 1")
    git("add", "-A", cwd=place.path)
    git("commit", "-q", "-m", "Hooks", cwd=place.path)
    git("config", "core.hooksPath", ".husky", cwd=place.path)


def autocrlf(place: Place) -> None:
    """Files have CR LF in every checkout, and LF in every commit."""
    git("config", "--global", "core.autocrlf", "true", cwd=place.folder)
    init(place.path, name="autocrlf")
    (place.path / "text").write_bytes(b"one\r\n")
    git("add", "-A", cwd=place.path)
    git("commit", "-q", "-m", "Text", cwd=place.path)
    place.script = "printf 'one\\r\\ntwo\\r\\n' > text"
    place.landed = {"text": "one\ntwo"}


def odd_path(place: Place) -> None:
    place.path = place.folder / "Häuser & Gärten" / "it's [my] $project *"
    place.board = place.path / ".fleet"
    place.path.parent.mkdir()
    init(place.path, name="odd_path")


def no_logs(place: Place) -> None:
    """core.logAllRefUpdates=false: the log of HEAD tells nothing."""
    init(place.path, name="no_logs")
    git("config", "core.logAllRefUpdates", "false", cwd=place.path)


def worktree_config(place: Place) -> None:
    """extensions.worktreeConfig and a sparse checkout of the person's."""
    init(place.path, name="worktree_config")
    (place.path / "big").mkdir()
    (place.path / "big/file").write_text("x")
    git("add", "-A", cwd=place.path)
    git("commit", "-q", "-m", "Big", cwd=place.path)
    git("sparse-checkout", "set", "--cone", "small", cwd=place.path)
    place.script = "cat big/file > made"
    place.landed = {"made": "x"}


KINDS: list[Make] = [
    plain, bare, linked, submodules, inside_submodule, pointers, master, detached, unborn, shallow,
    signed_by_the_person, signing_that_fails, signing_asked_for, failing_hooks,
    refusing_transactions, hooks_of_the_project, autocrlf, odd_path, no_logs, worktree_config,
]  # fmt: skip


# In each something else is odd; those that change how a landing is made, for every change.
_OFTEN = (bare, submodules, refusing_transactions, worktree_config)


@pytest.mark.parametrize("make", sample(KINDS, *_OFTEN), ids=lambda make: make.__name__)
def test_a_task_lands_in(make: Make, tmp_path: Path) -> None:
    """`gitfleet init`, a task committed with plain git, `gitfleet run`: the change is on the
    target, the person's checkout is in step, and board and history are sound."""
    place = Place(tmp_path)
    make(place)
    said = place.run("init", *place.options)
    assert said.status == 0, said.err
    if not place.board.exists():
        git("worktree", "add", "-q", str(place.board), "fleet", cwd=place.path)
    (place.board / "tasks/a.md").write_text(task("Make it", place.script))
    with (place.board / "fleet.yaml").open("a") as file:
        file.write(place.settings)
    git("add", "-A", cwd=place.board)
    git("commit", "-q", "--no-gpg-sign", "-m", "Add a", cwd=place.board)
    ran = start_runner("--until-idle", cwd=place.path).wait()
    assert ran.status == 0 and ran.lines.of("landed", task="a"), f"{ran.lines}{ran.stderr}"
    for name, content in place.landed.items():
        assert git("show", f"{place.target}:{name}", cwd=place.path) == content
    for checkout in git("worktree", "list", "--porcelain", cwd=place.path).split("\n\n"):
        lines = checkout.splitlines()
        if "bare" not in lines:
            where = Path(lines[0].removeprefix("worktree "))
            at = place.path if where.name == "inner" and ".git" in where.parts else where
            assert git("status", "--porcelain", cwd=at) == "", at
    signature = git("cat-file", "commit", place.target, cwd=place.path)
    assert ("gpgsig" in signature) == bool(place.settings)
    fsck = place.run("fsck")
    assert fsck.status == 0, fsck.out


def test_the_persons_checkout_has_real_content(tmp_path: Path) -> None:
    """Where a filter is at work, what arrives in the checkout is smudged."""
    place = Place(tmp_path)
    test_a_task_lands_in(pointers, tmp_path)
    assert (place.path / "b.big").read_text() == "CONTENT b\n"


def test_signing_that_is_asked_for_and_fails(tmp_path: Path) -> None:
    """`sign: true` and no key: nothing lands unsigned, and what git said is told."""
    place = Place(tmp_path)
    init(place.path, name="no_key")
    git("config", "gpg.program", str(script(tmp_path / "gpg", "echo no key >&2; exit 2")),
        cwd=place.path)  # fmt: skip
    assert place.run("init").status == 0
    (place.board / "tasks/a.md").write_text(task("Make it", place.script))
    with (place.board / "fleet.yaml").open("a") as file:
        file.write("sign: true\nmax_attempts: 1\nbackoff: {initial: 0s, factor: 1, max: 0s}\n")
    git("add", "-A", cwd=place.board)
    git("commit", "-q", "-m", "Add a", cwd=place.board)
    before = git("rev-parse", "main", cwd=place.path)
    ran = start_runner("--until-idle", cwd=place.path).wait()
    assert ran.status == 4
    assert git("rev-parse", "main", cwd=place.path) == before
    told = " ".join(" ".join(line.fields.values()) for line in ran.lines)
    assert "sign" in told, ran.lines


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Makes a folder one that nobody can write to: for root only a mount does that."""
    mounted: list[Path] = []

    def make(path: Path) -> None:
        for args in (["--bind", str(path), str(path)], ["-o", "remount,ro,bind", str(path)]):
            done = subprocess.run(["mount", *args], capture_output=True, check=False)
            if done.returncode != 0:
                pytest.skip("nobody may mount here, and to root no permission is a hindrance")
            if path not in mounted:
                mounted.append(path)

    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=False)


def test_a_repository_nobody_can_write_to(
    tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    """One sentence with the place and the reason, no traceback, for init as for run."""
    place = Place(tmp_path)
    init(place.path, name="read_only")
    read_only(place.path)
    said = place.run("init")
    assert said.status == 1 and "Traceback" not in said.err and "ead-only" in said.err, said.err
    assert len(said.err.strip().splitlines()) <= 2


def test_a_checkout_nobody_can_write_to(tmp_path: Path, read_only: Callable[[Path], None]) -> None:
    """The git directory lies elsewhere and can be written to; the files cannot. Landing waits
    where the branch is checked out there, and says why; nothing is torn."""
    place = Place(tmp_path)
    init(place.path, name="read_only_checkout")
    git("init", "-q", f"--separate-git-dir={tmp_path / 'gitdir'}", cwd=place.path)
    assert place.run("init").status == 0
    (place.board / "tasks/a.md").write_text(task("Make it", place.script))
    git("add", "-A", cwd=place.board)
    git("commit", "-q", "-m", "Add a", cwd=place.board)
    read_only(place.path)
    ran = start_runner("--until-idle", cwd=place.path).wait()
    assert "Traceback" not in ran.stderr
    assert not ran.lines.of("error"), ran.lines
    fsck = place.run("fsck")
    assert fsck.status == 0, fsck.out
