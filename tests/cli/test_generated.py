"""The man page and the words that shells complete are those of the command line as it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gitfleet.cli.main import VERBS
from tests.cli import generated


@pytest.mark.parametrize("path", generated.drawn(), ids=lambda path: path.name)
def test_what_is_drawn_is_current(path: Path) -> None:
    """After a change of any `--help`: python -m tests.cli.generated."""
    assert path.read_text() == generated.drawn()[path], "run: python -m tests.cli.generated"


def test_the_man_page_has_every_verb_with_an_example() -> None:
    """One page for all, so that `/` finds each."""
    text = generated.MAN_PAGE.read_text()
    for verb in VERBS:
        assert f'.SS "gitfleet {verb}' in text
    assert text.count("\nExamples:\n") == text.count("\n.SS ")


def test_man_formats_the_page_without_a_warning() -> None:
    """No escape of roff is broken."""
    if shutil.which("man") is None:
        pytest.skip("man is not installed (apt install man-db)")
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(generated.MAN_PAGE)],
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert '--option "session cookie"' in done.stdout
    assert "\\" not in done.stdout
