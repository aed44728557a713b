"""Questions that agents ask and people answer. Pure; docs/board.md documents the format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from gitfleet.errors import FleetError
from gitfleet.event_log import UNSAFE
from gitfleet.files import answers, codec, layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change, Person
from gitfleet.model.question import Asker, Question
from gitfleet.plan.graph import cancelled, done, graph_of
from gitfleet.plan.transitions.event_files import claimed_by


class QuestionRequest(Struct, frozen=True, kw_only=True):
    """A question that an agent wants to ask; its key identifies a repeated file."""

    key: str
    text: str
    options: tuple[str, ...] = ()


class Waiting(Struct, frozen=True, kw_only=True):
    """An open question with what a person wants to know about it."""

    question: Question
    title: str  # of the task
    since: float  # seconds
    behind: tuple[str, ...]  # unfinished tasks that wait for this one, directly or not
    running: bool  # its attempt still runs and may be waiting for the answer

    @property
    def name(self) -> str:
        """The question's name, `<id>-<n>`."""
        return self.question.name


# -- asking


def ask(
    board: Board, now: datetime, *, task: str, nonce: str, wanted: Sequence[QuestionRequest]
) -> Change | None:
    """Put an agent's questions onto the board; None if all are there, or its claim is gone."""
    entry = claimed_by(board, task, nonce)
    if entry is None or entry.claim is None:
        return None
    claim = entry.claim
    by = Asker(runner=claim.runner, coder=claim.coder, attempt=claim.attempt)
    known = list(entry.questions)
    files: dict[str, bytes | None] = {}
    for one in wanted:
        if found(known, one, claim.attempt) is None:
            name = f"{task}-{_next_number(board, entry, known)}"
            question = Question(
                task=task,
                asked=now,
                by=by,
                options=one.options,
                outbox=one.key,
                name=name,
                text=one.text,
            )
            known.append(question)
            files[layout.question_path(name)] = codec.write_question(question)
    if not files:
        return None
    first = known[-len(files)].text
    more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
    return Change(subject=f"{task} asks: {_brief(first)}{more}", files=files, tasks=(task,))


def found(questions: Sequence[Question], wanted: QuestionRequest, attempt: int) -> Question | None:
    """The question on the board that this one repeats, if any.

    The same file, by its key. Or the same words: as long as that question is open, or if an earlier
    attempt asked it, since a coder that starts over asks again and should get the answer.
    """
    for question in questions:
        if question.outbox == wanted.key:
            return question
    same = [q for q in questions if (q.text, q.options) == (wanted.text, wanted.options)]
    same = [q for q in same if q.open or q.by.attempt != attempt]
    return next((q for q in same if q.open), same[-1] if same else None)


def _next_number(board: Board, entry: Entry, known: Sequence[Question]) -> int:
    """One more than any question of the task, including those that cannot be read."""
    names = [question.name for question in known]
    places = (layout.place(path) for path in board.damage)
    names += [p.name for p in places if p.what is layout.FileKind.QUESTION and p.task == entry.id]
    return 1 + max((int(name.rpartition("-")[2]) for name in names), default=0)


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"


def note(board: Board, *, task: str, nonce: str, notes: Mapping[str, bytes]) -> Change | None:
    """Write an agent's notes; None if its claim is gone. `notes`: plan.md, knowledge.md."""
    if claimed_by(board, task, nonce) is None or not notes:
        return None
    files: dict[str, bytes | None] = {layout.note_path(task, n): d for n, d in notes.items()}
    names = ", ".join(sorted(name.removesuffix(".md") for name in notes))
    return Change(subject=f"{task}: notes ({names})", files=files, tasks=(task,))


# -- how an attempt with questions ends


def unanswered_reason(
    entry: Entry, attempt: int, asked: frozenset[str], unheard: frozenset[str]
) -> str:
    """Why the attempt ends as `asked`, in a sentence; empty if it does not.

    `asked`: the names of the questions it asked, besides those that say so themselves. `unheard`:
    those for which its coder was told to stop and continue later.
    """
    own = [q for q in entry.questions if q.by.attempt == attempt or q.name in asked]
    waiting = [q for q in own if q.open]
    if waiting:
        more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
        return f"it asks: {_brief(waiting[0].text)}{more}"
    late = [q for q in own if q.name in unheard]
    return f"{late[0].name} was answered after it had stopped" if late else ""


# -- answering


