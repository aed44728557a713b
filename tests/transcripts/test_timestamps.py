"""When an output had come how far: noted once, read as if a stranger had written it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitfleet.transcripts import timestamps
from gitfleet.transcripts.timestamps import Timestamp, TimestampLog, pieces

NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


@given(st.binary(max_size=60), st.integers(0, 50), st.lists(st.integers(1, 150), max_size=8))
def test_the_pieces_are_the_bytes_and_each_has_the_time_of_the_mark_it_ends_at(
    data: bytes, start: int, sizes: list[int]
) -> None:
    """Nothing is lost, doubled or told of earlier than it was there."""
    marks = [Timestamp(n, NOON + timedelta(seconds=n)) for n in sorted(set(sizes))]
    found = list(pieces(data, start, marks))
    assert b"".join(piece for piece, _ in found) == data
    at = start
    for piece, time in found:
        assert piece
        at += len(piece)
        expected = next((mark.at for mark in marks if mark.size >= at), None)
        assert time == expected


def test_a_runner_that_starts_again_goes_on_where_it_was(tmp_path: Path) -> None:
    """It reads the output from its beginning, and what was noted already is not noted again."""
    first = TimestampLog(tmp_path)
    first.note(10, end=True)
    first.note(10, end=True)
    again = TimestampLog(tmp_path)
    for size in (3, 10, 25):
        again.note(size, end=True)
    assert [mark.size for mark in timestamps.read(tmp_path)] == [10, 25]


def test_at_most_one_line_a_second_and_always_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coder that writes without a pause fills no disk with it."""
    clock = [100.0]
    monkeypatch.setattr("gitfleet.transcripts.timestamps.time.monotonic", lambda: clock[0])
    kept = TimestampLog(tmp_path)
    for size in range(1, 50):
        kept.note(size)
    clock[0] += 1.5
    kept.note(60)
    kept.note(61, end=True)
    assert [mark.size for mark in timestamps.read(tmp_path)] == [1, 60, 61]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"10\n",
        b"x 5\n",
        b"10 99999999999\n",
        b"9" * 40 + b" 5\n",
        b"10 5",
        b"\xff\n",
        b"0 0\n",
    ],
)
def test_what_cannot_be_read_is_not_there(tmp_path: Path, data: bytes) -> None:
    """The attempt itself could have written it."""
    (tmp_path / "stdout.pace").write_bytes(data)
    assert all(mark.size > 0 for mark in timestamps.read(tmp_path))


def test_marks_that_go_back_tell_nothing(tmp_path: Path) -> None:
    """An output does not shrink, and a clock that was set back makes no tool take less than 0."""
    (tmp_path / "stdout.pace").write_bytes(b"20 1000\n15 1001\n30 900\n40 1002\n")
    assert [(m.size, m.at.timestamp()) for m in timestamps.read(tmp_path)] == [
        (20, 1000),
        (40, 1002),
    ]


def test_a_link_in_its_place_is_neither_read_nor_written(tmp_path: Path) -> None:
    """Nobody is made to write into another file."""
    other = tmp_path / "other"
    other.write_bytes(b"7 7\n")
    (tmp_path / "stdout.pace").symlink_to(other)
    TimestampLog(tmp_path).note(9, end=True)
    assert timestamps.read(tmp_path) == [] and other.read_bytes() == b"7 7\n"
