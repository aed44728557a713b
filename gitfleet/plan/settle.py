"""The changes runners and people make to the board: pure, each checked against the board it is
made for. A change that is no longer right is None (somebody was faster) or a FleetError (a person
asked for what cannot be)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gitfleet.errors import FleetError
from gitfleet.files import codec, layout
from gitfleet.model.board import Board, Entry
from gitfleet.model.change import Change, Move, Person
from gitfleet.model.claim import Claim
from gitfleet.model.event import Attempt, Closed, Content, Event, Landed, Said
from gitfleet.model.ids import is_id, new_id, slug
from gitfleet.model.states import CLAIMED, Kind, Outcome, Role, Status
from gitfleet.model.task import CoderChoice, CoderList, Task, TaskRole
from gitfleet.plan.graph import cancelled, done
from gitfleet.plan.standing import put_on_hold, standing, submission_of


class Addition(Struct, frozen=True, kw_only=True):
    """A task somebody files: its text as written, the id it wants, and a key if an agent did."""

    text: bytes
    id: str  # wanted
    key: str = ""  # tells the same addition again: from an outbox, once, whatever dies


_LONGEST_BODY: Final = 200 * 1024  # of a task we write: what is larger nobody reads


def _file(event: Event) -> tuple[str, bytes]:
    data = codec.write(event.content)
    if len(data) > layout.LARGEST and isinstance(event.content, Attempt):
        # Nobody reads a file that large, so the event would count as damaged: say less.
        data = codec.write(_shortened(event.content))
    return layout.event_path(event.task, event.name), data


def _shortened(attempt: Attempt) -> Attempt:
    checks = tuple(
        replace(check, command=check.command[:500], tail=check.tail[-1000:])
        for check in attempt.checks[:50]
    )
    findings = tuple(finding[:1000] for finding in attempt.findings[:50])
    return replace(attempt, reason=attempt.reason[:2000], checks=checks, findings=findings)


def _event(entry: Entry, kind: Kind, suffix: str, content: Content, after: int = 0) -> Event:
    return Event(entry.id, entry.next_number + after, kind, suffix, content)


def holds(board: Board, task: str, nonce: str) -> Entry | None:
    """The fence: the task's entry if the claim with this nonce is at the tip."""
    entry = board.get(task)
    if entry is None or entry.claim is None or entry.claim.nonce != nonce:
        return None
    return entry


def claim(
    board: Board,
    now: datetime,
    *,
    task: str,
    claim: Claim,
    due: bool = False,
    words: frozenset[str] = frozenset(),
) -> Change | None:
    """Take a task; None if it is not to be had (any more).

    `due`: it waits for a target that was red, and the target has moved. `words`: what the attempt
    needs for itself, besides the task's `exclusive`.
    """
    entry = board.get(task)
    if entry is None or entry.blob != claim.task_blob or not is_id(task):
        return None
    where = standing(board, task, now)
    if where.role is not claim.role or not (due or where.claimable(now)):
        return None
    if entry.next_attempt != claim.attempt:
        return None
    return Change(
        subject=f"Claim {task} ({claim.role}, attempt {claim.attempt})",
        files={layout.claim_path(task): codec.write(claim)},
        tasks=(task,),
        words=words | frozenset(entry.task.exclusive if entry.task else ()),
    )


def settle(
    board: Board,
    *,
    task: str,
    attempt: Attempt,
    role: Role,
    additions: Sequence[Addition] = (),
    extra: Mapping[str, bytes | None] | None = None,
    publish: tuple[Move, ...] = (),
) -> Change | None:
    """End an attempt with its event; None if its claim is gone, so that it counts no more."""
    entry = holds(board, task, attempt.nonce)
    if entry is None:
        return None
    event = _event(entry, Kind(role.value), attempt.nonce[:4], attempt)
    files: dict[str, bytes | None] = {layout.claim_path(task): None}
    files.update([_file(event)])
    files.update(extra or {})
    for addition in additions:
        files.update(_added(board, entry.id, addition, files))
    return Change(
        subject=f"{task}: {role} {attempt.outcome}: {_subject(attempt.reason)}",
        files=files,
        tasks=(task,),
        publish=publish,
    )


