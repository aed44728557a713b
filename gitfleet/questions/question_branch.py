"""The branch gitfleet/ask/<id>-<n>: a question to be answered by a merge into the fleet branch.

It adds the heading `## Answer` and a hint in one commit, so that a pull request of it has a
difference. Everything here may be called again at any time, and by several runners: a branch that
is there stays, one that is gone is gone, and what a person put on it is kept aside before it goes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from gitfleet import failpoints
from gitfleet.attempt.context import Fleet
from gitfleet.board.remote_backend import Shared
from gitfleet.board.store import RUNNER
from gitfleet.errors import FleetError
from gitfleet.files import answers, layout
from gitfleet.git import refs, remote, salvage
from gitfleet.git.checkouts import holders
from gitfleet.git.objects import trailers
from gitfleet.git.remote import Fate
from gitfleet.model.board import Board
from gitfleet.model.config import ForgeKind
from gitfleet.model.question import Question
from gitfleet.plan import questions

_LIST_EVERY: Final = 300.0  # seconds between two looks at the branches of a remote
PREFIX: Final = "gitfleet/ask/"
QUESTION: Final = "Gitfleet-Question"
"""The trailer by which our own commit on such a branch is known."""


def ask_branch(name: str) -> str:
    """The branch on which the question of that name can be answered."""
    return f"{PREFIX}{name}"


class AskBranches:
    """Keeps the branches of questions; the loop may call it as often as it likes."""

    def __init__(
        self,
        fleet: Fleet,
        first: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`first`: whether of several runners it is this one that cares for others' questions."""
        self.fleet = fleet
        self._first = first
        self._clock = clock
        self._listed = -math.inf
        self._none = False  # there was no branch when we looked last, and we made none

    def keep(self) -> None:
        """Make the branch of every open question, remove that of every other. Raises
        Unreachable."""
        board = self.fleet.store.board()
        open_ = {row.name: row.question for row in questions.waiting(board, self.fleet.store.now())}
        if not open_ and self._none:
            return
        self._look(any(entry.questions for entry in board.entries.values()))
        there, first = known(self.fleet), self._first()
        self._none = not (there or open_)
        for name, question in open_.items():
            if name not in there and (first or question.by.runner == self.fleet.runner):
                make(self.fleet, board, question)
        if on_a_forge(board):
            return  # work.pulls closes the pull request first, and says why
        for name, tip in there.items():
            if name not in open_ and (first or self._mine(board, name)):
                drop(self.fleet, name, tip)

    def _mine(self, board: Board, name: str) -> bool:
        entry = board.get(layout.place(layout.question_path(name)).task)
        asked = entry.questions if entry is not None else ()
        return any(q.name == name and q.by.runner == self.fleet.runner for q in asked)

    def _look(self, any_: bool) -> None:
        """See what others made and removed on a remote, at the start and now and then."""
        swap = self.fleet.store.swap
        if not isinstance(swap, Shared) or not any_:
            return
        if self._clock() - self._listed < _LIST_EVERY:
            return
        below = f"refs/heads/{PREFIX}"
        there = remote.listing(self.fleet.repo, swap.name, f"{below}*")
        mine = known(self.fleet)
        names = {ref.removeprefix(below): oid for ref, oid in there.items()}
        if names.items() - mine.items():
            spec = f"+{below}*:{swap.track}{PREFIX}*"
            remote.fetch(self.fleet.repo, swap.name, [spec])
        for name in mine.keys() - names.keys():
            _note(self.fleet, f"{swap.track}{PREFIX}{name}", None)
        self._listed = self._clock()


def on_a_forge(board: Board) -> bool:
    """Whether questions are pull requests somewhere."""
    forge = board.settings.forge
    return forge is not None and forge.kind is not ForgeKind.NONE


def known(fleet: Fleet) -> dict[str, str]:
    """Question's name -> the tip of its branch; on a shared board, as we last knew the remote."""
    prefix = f"{_folder(fleet)}{PREFIX}"
    return {ref.removeprefix(prefix): tip for ref, tip in refs.names(fleet.repo, prefix).items()}


