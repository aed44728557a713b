"""One round on a forge: open pull requests for questions, turn comments into answers, close them.

Everything follows from the board and the forge as they are now. A branch without a pull request
gets one, a comment becomes the answer, the pull request of an answered question is closed. So it
does not matter when a runner dies, or whether two runners do the same.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gitfleet import failpoints
from gitfleet.attempt.context import Project
from gitfleet.errors import FleetError
from gitfleet.event_log import Action
from gitfleet.files import answers, codec, layout
from gitfleet.forges.base import Comment, Desk, Draft, Forge, Pull, Site, State
from gitfleet.forges.http_errors import Denied, HttpRejected, Limited, NoAnswer
from gitfleet.git.command import git
from gitfleet.git.remote import Unreachable
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change, Person
from gitfleet.model.question import Question
from gitfleet.plan import pull_request_texts, questions
from gitfleet.plan.graph import cancelled, done
from gitfleet.questions import question_branch

_QUIET: Final = 600.0  # seconds; then comments are read again though nothing seems new
_AWAY: Final = (NoAnswer, Limited, Denied, Unreachable)  # this round can get no further


class Case(Struct, frozen=True):
    """An open question that a task waits for, and that task."""

    entry: Entry
    question: Question


class CommentsSeen(Struct, frozen=True):
    """The time of the last look at a pull request's comments, and its state then."""

    updated: str
    times: int
    at: float  # monotonic


def open_cases(board: Board) -> dict[str, Case]:
    """Every open question that a task waits for, by its name."""
    found = (
        Case(entry, question)
        for entry in board.entries.values()
        if entry.questions and not (done(entry) or cancelled(entry))
        for question in entry.questions
        if question.open
    )
    return {case.question.name: case for case in found}


