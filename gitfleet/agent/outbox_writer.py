"""Write tasks and verdicts into the outbox, for programs inside an attempt."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from gitfleet.agent.outbox import VERDICT
from gitfleet.errors import FleetError
from gitfleet.files import codec, layout
from gitfleet.model.ids import ID_HINT, is_id, new_id
from gitfleet.model.task import Task
from gitfleet.model.verdict import Verdict


def task_text(keys: Mapping[str, object], body: str) -> bytes:
    """A task's file with these keys, without those that are None or an empty list."""
    given = {key: value for key, value in keys.items() if value not in (None, [])}
    if body and not body.endswith("\n"):
        body += "\n"
    try:
        return codec.front_matter(given) + body.encode()
    except UnicodeEncodeError:
        raise FleetError("an argument is not UTF-8 text") from None


def checked(text: bytes, task: str) -> Task:
    """The task in a file; FleetError if it is not valid."""
    value, problems = codec.read_task(text, layout.task_path(task))
    if value is None:
        raise FleetError(problems[0].what, remedy=problems[0].remedy)
    return value


def id_wanted(wanted: str | None) -> str | None:
    """The requested id; FleetError if it is not valid."""
    if wanted is not None and not is_id(wanted):
        raise FleetError(f"{wanted!r} is not a valid id", remedy=ID_HINT)
    return wanted


def file_task(box: Path, text: bytes, wanted: str | None) -> str:
    """Put a task into the outbox, written aside and linked: it appears whole or not at all."""
    task = checked(text, wanted or "new")
    # A hash of the text: a repeated attempt files the same task under the same name.
    name = wanted or new_id(task.title, hashlib.sha256(text).hexdigest()[:4])
    aside = box / f".{name}.{os.getpid()}"
    try:
        aside.write_bytes(text)
        os.link(aside, box / f"task-{name}.md")
    except FileExistsError:
        raise FleetError(f"the id {name} is taken", remedy="choose another with --id") from None
    except OSError as error:
        raise _closed(box, error) from error
    finally:
        aside.unlink(missing_ok=True)
    return name


def say_verdict(box: Path, verdict: Verdict) -> None:
    """Put a validator's verdict into its outbox; a later verdict replaces it."""
    data = codec.write(verdict)
    found, problems = codec.read_verdict(data, VERDICT)
    if found is None:
        raise FleetError(problems[0].what, remedy=problems[0].remedy)
    aside = box / f".{VERDICT}.{os.getpid()}"
    try:
        aside.write_bytes(data)
        aside.replace(box / VERDICT)
    except OSError as error:
        raise _closed(box, error) from error


def _closed(box: Path, error: OSError) -> FleetError:
    return FleetError(
        f"cannot write to the outbox {box}: {error.strerror}", remedy="The attempt may be over."
    )


def ruling(verdict: Verdict) -> Verdict:
    """The verdict if it is complete; FleetError for a rejection without findings."""
    if verdict.verdict == "rejected" and not (verdict.reason or verdict.findings or verdict.fix):
        raise FleetError(
            "a rejection needs a finding or a reason",
            remedy="Add --finding (once each) or --reason.",
        )
    return verdict