def _folder(fleet: Fleet) -> str:
    swap = fleet.store.swap
    return swap.track if isinstance(swap, Shared) else "refs/heads/"


def make(fleet: Fleet, board: Board, question: Question) -> str | None:
    """The tip of the question's branch, made if there is none.

    None if it cannot have one: its file has a place for the answer already, as after a merge
    without text, so that no branch could add anything. Raises Unreachable.
    """
    name = question.name
    found = known(fleet).get(name)
    if found is not None:
        return found
    path = layout.question_path(name)
    data = fleet.store.file(board, path)
    if data is None or answers.has_heading(data):
        return None
    store = fleet.store
    files = {path: answers.with_heading(data)}
    tree = fleet.objects.write_tree(fleet.objects.tree_of(board.commit), files)
    brief = " ".join(question.text.split())[:60]
    message = (
        f"Answer {name}: {brief}\n\nWrite the answer into {path} and merge this branch.\n\n"
        f"{RUNNER}: {fleet.runner}\n{QUESTION}: {name}\n"
    )
    who = store.signature()
    commit = fleet.objects.write_commit(tree, [board.commit], fleet.mask.text(message), who, who)
    if not _move(fleet, name, None, commit):
        return known(fleet).get(name)
    failpoints.point("ask-branch-made")
    fleet.report.action("ask-branch", question=name, branch=ask_branch(name))
    return commit


def drop(fleet: Fleet, name: str, tip: str) -> None:
    """Remove a question's branch; a person's commits on it that the board lacks are kept aside."""
    board, branch = fleet.store.board(), ask_branch(name)
    if not (_ours(fleet, name, tip) or fleet.objects.is_ancestor(tip, board.commit)):
        kept = salvage.keep(fleet.repo, tip, f"{salvage.PREFIX}ask/{name}/{tip[:10]}")
        fleet.report.action("salvaged", question=name, ref=kept)
    if not isinstance(fleet.store.swap, Shared) and holders(fleet.repo, f"refs/heads/{branch}"):
        return  # somebody has it checked out; git would not like that
    if _move(fleet, name, tip, None):
        failpoints.point("ask-branch-dropped")


def _ours(fleet: Fleet, name: str, tip: str) -> bool:
    commit = fleet.objects.commit(tip)
    return trailers(commit.message).get(QUESTION) == name


def _move(fleet: Fleet, name: str, old: str | None, new: str | None) -> bool:
    """Move the branch from where we think it is; False if it is elsewhere, which is then known."""
    branch = f"refs/heads/{ask_branch(name)}"
    swap = fleet.store.swap
    if not isinstance(swap, Shared):
        return refs.swap(fleet.repo, branch, old, new, message="a question's branch")
    track = f"{swap.track}{ask_branch(name)}"
    with swap.turn():
        pushed = remote.push(fleet.repo, swap.name, [refs.Move(branch, old, new)])
        if pushed.fate is Fate.DONE:
            _note(fleet, track, new)
            return True
        if pushed.fate is Fate.REFUSED:
            raise FleetError(
                f"{swap.name} refuses to move {ask_branch(name)}: {pushed.reason}",
                remedy="Let runners push to gitfleet/ask/*, or answer with `gitfleet answer`.",
            )
        # Somebody was faster, or nobody knows: the next round goes by what is there.
        there = remote.listing(fleet.repo, swap.name, branch)
        if branch in there:
            remote.fetch(fleet.repo, swap.name, [f"+{branch}:{track}"])
        else:
            _note(fleet, track, None)
        return there.get(branch) == new


def _note(fleet: Fleet, track: str, new: str | None) -> None:
    """Our note of where the remote is; git's own push may have written it already."""
    old = refs.read(fleet.repo, track)
    if old != new:
        refs.swap(fleet.repo, track, old, new, message="pushed")
