"""`gitfleet answer`: answer an agent's question."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import click

from gitfleet.cli.support.session import CliSession, for_people, open_session, plain
from gitfleet.cli.support.verb import QUESTION, Verb
from gitfleet.errors import FleetError
from gitfleet.files import answers, codec, layout
from gitfleet.model.board import Board
from gitfleet.model.change import Change
from gitfleet.model.question import Question
from gitfleet.plan import questions
from gitfleet.plan.status import status_of

_HINT: Final = "<!-- Write the answer below this line, then save and close. -->"


@click.command(
    "answer",
    cls=Verb,
    examples=(
        'gitfleet answer fix-login "The session cookie."',
        "gitfleet answer fix-login-1 --option 2",
        "gitfleet answer fix-login --edit",
    ),
)
@click.argument("name", metavar="ID", type=QUESTION)
@click.argument("text", required=False)
@click.option("--option", type=int, metavar="N", help="Choose option N.")
@click.option("--edit", is_flag=True, help="Write the answer in an editor.")
def command(name: str, text: str | None, option: int | None, edit: bool) -> None:
    """Answer the question ID with TEXT, an option, or in an editor.

    ID is the question's name, or its task's id while that has just one open question. The first
    answer counts: TEXT for a question that has one becomes a remark below it.
    """
    given = (text is not None) + (option is not None) + edit
    if given != 1:
        few = "give TEXT, --option N or --edit"
        raise click.UsageError(few if not given else "give only one of TEXT, --option, --edit")
    session = open_session()
    for_people("answer", session.repo)
    question = questions.named(session.store.board(), name)
    if option is not None:
        text = questions.option(question, option)
    elif edit:
        text = _edited(session, question)
    assert text is not None
    change = _answer(session, question.name, text)
    click.echo(plain(_told(session, question, change)))


def _answer(session: CliSession, name: str, text: str) -> Change:
    person, path = session.person, layout.question_path(name)

    def decide(board: Board, now: datetime) -> Change:
        file = session.store.file(board, path) or b""
        return questions.answer(board, now, question=name, file=file, text=text, person=person)

    return session.change(decide)


def _edited(session: CliSession, question: Question) -> str:
    """The answer that a person writes below the heading, in the editor that git and click use."""
    file = session.store.file(session.store.board(), layout.question_path(question.name)) or b""
    shown, _ = codec.decode(answers.with_heading(file), question.name)
    shown = shown.replace(answers.HINT, _HINT)
    written = click.edit(shown, extension=".md")
    if written is None:
        raise FleetError("nothing was written; the question is unchanged")
    said = codec.split_answer(written)[1]
    if said == question.answer:
        raise FleetError("nothing was written; the question is unchanged")
    return said.removeprefix(question.answer).strip() if not question.open else said


def _told(session: CliSession, question: Question, change: Change) -> str:
    board = session.store.board()
    where = status_of(board, question.task, session.store.now())
    name = question.name
    remark = not change.subject.startswith("Answer ")
    done = (
        f"{name} was already answered; yours is a remark below it"
        if remark
        else f"{name} is answered"
    )
    return f"{done}. {question.task} is {where.status}: {where.reason}"
