"""`gitfleet verdict`: what a validator says, through its outbox."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gitfleet.agent import outbox
from gitfleet.model.verdict import Ruling
from tests.cli.acting import gitfleet, refusal


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The outbox of an attempt that validates."""
    path = tmp_path / "outbox"
    path.mkdir()
    monkeypatch.setenv("GITFLEET_OUTBOX", str(path))
    monkeypatch.setenv("GITFLEET_ROLE", "validate")
    return path


def test_a_verdict_is_what_the_runner_reads(box: Path, tmp_path: Path) -> None:
    """Every part of it arrives, and nothing else lies in the outbox."""
    body = tmp_path / "fix.md"
    body.write_text("Repair it:\n\n```sh\ntrue\n```\n")
    gitfleet(
        "verdict",
        "rejected",
        *("--reason", "no: it is wrong", "--finding", "- a", "--finding", "b\nc"),
        *("--fix-title", "Repair it", "--fix-body", str(body)),
        cwd=tmp_path,
    )
    found, why = outbox.verdict(box)
    assert why == ""
    assert found is not None
    assert found.verdict is Ruling.REJECTED
    assert found.reason == "no: it is wrong"
    assert found.findings == ("- a", "b\nc")
    assert found.fix is not None
    assert (found.fix.title, found.fix.body) == ("Repair it", body.read_text())
    assert [path.name for path in box.iterdir()] == ["verdict.yaml"]


def test_the_last_verdict_counts(box: Path, tmp_path: Path) -> None:
    """A validator may change its mind until it ends."""
    gitfleet("verdict", "rejected", "--reason", "hm", cwd=tmp_path)
    gitfleet("verdict", "accepted", cwd=tmp_path)
    assert yaml.safe_load((box / "verdict.yaml").read_text()) == {"verdict": "accepted"}


def test_the_body_of_a_fix_comes_from_standard_input(box: Path, tmp_path: Path) -> None:
    """As `-` says everywhere."""
    args = ("verdict", "rejected", "--fix-title", "Fix", "--fix-body", "-")
    gitfleet(*args, cwd=tmp_path, input="do it\n")
    assert yaml.safe_load((box / "verdict.yaml").read_text())["fix"] == {
        "title": "Fix",
        "body": "do it\n",
    }


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("rejected",), 1, "needs a finding"),
        (("rejected", "--fix-title", "a\nb"), 1, "title"),
        (("rejected", "--reason", "x" * 3000), 1, "reason"),
        (("rejected", "--fix-title", "a", "--fix-body", "nosuch"), 1, "nosuch: cannot be read"),
        (("rejected", "--reason", "x", "--fix-body", "-"), 2, "--fix-body needs --fix-title"),
        (("accepted", "--fix-title", "x"), 2, "nothing to fix"),
        (("perhaps",), 2, "accepted"),
    ],
)
def test_what_is_no_verdict_is_refused_to_who_says_it(
    box: Path, tmp_path: Path, args: tuple[str, ...], code: int, words: str
) -> None:
    """The validator learns it while it can still mend it; the outbox stays empty."""
    assert words in gitfleet("verdict", *args, cwd=tmp_path, code=code).stderr
    assert list(box.iterdir()) == []


def test_outside_of_a_validating_attempt_there_is_no_verdict(tmp_path: Path) -> None:
    """A sentence that says so."""
    assert "only be given inside an attempt" in refusal("verdict", "accepted", cwd=tmp_path)
    env = {"GITFLEET_OUTBOX": str(tmp_path), "GITFLEET_ROLE": "work"}
    assert "this attempt is for work" in refusal("verdict", "accepted", cwd=tmp_path, env=env)
    env = {"GITFLEET_OUTBOX": str(tmp_path / "gone"), "GITFLEET_ROLE": "validate"}
    assert "cannot write to" in refusal("verdict", "accepted", cwd=tmp_path, env=env)


@pytest.mark.parametrize("args", [("verdict", "accepted"), ("add", "A title", "--body", "x")])
def test_verbs_of_an_attempt_start_fast(box: Path, args: tuple[str, ...]) -> None:
    """They import nothing that only a repository, a watcher or a broken file needs."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gitfleet", *args],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert {"gitfleet", "click", "msgspec", "yaml"} <= imported
    heavy = {"pygit2", "watchdog", "jsonschema", "rich", "asyncio", "pathspec", "subprocess"}
    assert imported & heavy == set()
