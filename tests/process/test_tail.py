"""The end of what a run wrote."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitfleet.process.tail import end_of


class TestEndOf:
    @pytest.mark.parametrize(
        ("content", "limit", "shown"),
        [
            (b"", 10, ""),
            (b"one\ntwo\n", 100, "one\ntwo\n"),
            (b"one\ntwo\n", 8, "one\ntwo\n"),
            (b"one\ntwo\n", 6, "two\n"),
            (b"one\ntwo\n", 4, "two\n"),
            (b"one\ntwo\n", 3, "wo\n"),
            (b"one\ntwo\n", 0, ""),
            (b"one long line", 4, "line"),
            ("ää".encode(), 3, "ä"),
            (b"\xff\xfe", 10, "\ufffd\ufffd"),
        ],
    )
    def test_a_tail_shows_whole_lines(
        self, tmp_path: Path, content: bytes, limit: int, shown: str
    ) -> None:
        """A tail begins with a line where it can, with a character where it cannot."""
        (tmp_path / "file").write_bytes(content)
        assert end_of(tmp_path / "file", limit) == shown

    def test_a_tail_of_nothing_is_empty(self, tmp_path: Path) -> None:
        """A file that is not there yet has said nothing."""
        assert end_of(tmp_path / "gone", 10) == ""

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        text=st.text(st.sampled_from("ab\nä€\U0001f600")),
        limit=st.integers(min_value=0, max_value=40),
    )
    def test_a_tail_is_the_end_of_the_text(self, tmp_path: Path, text: str, limit: int) -> None:
        """Whatever is cut, what is shown is the text's own end, within the limit."""
        (tmp_path / "file").write_bytes(text.encode())
        shown = end_of(tmp_path / "file", limit)
        assert text.endswith(shown)
        assert len(shown.encode()) <= limit
