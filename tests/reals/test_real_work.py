"""The real coders do real tasks; only what they think comes from a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import git
from tests.reals.installed import PINNED, needs
from tests.reals.stage import TOOLLESS, stage, work

EACH = [pytest.param(name, marks=needs(name)) for name in PINNED]


@pytest.mark.parametrize("coder", EACH)
def test_a_real_coder_lands_a_task(tmp_path: Path, coder: str) -> None:
    """Plan, shell, a 429 in between, commit, done: one attempt, and the work is on the target."""
    toolless = ["one"] if coder == TOOLLESS else []
    with stage(tmp_path, {"one": work("one", coder)}, toolless=toolless) as on:
        on.task("one", coder)
        on.lab.commit()
        settings = (on.lab.path / ".git" / "config").read_text()
        ran = on.lab.run("--until-idle")
        assert ran.status == 0, ran
        assert on.model.finished("one")
        assert on.lab.statuses() == {"one": "done"}
        assert on.lab.tree() == {"README": "hello", "one.txt": "hello"}
        (attempt,) = on.lab.attempts("one", "work")
        assert attempt.coder == coder
        assert attempt.tokens.input > 0 and attempt.tokens.output > 0
        said = git("log", "-1", "--format=%an: %s", "main^2", cwd=on.lab.path)
        assert said == f"{coder}: Add one.txt"
        assert git("status", "--porcelain", cwd=on.lab.path) == ""
        assert (on.lab.path / ".git" / "config").read_text() == settings


@needs(*PINNED)
def test_all_of_them_work_at_once(tmp_path: Path) -> None:
    """Two of each on one board, six at a time: every task lands, at the first attempt."""
    tasks = {f"{coder}-{n}": coder for coder in PINNED for n in (1, 2)}
    plays = {task: work(task, coder) for task, coder in tasks.items()}
    toolless = [task for task, coder in tasks.items() if coder == TOOLLESS]
    with stage(tmp_path, plays, toolless=toolless) as on:
        for task, coder in tasks.items():
            on.task(task, coder)
        on.lab.commit()
        ran = on.lab.run("--until-idle", "--max", "6", timeout=300)
        assert ran.status == 0, ran
        assert on.lab.statuses() == dict.fromkeys(tasks, "done")
        assert on.lab.tree().keys() == {"README", *(f"{task}.txt" for task in tasks)}
        assert sorted(on.lab.landings()) == sorted(tasks)
        made = {task: on.lab.outcomes(task, "work") for task in tasks}
        assert made == {task: ["submitted"] for task in tasks}
