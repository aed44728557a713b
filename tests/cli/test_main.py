"""`gitfleet` itself: what stands before the verbs."""

from __future__ import annotations

from pathlib import Path

from tests.cli.acting import gitfleet


def test_a_misspelt_verb_is_answered_with_those_that_are_like_it(tmp_path: Path) -> None:
    """As a misspelt option is; what is like none, or draws on a terminal, is shown harmless."""
    said = gitfleet("lsit", cwd=tmp_path, code=2).stderr
    assert "No such command 'lsit'. Did you mean list or lint?" in said
    said = gitfleet("zzz\x1b[31m", cwd=tmp_path, code=2).stderr
    assert "No such command" in said and "\x1b" not in said