class SyncRound:
    """One round. `looked` is passed from one round to the next, and may be lost."""

    def __init__(
        self,
        project: Project,
        where: Site,
        forge: Forge,
        desk: Desk,
        looked: dict[str, CommentsSeen],
    ) -> None:
        self.fleet, self.where, self.forge, self.desk = project, where, forge, desk
        self._looked = looked
        self._base = project.store.branch
        self._writers: dict[str, bool] = {}  # whether each commenter may write

    def run(self, board: Board) -> None:
        """Handle each question separately: an error in one does not stop the others.

        Raises errors of the forge as a whole.
        """
        cases = open_cases(board)
        pulls = self._pulls()
        # New questions first: reading may end the round, if the token lacks a right for it.
        for name, case in sorted(cases.items(), key=lambda item: item[0] in pulls):
            with _Alone(self.fleet, name):
                self._serve(board, case, pulls.get(name))
        over = (pulls.keys() | question_branch.known(self.fleet).keys()) - cases.keys()
        if over:
            self._wind_up(over, pulls)
        for name in self._looked.keys() - cases.keys():
            del self._looked[name]

    def _pulls(self) -> dict[str, Pull]:
        prefix = question_branch.PREFIX
        return {
            pull.branch.removeprefix(prefix): pull
            for pull in self.forge.pulls(self.desk, self._base)
            if pull.branch.startswith(prefix)
        }

    def _find(self, name: str) -> Pull | None:
        return self.forge.find(self.desk, question_branch.ask_branch(name), self._base)

    def _look(self) -> Board:
        """The current board of the remote."""
        remote = self.fleet.store.backend.remote
        if remote is not None:
            remote.fetch()
        return self.fleet.store.board()

    # -- an open question

    def _serve(self, board: Board, case: Case, pull: Pull | None) -> None:
        pull = pull or self._find(case.question.name)
        if pull is not None:
            if self._news_in(case, pull):
                self._read(case, pull)
        elif question_branch.make(self.fleet, board, case.question) is not None:
            self._open(case)

    def _open(self, case: Case) -> None:
        mask, name = self.fleet.mask.text, case.question.name
        draft = Draft(
            branch=question_branch.ask_branch(name),
            base=self._base,
            title=mask(pull_request_texts.title(case.question)),
            body=mask(pull_request_texts.body(case.entry, case.question)),
        )
        try:
            pull = self.forge.open(self.desk, draft)
        except HttpRejected:
            # Perhaps a duplicate: another runner, or a request whose answer was lost, opened it.
            found = self._find(name)
            if found is None:
                raise
            pull = found
        failpoints.point("pull-opened")
        self.fleet.report.action(Action.PR_OPENED, question=name, url=pull.url)

    def _news_in(self, case: Case, pull: Pull) -> bool:
        """Whether to read the comments.

        The same state is read twice, because the forge's times are in whole seconds.
        """
        now, name = time.monotonic(), case.question.name
        last = self._looked.get(name)
        if last is None or last.updated != pull.updated or now - last.at > _QUIET:
            self._looked[name] = CommentsSeen(pull.updated, 1, now)
            return True
        if last.times > 1:
            return False
        self._looked[name] = replace(last, times=last.times + 1)
        return True

    def _read(self, case: Case, pull: Pull) -> None:
        try:
            comments = self.forge.comments(self.desk, pull)
            for comment in comments:
                if self._is_answer(comment):
                    self._take(case, pull, comment)
                    return
            if pull.state is State.MERGED:
                self._merged(case, pull, comments)
        except BaseException:
            self._looked.pop(case.question.name, None)  # reading it did not finish
            raise

    def _is_answer(self, comment: Comment) -> bool:
        if comment.ours or comment.author.bot or not _says_something(comment.text):
            return False
        # Once per round and author: strangers may comment as much as they like.
        login = comment.author.login
        if login not in self._writers:
            self._writers[login] = self.forge.may_write(self.desk, comment.author)
        return self._writers[login]

    def _take(self, case: Case, pull: Pull, comment: Comment) -> None:
        """Put the comment onto the board as the answer, unless it has one by then."""
        author, name = comment.author, case.question.name
        mail = self.forge.mail(author, self.where.host)
        person = Person(_plain(author.name or author.login), _plain(mail))
        text = pull_request_texts.answer_in(case.question, comment.text)
        path = layout.question_path(name)

        def decide(board: Board, now: datetime) -> Change | None:
            file = self.fleet.store.file(board, path)
            if name not in open_cases(board) or file is None:
                return None
            made = questions.answer(board, now, question=name, file=file, text=text, person=person)
            return replace(made, body=f"A comment on {pull.url}")

        if self.fleet.store.transact(decide).won:
            failpoints.point("comment-answered")
            self.fleet.report.action(Action.ANSWERED, question=name, by=person, url=pull.url)

    def _merged(self, case: Case, pull: Pull, comments: list[Comment]) -> None:
        """Handle a merge while our board has the question open: check the remote's board."""
        if case.question.name not in open_cases(self._look()):
            return
        if not any(one.text.startswith(pull_request_texts.EMPTY) for one in comments):
            self.forge.comment(self.desk, pull, pull_request_texts.empty_merge(case.question))

    # -- answered and removed questions

    def _wind_up(self, names: set[str], pulls: Mapping[str, Pull]) -> None:
        board = self._look()
        for name in sorted(names - open_cases(board).keys()):
            if _known_task(board, name):
                with _Alone(self.fleet, name):
                    self._finish(board, name, pulls.get(name))

    def _finish(self, board: Board, name: str, pull: Pull | None) -> None:
        """Thank, close the pull request, then delete the branch.

        In this order, because a forge closes a pull request whose branch is deleted.
        """
        if pull is not None:
            said = [one for one in self.forge.comments(self.desk, pull) if one.ours]
            if not any(one.text.startswith(pull_request_texts.OVER) for one in said):
                self.forge.comment(self.desk, pull, self._last_words(board, name))
                failpoints.point("pull-thanked")
            self.forge.close(self.desk, pull)
            failpoints.point("pull-closed")
            self.fleet.report.action(Action.PR_CLOSED, question=name, url=pull.url)
        tip = question_branch.known(self.fleet).get(name)
        if tip is not None:
            question_branch.drop(self.fleet, name, tip)

    def _last_words(self, board: Board, name: str) -> str:
        path = layout.question_path(name)
        entry = board.get(layout.place(path).task)
        found = next((q for q in entry.questions if q.name == name), None) if entry else None
        if found is not None and not found.open:
            return pull_request_texts.thanks(self._link(board, path))
        if entry is None or done(entry):
            return pull_request_texts.moot("the task is done")
        if cancelled(entry):
            return pull_request_texts.moot("the task was cancelled")
        return pull_request_texts.moot("the question was removed from the board")

    def _link(self, board: Board, path: str) -> str:
        """A link to the board's commit that brought the answer."""
        args = ("rev-list", "-1", "--first-parent", board.commit, "--", path)
        oid = git(*args, cwd=self.fleet.repo.here, check=False).out
        return self.forge.commit(self.where.base_url, self.desk.repository, oid) if oid else ""


class _Alone:
    """Reports an error of one question and continues with the others.

    An error of the whole forge ends the round.
    """

    def __init__(self, project: Project, name: str) -> None:
        self.fleet, self.name = project, name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        key = f"question {self.name}"
        if error is None:
            self.fleet.report.settled(key)
            return False
        if isinstance(error, _AWAY) or not isinstance(error, FleetError):
            return False
        self.fleet.report.once(key, Action.FORGE_DELAYED, question=self.name, reason=error.what)
        return True


def _known_task(board: Board, name: str) -> bool:
    """Whether it is a question of a task here, not a user's own branch."""
    there = layout.place(layout.question_path(name))
    known = there.task in board.entries or there.task in board.archived
    return there.what is layout.FileKind.QUESTION and known


def _says_something(text: str) -> bool:
    return bool(codec.split_answer(f"{answers.HEADING}\n{text.strip()}")[1])


def _plain(text: str) -> str:
    """A name or an address in a form that a commit may contain."""
    plain = "".join(c for c in text if c.isprintable() and c not in "<>").strip()
    return plain[:100] or "unknown"