def waiting(board: Board, now: datetime) -> list[Waiting]:
    """Every open question of an unfinished task, the oldest first."""
    graph = graph_of(board)
    rows = [
        Waiting(
            question=question,
            title=entry.title,
            since=max(0.0, (now - question.asked).total_seconds()),
            behind=tuple(sorted(_behind(board, graph.dependents, entry.id))),
            running=entry.claim is not None,
        )
        for entry in board.entries.values()
        for question in entry.questions
        if question.open and not (done(entry) or cancelled(entry))
    ]
    return sorted(rows, key=lambda row: (-row.since, row.name))


def _behind(board: Board, dependents: Mapping[str, Sequence[str]], task: str) -> Iterator[str]:
    seen, todo = {task}, [task]
    while todo:
        for other in dependents.get(todo.pop(), ()):
            if other not in seen:
                seen.add(other)
                todo.append(other)
                yield other


def named(board: Board, name: str) -> Question:
    """The question that a person means: by its own name, or by its task's if that has one open.

    FleetError if there is none, or more than one.
    """
    plain = name.removeprefix("questions/").removesuffix(".md")
    place = layout.place(layout.question_path(plain))
    of_name = _question(board, place.task, plain)
    if plain != name and of_name is not None:
        return of_name
    entry = board.get(plain)
    open_ = [q for q in entry.questions if q.open] if entry else []
    if of_name is not None and of_name.open and open_:
        raise FleetError(
            f"{plain} is both a question of {place.task} and a task with a question",
            remedy=f"Use questions/{plain}.md, or {_or([q.name for q in open_])}.",
        )
    if of_name is not None and not open_:
        return of_name
    if len(open_) == 1:
        return open_[0]
    if len(open_) > 1:
        raise FleetError(
            f"{plain} has {len(open_)} open questions",
            remedy=f"Name one: {_or([q.name for q in open_])}.",
        )
    raise _unknown(board, plain, entry)


def _question(board: Board, task: str, name: str) -> Question | None:
    entry = board.get(task)
    return next((q for q in entry.questions if q.name == name), None) if entry else None


def _or(names: Sequence[str]) -> str:
    return " or ".join(names)


def _unknown(board: Board, name: str, entry: Entry | None) -> FleetError:
    path = layout.question_path(name)
    if path in board.damage:
        return FleetError(str(board.damage[path][0]), remedy="Fix the file on the board first.")
    task = name if name in board.archived else layout.place(path).task
    if task in board.archived:
        return FleetError(
            f"{task} is finished and archived in {board.archived[task]}/",
            remedy="Its questions no longer need an answer.",
        )
    if entry is not None:
        answered = [q.name for q in entry.questions]
        if answered:
            what = f"the question of {name} is already answered"
            return FleetError(what, remedy=f"To add a remark, name it: {_or(answered)}.")
        return FleetError(f"{name} has no open question")
    return FleetError(
        f"there is no question {name!r}", remedy="`gitfleet questions` lists the open ones."
    )


def answer(
    board: Board, now: datetime, *, question: str, file: bytes, text: str, person: Person
) -> Change:
    """Record a person's answer to a question: the one function behind all ways to answer.

    `question` is its name, `file` its file on this very board, `text` the answer in Markdown. The
    first answer counts; a later one is added as a comment. FleetError if there is no such question,
    or the text is empty.
    """
    place = layout.place(layout.question_path(question))
    found_ = _question(board, place.task, question)
    if found_ is None:
        raise _unknown(board, question, board.get(question))
    said = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    said = UNSAFE.sub("", said)  # characters that control a terminal
    if not codec.split_answer(f"{answers.HEADING}\n{said}")[1]:
        raise FleetError("the answer is empty", remedy="Comments do not count.")
    if found_.open:
        data, verb = answers.answered(file, said), "Answer"
    else:
        data, verb = answers.remarked(file, said, str(person)), "Add to the answer of"
    return Change(
        subject=f"{verb} {question}: {_brief(said)}",
        files={layout.question_path(question): data},
        tasks=(place.task,),
        author=person,
    )


def option(question: Question, number: int) -> str:
    """The option with this number, counted from 1; FleetError if there is none."""
    if 1 <= number <= len(question.options):
        return question.options[number - 1]
    several = f"1 to {len(question.options)}" if question.options else "none; write a text"
    raise FleetError(f"{question.name} has no option {number}", remedy=f"Its options: {several}.")
