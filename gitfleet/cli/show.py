"""`gitfleet show`: one task with its text, status, attempts and next step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import click
from msgspec.structs import replace

from gitfleet.cli.support import format, lookup
from gitfleet.cli.support.session import open_session
from gitfleet.cli.support.verb import ANY_TASK, Verb
from gitfleet.event_log import harmless
from gitfleet.model.durations import clock, spoken
from gitfleet.model.event import Attempt, Event
from gitfleet.model.question import Question
from gitfleet.model.states import Outcome
from gitfleet.plan import plain_data, view
from gitfleet.plan.view import Detail, RelatedTask

_BODY: Final = 12  # lines of the task's text without --full
_TAIL: Final = 10  # lines of a failed check's output


@click.command(
    "show",
    cls=Verb,
    examples=(
        "gitfleet show fix-login",
        "gitfleet show fix-login --full",
        "gitfleet show fix-login --json",
    ),
)
@click.argument("task", metavar="ID", type=ANY_TASK)
@click.option(
    "--full", is_flag=True, help="Do not shorten the text and the output of failed checks."
)
@click.option("--json", "as_json", is_flag=True, help="Output JSON.")
def command(task: str, full: bool, as_json: bool) -> None:
    """Show task ID: its text, the reason for its status, its attempts, and the next step."""
    store = open_session().store
    board = store.board()
    found = view.detail(board, lookup.task_of(store, board, task), store.now())
    row = lookup.doubted(board, found.row)
    if row is not found.row:
        step = "Fix that and commit it to the board." if row.doer else found.next
        found = replace(found, row=row, next=step)
    if as_json:
        format.out_json(plain_data.story(found))
        return
    for part in (
        _head(found),
        _problems(found),
        _body(found, full),
        _attempts(found),
        _checks(found, full),
        _questions(found.entry.questions),
        _around(found),
    ):
        for text in part:
            click.echo(text)
    click.echo(f"\n{_title('Next')}  {format.line(found.next)}")


def _title(text: str) -> str:
    return format.style(text, bold=True)


def _head(found: Detail) -> Iterable[str]:
    row = found.row
    yield f"{_title(format.line(row.id))}  {format.line(row.title)}"
    yield f"{format.of_status(row.status, row.status)}: {format.line(row.reason)}"
    for name, value in (*_keys(found), *_inherited(found)):
        yield f"  {name:<16}{format.line(value)}"


def _keys(found: Detail) -> Iterable[tuple[str, str]]:
    """The keys of the task's file, in the order of docs/board.md."""
    for key, value in found.keys.items():
        if key == "title":
            continue
        if key == "depends_on":
            yield key, ", ".join(f"{near.id} ({near.state})" for near in found.depends_on)
        elif isinstance(value, list | tuple):
            yield key, "; ".join(map(str, value)) if key == "checks" else ", ".join(map(str, value))
        elif isinstance(value, dict):
            yield key, ", ".join(f"{name}: {inner}" for name, inner in value.items())
        else:
            yield key, str(value).lower() if isinstance(value, bool) else str(value)
    if found.entry.task is not None and found.entry.task.budget is not None:
        yield "spent", f"usd: {found.spent.usd:.2f}, tokens: {found.spent.tokens}"
    if found.row.archived:
        yield "archived in", f"{found.row.archived}/"


def _inherited(found: Detail) -> Iterable[tuple[str, str]]:
    """The coder and model that the task inherits because its file names none."""
    doer, keys = found.row.doer, found.keys
    if doer is None:
        return
    if "coder" not in keys and "coders" not in keys:
        yield "coder", f"{doer.coder} ({'default' if doer.coder_default else 'running'})"
    if doer.model_default:
        yield "model", f"{doer.model} (default)"


def _problems(found: Detail) -> Iterable[str]:
    for problem in found.entry.problems:
        yield f"  {format.line(str(problem))}"


