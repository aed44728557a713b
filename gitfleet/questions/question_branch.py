"""The branch gitfleet/ask/<id>-<n>: a question to be answered by a merge into the fleet branch.

It adds the heading `## Answer` and a hint in one commit, so that its pull request has a difference.
Every function may be called again at any time, and by several runners: an existing branch stays, a
removed one stays removed, and a person's commits on it are saved before it is removed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from gitfleet import failpoints
from gitfleet.attempt.context import Project
from gitfleet.board.authorship import RUNNER
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.files import answers, layout
from gitfleet.git import refs, salvage
from gitfleet.git.checkouts import checkouts_of
from gitfleet.git.commits import trailers
from gitfleet.git.remote import PushFate
from gitfleet.model.board import Board
from gitfleet.model.question import Question
from gitfleet.plan import questions

_LIST_EVERY: Final = 300.0  # seconds between two fetches of a remote's branches
PREFIX: Final = "gitfleet/ask/"
QUESTION: Final = "Gitfleet-Question"
"""The trailer by which our own commit on such a branch is known."""


def ask_branch(name: str) -> str:
    """The branch on which a question can be answered."""
    return f"{PREFIX}{name}"


class AskBranches:
    """Keeps the branches of questions in order; the loop may call it as often as it likes."""

    def __init__(
        self,
        project: Project,
        first: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`first`: whether this runner, of several, handles the questions of other runners."""
        self.fleet = project
        self._first = first
        self._clock = clock
        self._listed = -math.inf
        self._none = False  # there was no branch at the last check, and we created none

    def keep(self) -> None:
        """Create the branch of every open question, remove all others. Raises Unreachable."""
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
            return  # the forge service closes the pull request first, with the reason
        for name, tip in there.items():
            if name not in open_ and (first or self._mine(board, name)):
                drop(self.fleet, name, tip)

    def _mine(self, board: Board, name: str) -> bool:
        entry = board.get(layout.place(layout.question_path(name)).task)
        asked = entry.questions if entry is not None else ()
        return any(q.name == name and q.by.runner == self.fleet.runner for q in asked)

    def _look(self, any_: bool) -> None:
        """Fetch what others created or removed on a remote, at the start and now and then."""
        remote = self.fleet.store.backend.remote
        if remote is None or not any_:
            return
        if self._clock() - self._listed < _LIST_EVERY:
            return
        below = f"refs/heads/{PREFIX}"
        there = remote.list_refs(f"{below}*")
        mine = known(self.fleet)
        names = {ref.removeprefix(below): oid for ref, oid in there.items()}
        if names.items() - mine.items():
            remote.fetch_refs([f"+{below}*:{remote.track}{PREFIX}*"])
        for name in mine.keys() - names.keys():
            _note(self.fleet, f"{remote.track}{PREFIX}{name}", None)
        self._listed = self._clock()


def on_a_forge(board: Board) -> bool:
    """Whether questions are pull requests on a forge."""
    forge = board.settings.forge
    return forge is not None and not forge.by_hand


def known(project: Project) -> dict[str, str]:
    """Question name -> its branch's tip; on a shared board, as last fetched."""
    prefix = f"{_folder(project)}{PREFIX}"
    return {ref.removeprefix(prefix): tip for ref, tip in refs.names(project.repo, prefix).items()}


def _folder(project: Project) -> str:
    remote = project.store.backend.remote
    return remote.track if remote is not None else "refs/heads/"


def make(project: Project, board: Board, question: Question) -> str | None:
    """The tip of the question's branch, created if there is none.

    None if it cannot have one: its file has an answer heading already, as after a merge without
    text, so that no branch could add anything. Raises Unreachable.
    """
    name = question.name
    found = known(project).get(name)
    if found is not None:
        return found
    path = layout.question_path(name)
    data = project.store.file(board, path)
    if data is None or answers.has_heading(data):
        return None
    store = project.store
    files = {path: answers.with_heading(data)}
    tree = project.objects.write_tree(project.objects.tree_of(board.commit), files)
    brief = " ".join(question.text.split())[:60]
    message = (
        f"Answer {name}: {brief}\n\nWrite the answer into {path} and merge this branch.\n\n"
        f"{RUNNER}: {project.runner}\n{QUESTION}: {name}\n"
    )
    who = store.signature()
    commit = project.objects.write_commit(
        tree, [board.commit], project.mask.text(message), who, who
    )
    if not _move(project, name, None, commit):
        return known(project).get(name)
    failpoints.point("ask-branch-made")
    project.report.action(Action.QUESTION_BRANCH, question=name, branch=ask_branch(name))
    return commit


def drop(project: Project, name: str, tip: str) -> None:
    """Remove a question's branch; a person's commits on it that the board lacks are saved first."""
    board, branch = project.store.board(), ask_branch(name)
    if not (_ours(project, name, tip) or project.objects.is_ancestor(tip, board.commit)):
        kept = salvage.keep(project.repo, tip, f"{salvage.PREFIX}ask/{name}/{tip[:10]}")
        project.report.action(Action.SALVAGED, question=name, ref=kept)
    if project.store.backend.remote is None and checkouts_of(project.repo, f"refs/heads/{branch}"):
        return  # it is checked out; git would object
    if _move(project, name, tip, None):
        failpoints.point("ask-branch-dropped")


def _ours(project: Project, name: str, tip: str) -> bool:
    commit = project.objects.commit(tip)
    return trailers(commit.message).get(QUESTION) == name


def _move(project: Project, name: str, old: str | None, new: str | None) -> bool:
    """Move the branch from its expected value; if it has another, record that and return False."""
    branch = f"refs/heads/{ask_branch(name)}"
    remote = project.store.backend.remote
    if remote is None:
        return refs.swap(project.repo, branch, old, new, message="a question's branch")
    track = f"{remote.track}{ask_branch(name)}"
    with remote.exclusive():
        pushed = remote.push_refs([refs.RefMove(branch, old, new)])
        if pushed.fate is PushFate.DONE:
            _note(project, track, new)
            return True
        if pushed.fate is PushFate.REFUSED:
            raise FleetError(
                f"{remote.name} rejected the push to {ask_branch(name)}: {pushed.reason}",
                remedy="Allow runners to push to gitfleet/ask/*, or answer with `gitfleet answer`.",
            )
        # Lost the race, or unknown: the next round uses the fetched state.
        there = remote.list_refs(branch)
        if branch in there:
            remote.fetch_refs([f"+{branch}:{track}"])
        else:
            _note(project, track, None)
        return there.get(branch) == new


def _note(project: Project, track: str, new: str | None) -> None:
    """Update our tracking ref of the remote; git's own push may have updated it already."""
    old = refs.read(project.repo, track)
    if old != new:
        refs.swap(project.repo, track, old, new, message="pushed")
