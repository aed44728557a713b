"""Writers that count on one board, as threads or as processes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from gitfleet.board.store import Store
from gitfleet.files import codec, layout
from gitfleet.git.repo import find
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.task import Task


def task(title: str = "Do it", body: str = "") -> bytes:
    return codec.write_task(Task(title=title, body=body))


def count_up(store: Store, me: str, rounds: int) -> None:
    """Add one to a number on the board, again and again, and now and then a file."""
    for number in range(rounds):

        def decide(board: Board, _now: datetime, number: int = number) -> Change:
            counter = board.entries["counter"].task
            assert counter is not None
            files = {layout.task_path("counter"): task("Count", f"{int(counter.body) + 1}\n")}
            if number % 10 == 0:
                files[layout.task_path(f"{me}-{number}")] = task(f"{me} {number}")
            return Change(subject=f"{me} {number}", files=files)

        assert store.transact(decide).won


def main(path: str, rounds: str, me: str) -> None:
    """One of those processes."""
    count_up(Store(find(Path(path)), runner=me), me, int(rounds))