def _body(found: Detail, full: bool) -> Iterable[str]:
    lines = found.entry.task.body.strip("\n").splitlines() if found.entry.task else []
    if not lines:
        return
    shown = lines if full else lines[:_BODY]
    yield ""
    yield from (f"  {harmless(text)}".rstrip() for text in shown)
    if len(lines) > len(shown):
        more = f"… {len(lines) - len(shown)} more lines: gitfleet show {found.row.id} --full"
        yield format.style(f"  {more}", dim=True)


def _attempts(found: Detail) -> Iterable[str]:
    ended = [event for event in found.entry.events if event.attempt is not None]
    if not ended:
        return
    yield f"\n{_title('Attempts')}"
    header = ("#", "role", "coder", "outcome", "took", "tokens", "reason")
    cells = [header, *(_attempt(event) for event in ended)]
    limit = format.room()
    for number, row in enumerate(format.columns(cells, limit - 2 if limit else None)):
        text = f"  {''.join(row)}".rstrip()
        yield text if number else format.style(text, dim=True)


def _attempt(event: Event) -> tuple[str, ...]:
    attempt = event.attempt
    assert attempt is not None
    coder = "/".join(part for part in (attempt.coder, attempt.model) if part)
    tokens = attempt.tokens.total
    return (
        str(attempt.attempt),
        event.kind.value,
        format.line(coder or "-"),
        attempt.outcome.value,
        spoken((attempt.ended - attempt.started).total_seconds()),
        str(tokens) if tokens else "-",
        format.line(attempt.reason),
    )


def _checks(found: Detail, full: bool) -> Iterable[str]:
    last = found.validation
    if last is None or not (last.checks or last.findings):
        return
    yield f"\n{_title('Checks')} of the last validation, attempt {last.attempt}"
    for check in last.checks:
        good = check.exit_code == 0
        mark = format.style("ok  ", fg="green") if good else format.style("FAIL", fg="red")
        status = "" if good else f" (exit status {check.exit_code})"
        yield f"  {mark}  {format.line(check.command)}, {check.seconds:g}s{status}"
        tail = check.tail.splitlines()
        for text in tail if full else tail[-_TAIL:]:
            yield f"        {harmless(text)}"
    yield from _findings(last)


def _findings(last: Attempt) -> Iterable[str]:
    what = "conflicts in" if last.outcome is Outcome.CONFLICT else "found"
    for finding in last.findings:
        yield f"  {what}: {format.line(finding)}"


def _questions(questions: Sequence[Question]) -> Iterable[str]:
    if not questions:
        return
    yield f"\n{_title('Questions')}"
    for question in questions:
        state = "open" if question.open else "answered"
        yield f"  {format.line(question.name)}, {state}: {format.line(question.text)}"
        if question.options:
            yield f"    options: {format.line(', '.join(question.options))}"
        if question.answer:
            yield f"    answer: {format.line(question.answer)}"


def _around(found: Detail) -> Iterable[str]:
    """The place of the work, and the tasks that depend on it."""
    lines: list[tuple[str, str]] = []
    row = found.row
    if row.branch:
        lines.append(("Branch", row.branch + (f" at {found.head[:10]}" if found.head else "")))
    if found.landed:
        at = f"{found.landed.target} as {found.landed.merge[:10]}, {clock(found.landed.at)}"
        lines.append(("Landed", at))
    if found.waits_for_it:
        more = found.behind - len(found.waits_for_it)
        text = _nears(found.waits_for_it, ", ")
        lines.append(("Waits for it", text + (f", and {more} behind those" if more > 0 else "")))
    if found.fix_chain:
        lines.append(("Fix chain", _nears(found.fix_chain, " → ")))
    if lines:
        yield ""
    for name, text in lines:
        yield f"{_title(f'{name:<14}')}{format.line(text)}"


def _nears(nears: Sequence[RelatedTask], between: str) -> str:
    return between.join(f"{near.id} ({near.state})" for near in nears)
