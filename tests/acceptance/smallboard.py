"""A small board on which everything happens once, and what must hold of it in the end.

Two tasks in parallel, one that waits for both, two that conflict, one that a validator rejects and
whose repair the validator hands in, and one that an agent comes across. Whatever is killed on the
way, and in whatever order things land, the tree in the end is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gitfleet.git.synced_commit import folder
from tests.acceptance.fleetlab import Lab
from tests.conftest import git

FINAL = {
    "README": "hello",
    "a.txt": "a",
    "b.txt": "b",
    "c.txt": "a\nb",
    "good.txt": "good",
    "found.txt": "found",
    "words.txt": "x\ny",
}
TASKS = ("a", "b", "c", "x", "y", "good", "found")
# Both tasks put their word into one place of one file: the second to land conflicts.
_WORD = "{{ echo {word}; cat words.txt 2>/dev/null; }} | sort -u > new; mv new words.txt"
_JUDGE = """\
cat > /dev/null
case "$(cat good.txt 2>/dev/null)" in
bad)
    printf '%s\\n' 'verdict: rejected' 'reason: it is bad' 'fix:' '  title: Make it good' \\
        '  coder: shell' '  body: |' '    ```sh' '    echo good > good.txt' '    ```' > .verdict
    ;;
*) echo 'verdict: accepted' > .verdict ;;
esac
mv .verdict "$GITFLEET_OUTBOX/verdict.yaml"
"""


def small_board(folder: Path) -> Lab:
    """The laboratory with that board, nothing run yet."""
    judge = folder / "judge.sh"
    lab = Lab(
        folder / "lab",
        checks=["test -f README"],
        coders={"judge": {"argv": ["sh", str(judge)]}},
        roles={"work": {"coder": "shell"}, "validate": {"coder": "judge"}},
    )
    judge.write_text(_JUDGE)
    found = "printf '%s\\n' 'Seen:' '' '```sh' 'echo found > found.txt' '```'"
    tasks = {
        "a": f"echo a > a.txt\n{found} | gitfleet add 'Look there' --id found",
        "b": "echo b > b.txt",
        "x": _WORD.format(word="x"),
        "y": _WORD.format(word="y"),
        "good": "echo bad > good.txt",
    }
    for id, script in tasks.items():
        lab.write_task(id, script=script)
    lab.write_task("c", script="cat a.txt b.txt > c.txt", depends_on=["a", "b"])
    lab.commit("The work")
    return lab


def one_task(folder: Path) -> Lab:
    """The laboratory with a single task that lands without trouble, nothing run yet."""
    lab = Lab(folder / "lab", checks=["test -f README"])
    lab.task("a", script="echo a > a.txt")
    return lab


ONE_FINAL = {"README": "hello", "a.txt": "a"}


def all_is_well(lab: Lab, final: Mapping[str, str] = FINAL, tasks: Iterable[str] = TASKS) -> None:
    """What must hold when a runner has worked the board off, whatever died before."""
    assert lab.tree() == final
    assert set(lab.statuses().values()) == {"done"}, lab.statuses()
    assert {*lab.statuses()} >= set(tasks)
    landings = lab.landings()
    assert len(landings) == len(set(landings)), f"landed twice: {landings}"
    landed = {task for task in lab.statuses() if lab.events(task, "landed")}
    assert landed == set(landings)
    checked = lab.fsck()
    assert (checked.status, " 0 broken" in checked.text) == (0, True), checked.text
    assert not lab.left_over()
    assert not [claim for entry in lab.board().entries.values() if (claim := entry.claim)]
    assert lab.worktrees() == [lab.path, lab.window], "a worktree is left"
    assert not list(lab.clone.workspaces.glob("*")), "a workspace's folder is left"
    assert [*(lab.clone.folder / "held").glob("*")] == [], "a nonce is left"
    assert not list(lab.repo.common.rglob("*.lock.*"))
    kept = (lab.clone.folder, folder(lab.repo))
    locks = [path for path in lab.repo.common.rglob("*.lock") if path.parent not in kept]
    assert locks == [], "a lock is left"
    in_step(lab)


def in_step(lab: Lab) -> None:
    """The person's checkouts are clean, and their files are what their branches hold."""
    for place, branch in ((lab.path, "main"), (lab.window, "fleet")):
        assert git("symbolic-ref", "--short", "HEAD", cwd=place) == branch
        assert git("status", "--porcelain", cwd=place) == "", f"{place} is not in step"
        assert git("ls-files", "-s", cwd=place) == git(
            "ls-tree", "-r", "--format=%(objectmode) %(objectname) 0%x09%(path)", branch, cwd=place
        )