def settled(board: Board, task: str, attempt: Attempt) -> bool:
    """Whether this end of the attempt is on the board. Another one, such as the `lost` by which
    another runner took it over, is not."""
    entry = board.get(task)
    return entry is not None and any(
        event.attempt is not None
        and event.attempt.nonce == attempt.nonce
        and event.attempt.outcome is attempt.outcome
        for event in entry.events
    )


def _subject(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= 72 else line[:71] + "…"


def obstacle(entry: Entry) -> str:
    """Why a task must not land now although it is accepted; empty if nothing is in the way."""
    if cancelled(entry):
        return "the task was cancelled meanwhile"
    if done(entry):
        return "the task was closed meanwhile"
    if entry.task is None:
        return "its file does not validate any more"
    if entry.task.hold or put_on_hold(entry) is not None:
        return "the task was put on hold meanwhile"
    return ""


def land(
    board: Board,
    now: datetime,
    *,
    task: str,
    attempt: Attempt,
    landed: Landed,
    move: Move | None,
    forced: bool = False,
) -> Change | None:
    """Accept and land: verdict, `landed`, the whole chain it repairs closed, the target moved.

    `forced`: the target has moved already (its runner died just then), so it is a fact.
    """
    entry = holds(board, task, attempt.nonce)
    if entry is None or (obstacle(entry) and not forced):
        return None
    files: dict[str, bytes | None] = {layout.claim_path(task): None}
    files.update([_file(_event(entry, Kind.VALIDATE, attempt.nonce[:4], attempt))])
    files.update([_file(_event(entry, Kind.LANDED, attempt.nonce[:4], landed, after=1))])
    files.update(_close_chain(board, now, entry, landed.runner, attempt.nonce[:4]))
    return Change(
        subject=f"{task}: landed on {landed.target}",
        files=files,
        tasks=(task,),
        moves=(move,) if move else (),
    )


def chain(board: Board, entry: Entry) -> Iterator[Entry]:
    """The tasks that `entry` repairs, directly or not, nearest first."""
    seen = {entry.id}
    fixed = entry.task.fixes if entry.task else None
    while fixed is not None and fixed not in seen and (above := board.get(fixed)) is not None:
        seen.add(fixed)
        yield above
        fixed = above.task.fixes if above.task else None


def _close_chain(
    board: Board, now: datetime, entry: Entry, runner: str, suffix: str
) -> Iterator[tuple[str, bytes]]:
    for above in chain(board, entry):
        if not (done(above) or cancelled(above)):
            closed = Closed(runner=runner, at=now, reason=f"fixed by {entry.id}", by=entry.id)
            yield _file(_event(above, Kind.CLOSED, suffix, closed))


def accept_plan(board: Board, now: datetime, *, task: str, attempt: Attempt) -> Change | None:
    """Accept a plan: there is nothing to merge, its tasks are on the board already."""
    entry = holds(board, task, attempt.nonce)
    if entry is None or obstacle(entry):
        return None
    closed = Closed(runner=attempt.runner, at=now, reason="the plan is accepted")
    files: dict[str, bytes | None] = {layout.claim_path(task): None}
    files.update([_file(_event(entry, Kind.VALIDATE, attempt.nonce[:4], attempt))])
    files.update([_file(_event(entry, Kind.CLOSED, attempt.nonce[:4], closed, after=1))])
    files.update(_close_chain(board, now, entry, attempt.runner, attempt.nonce[:4]))
    return Change(subject=f"{task}: plan accepted", files=files, tasks=(task,))


def rounds(board: Board, entry: Entry) -> int:
    """How many repairs stand between a task and the one it began with."""
    return sum(1 for _ in chain(board, entry))


def fix_task(
    board: Board, entry: Entry, attempt: Attempt, fix: Task | None
) -> tuple[str, Task] | None:
    """The one task that repairs a rejected one, with its id; None if the rounds are used up.

    `fix` is what the validator proposes: its title and body are taken, the rest is inherited.
    """
    if entry.task is None or rounds(board, entry) >= board.settings.max_fix_rounds:
        return None
    origin = [*chain(board, entry)][-1:] or [entry]
    stem = f"{origin[0].id[:48]}-fix"
    number = next(n for n in itertools.count(1) if not board.taken(f"{stem}-{n}"))
    own = entry.task
    coder, model, coders = _repairer(own, fix)
    title = fix.title if fix else f"Fix: {own.title.removeprefix('Fix: ')}"[:200]
    task = Task(
        title=title,
        priority=own.priority,
        labels=own.labels,
        role=own.role,
        coder=coder,
        model=model,
        coders=coders,
        checks=own.checks,
        touches=own.touches,
        base=own.base,
        parent=own.parent,
        needs=own.needs,
        exclusive=own.exclusive,
        timeout=own.timeout,
        attempts=own.attempts,
        budget=own.budget,
        fixes=entry.id,
        body=fix.body if fix else _fix_body(entry, origin[0], attempt),
    )
    return f"{stem}-{number}", task


def _repairer(own: Task, fix: Task | None) -> tuple[str | None, str | None, CoderList]:
    """Who repairs it: whom the validator proposes, else whoever the task is for."""
    if fix is None or not (fix.coder or fix.model):
        return own.coder, own.model, own.coders
    if fix.coder or not own.coders:
        same = fix.coder in (None, own.coder)
        return fix.coder or own.coder, fix.model or (own.model if same else None), ()
    first = own.coders[0]
    coder = first if isinstance(first, str) else first.coder
    return None, None, (CoderChoice(coder, fix.model), *own.coders[1:])


def _fix_body(entry: Entry, origin: Entry, attempt: Attempt) -> str:
    """What a repair is told. Texts of others are indented or quoted: they are data, and a script
    in the first task's text must not be run again by the coder `shell`."""
    lines = [
        f"The work on `{entry.id}` was not accepted: {' '.join(attempt.reason.split())[:2000]}",
        "",
        "You start where that work ended. Repair what was found, and nothing else.",
    ]
    if attempt.findings:
        lines += ["", "## What was found", ""]
        lines += [f"    {line}" for finding in attempt.findings for line in finding.splitlines()]
    for check in attempt.checks:
        if check.exit_code:
            lines += ["", f"The check `{check.command}` ended with {check.exit_code}:", ""]
            lines += [f"    {line}" for line in check.tail.splitlines() or ["(no output)"]]
    body = origin.task.body if origin.task else ""
    lines += ["", f"## What the task `{origin.id}` was", ""]
    text = "\n".join([*lines, *(f"> {line}".rstrip() for line in body.splitlines()), ""])
    return text.encode()[:_LONGEST_BODY].decode(errors="ignore")


def reject(board: Board, *, task: str, attempt: Attempt, fix: Task | None) -> Change | None:
    """A verdict against the work: its event, and one task that repairs all that was found."""
    entry = holds(board, task, attempt.nonce)
    if entry is None:
        return None
    if cancelled(entry) or done(entry):
        return settle(board, task=task, attempt=attempt, role=Role.VALIDATE)
    made = fix_task(board, entry, attempt, fix)
    files: dict[str, bytes | None] = {layout.claim_path(task): None}
    if made is not None:
        fixer, content = made
        if obstacle(entry):  # put on hold meanwhile: its repair is not begun either
            content = replace(content, hold=True)
        files[layout.task_path(fixer)] = codec.write_task(content)
        attempt = replace(attempt, fixed_by=fixer)
    files.update([_file(_event(entry, Kind.VALIDATE, attempt.nonce[:4], attempt))])
    return Change(
        subject=f"{task}: {attempt.outcome}: {_subject(attempt.reason)}", files=files, tasks=(task,)
    )


def follow_up(board: Board, now: datetime, *, runner: str, suffix: str) -> Change | None:
    """What a runner writes after people: `closed` for a task that a person closed by hand, and
    for those that it repairs. One task a change; None when nothing is due."""
    for entry in board.entries.values():
        if entry.claim is None and (said := entry.last(Kind.CLOSE)) is not None:
            if entry.last(Kind.CLOSED, Kind.LANDED) is not None:
                continue
            by = said.content.by if isinstance(said.content, Said) else ""
            closed = Closed(runner=runner, at=now, reason=f"by hand: {by or 'a person'}")
            files = dict([_file(_event(entry, Kind.CLOSED, suffix, closed))])
            files.update(_close_chain(board, now, entry, runner, suffix))
            return Change(subject=f"{entry.id}: closed", files=files, tasks=(entry.id,))
    return None


# --- what people decide -------------------------------------------------------------------------


def say(
    board: Board, now: datetime, *, task: str, kind: Kind, person: Person, reason: str, suffix: str
) -> Change:
    """A person's decision on a task; FleetError if it makes no sense now."""
    entry = _known(board, task)
    where = standing(board, task, now)
    _refuse(entry, where.status, kind)
    said = Said(at=now, by=str(person), reason=reason)
    files: dict[str, bytes | None] = dict([_file(_event(entry, kind, suffix, said))])
    if kind in _ENDS_REPAIR:
        files.update(_cancel_fixers(board, entry, kind, said, suffix))
    why = f": {_subject(reason)}" if reason else ""
    return Change(
        subject=f"{kind.capitalize()} {task}{why}", files=files, tasks=(task,), author=person
    )


_ENDS_REPAIR: Final = {
    Kind.RETRY: "is tried afresh",
    Kind.CANCEL: "is cancelled",
    Kind.CLOSE: "is closed by hand",
}


def _known(board: Board, task: str) -> Entry:
    entry = board.get(task)
    if entry is not None and is_id(task):
        return entry
    if entry is not None:
        path = layout.task_path(task)
        raise FleetError(f"{path!r} is no name for a task", remedy="rename the file")
    if task in board.archived:
        raise FleetError(
            f"{task} is finished and archived in {board.archived[task]}/",
            remedy="file a new task with `gitfleet add`",
        )
    raise FleetError(f"there is no task {task!r}", remedy="`gitfleet list --all` shows all ids")


def _refuse(entry: Entry, status: Status, kind: Kind) -> None:
    # While an attempt is under way the status tells of that, whatever was decided meanwhile.
    if done(entry) or cancelled(entry):
        over = Status.DONE if done(entry) else Status.CANCELLED
        if kind in (Kind.CANCEL, Kind.CLOSE, Kind.HOLD):
            raise FleetError(f"{entry.id} is {over} already")
    if kind is Kind.RETRY and status in CLAIMED:
        if done(entry) or cancelled(entry):
            raise FleetError(f"an attempt on {entry.id} is just ending", remedy="try again then")
        raise FleetError(
            f"{entry.id} is {status} just now", remedy=f"`gitfleet cancel {entry.id}` first"
        )
    if kind is Kind.RETRY and entry.gone:
        raise FleetError(
            f"the file of {entry.id} was removed",
            remedy=f"put {layout.task_path(entry.id)} back, for example with git revert",
        )
    if kind is Kind.HOLD and _on_hold(entry):
        raise FleetError(f"{entry.id} is on hold already")
    if kind is Kind.RELEASE and not _on_hold(entry):
        raise FleetError(f"{entry.id} is not on hold, it is {status}")


def _on_hold(entry: Entry) -> bool:
    return (entry.task is not None and entry.task.hold) or put_on_hold(entry) is not None


def _cancel_fixers(
    board: Board, entry: Entry, kind: Kind, said: Said, suffix: str
) -> Iterator[tuple[str, bytes]]:
    """Cancel the open task that repairs work nobody wants any more: it would land that work."""
    for other in board.entries.values():
        below = other.task is not None and any(
            above.id == entry.id for above in chain(board, other)
        )
        if below and not (done(other) or cancelled(other)):
            why = replace(said, reason=f"{entry.id} {_ENDS_REPAIR[kind]}")
            yield _file(_event(other, Kind.CANCEL, suffix, why))


def release(
    board: Board, now: datetime, *, task: str, text: bytes, person: Person, suffix: str
) -> Change:
    """Take a task off hold: the line `hold: true` of its file goes, or a `release` is written."""
    entry = _known(board, task)
    files: dict[str, bytes | None] = {}
    if entry.task is not None and entry.task.hold:
        files[layout.task_path(task)] = codec.set_key(text, "hold", None)
    if not files or put_on_hold(entry):
        said = say(
            board, now, task=task, kind=Kind.RELEASE, person=person, reason="", suffix=suffix
        )
        files.update(said.files)
    return Change(subject=f"Release {task}", files=files, tasks=(task,), author=person)


def add(board: Board, *, addition: Addition, suffixes: Sequence[str], person: Person) -> Change:
    """A new task by a person: under the id it wants, or FleetError if that is taken."""
    wanted = addition.id
    if not wanted:
        task, _ = codec.read_task(addition.text, layout.task_path("new"))
        title = task.title if task else "task"
        wanted = next(i for s in suffixes if not board.taken(i := new_id(title, s)))
    elif board.taken(wanted):
        raise FleetError(f"the id {wanted} is taken", remedy="choose another with --id")
    path = layout.task_path(wanted)
    task, problems = codec.read_task(addition.text, path)
    if task is None:
        raise FleetError(problems[0].what, where=problems[0].where, remedy=problems[0].remedy)
    return Change(
        subject=f"Add {wanted}: {_subject(task.title)}",
        files={path: addition.text},
        tasks=(wanted,),
        author=person,
    )


# --- what agents file ---------------------------------------------------------------------------


def _added(
    board: Board, source: str, addition: Addition, others: Mapping[str, bytes | None]
) -> Iterator[tuple[str, bytes]]:
    """A task from an outbox, once: the key in its file tells whether it is there already."""
    text = codec.set_key(addition.text, "discovered_from", codec.scalar(source))
    text = codec.set_key(text, "outbox", codec.scalar(addition.key))
    if _present(board, addition.key) or text in others.values():
        return
    wanted = addition.id if is_id(addition.id) else slug(addition.id)
    if board.taken(wanted) or layout.task_path(wanted) in others:
        wanted = f"{wanted[:56]}-{addition.key[:6]}"
    if board.taken(wanted) or layout.task_path(wanted) in others:
        return
    yield layout.task_path(wanted), text


def _present(board: Board, key: str) -> bool:
    return any(
        entry.task is not None and entry.task.outbox == key for entry in board.entries.values()
    )


def file_additions(
    board: Board, *, task: str, nonce: str, additions: Sequence[Addition]
) -> Change | None:
    """Tasks an agent came across while working; None if all are there, or its claim is gone."""
    entry = holds(board, task, nonce)
    if entry is None:
        return None
    files: dict[str, bytes | None] = {}
    for addition in additions:
        files.update(_added(board, task, addition, files))
    if not files:
        return None
    names = ", ".join(layout.place(path).task for path in files)
    return Change(subject=f"{task} came across {names}", files=files, tasks=(task,))


def is_plan(entry: Entry) -> bool:
    """Whether the task's result is more tasks. What was submitted says so; a person may have
    changed the file since, and code that was submitted must not be taken for a plan."""
    submitted = submission_of(entry)
    if submitted is not None:
        return submitted.kind is Kind.PLAN
    return entry.task is not None and entry.task.role is TaskRole.PLAN


def interrupted(claim: Claim, now: datetime, outcome: Outcome, reason: str, runner: str) -> Attempt:
    """The event of an attempt of which nothing is left but its claim."""
    return Attempt(
        runner=runner,
        nonce=claim.nonce,
        attempt=claim.attempt,
        outcome=outcome,
        reason=reason,
        started=claim.at,
        ended=now,
        coder=claim.coder,
        model=claim.model,
        task_blob=claim.task_blob,
        base=claim.base,
        head=claim.head,
        branch=claim.branch,
    )
