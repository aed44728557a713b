"""Read an agent's outbox: tasks and a verdict, treated as data from a stranger.

    task-<id>.md    a task it came across, or a part of its plan
    verdict.yaml    a validator's verdict
    question-….md   a question (attempt.mailbox, like the files below)
    note-….md       its plan, and what it learned
    progress.txt    its current progress

A file is written under a name that starts with a dot and then renamed. An unreadable file is set
aside with the reason, and the attempt continues.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gitfleet.files import codec, layout
from gitfleet.model.ids import ID_HINT, is_id
from gitfleet.model.secrets import Mask
from gitfleet.model.verdict import Verdict
from gitfleet.plan.transitions.add_tasks import Addition

VERDICT: Final = "verdict.yaml"
_TASK: Final = "task-"
_MOST: Final = 200  # files of one attempt


class FiledTask(Struct, frozen=True):
    """One task from an outbox, and the file it came in."""

    path: Path
    addition: Addition


class RejectedFile(Struct, frozen=True):
    """A file in the outbox that cannot be parsed."""

    path: Path
    reason: str


def tasks(box: Path, source: str) -> Iterator[FiledTask | RejectedFile]:
    """The tasks in an outbox of work on the task `source`, in the order of their names."""
    names = sorted(p.name for p in files(box) if p.name.startswith(_TASK))
    for name in names[:_MOST]:
        path = box / name
        data = read(path)
        if data is None:
            yield RejectedFile(path, "not a plain file of at most 256 KiB")
            continue
        yield _filed_task(path, data, source)


def _filed_task(path: Path, data: bytes, source: str) -> FiledTask | RejectedFile:
    task = path.name.removeprefix(_TASK).removesuffix(".md")
    if not path.name.endswith(".md") or not is_id(task):
        return RejectedFile(path, f"the name must be task-<id>.md, the id {ID_HINT}")
    value, problems = codec.read_task(data, layout.task_path(task))
    if value is None:
        return RejectedFile(path, str(problems[0]))
    if value.fixes or value.outbox or value.discovered_from:
        return RejectedFile(path, "fixes, outbox and discovered_from are written by gitfleet")
    text, _ = codec.decode(data, str(path))
    # Not from the attempt: a repeated attempt, after its runner died, files the same tasks.
    key = hashlib.sha256(f"{source}/{path.name}/{text}".encode()).hexdigest()[:16]
    return FiledTask(path, Addition(text=text.encode(), id=task, key=key))


def masked(mask: Mask, filed: FiledTask | RejectedFile) -> FiledTask | RejectedFile:
    """The same without secrets; refused if the name itself contains one."""
    if isinstance(filed, RejectedFile):
        return RejectedFile(filed.path, mask.text(filed.reason))
    addition = filed.addition
    if mask.text(addition.id) != addition.id:
        return RejectedFile(filed.path, "its name contains a secret")
    return replace(filed, addition=replace(addition, text=mask.bytes(addition.text)))


def verdict(box: Path) -> tuple[Verdict | None, str]:
    """The verdict in an outbox; without one, None and the reason."""
    path = box / VERDICT
    if not path.is_symlink() and not path.exists():
        return None, "it gave no verdict"
    data = read(path)
    if data is None:
        return None, "its verdict is not a plain file of at most 256 KiB"
    found, problems = codec.read_verdict(data, VERDICT)
    return found, str(problems[0]) if problems else ""


def forget_verdict(box: Path) -> None:
    """Remove an earlier verdict, which was about other work."""
    with contextlib.suppress(OSError):  # a folder of that name is not a verdict
        (box / VERDICT).unlink()


def set_aside(filed: RejectedFile) -> None:
    """Move an unreadable file beside the outbox, with the reason.

    A file that cannot be moved stays: an agent must not be able to end its attempt that way.
    """
    folder = filed.path.parent.parent / "refused"
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        goal = Path(tempfile.mkdtemp(dir=folder))
        (goal / "reason.txt").write_text(filed.reason + "\n")
        filed.path.replace(goal / filed.path.name)


def take_out(filed: FiledTask) -> None:
    """Remove a file whose content is on the board now."""
    with contextlib.suppress(OSError):  # the board recognises a repetition by its key
        filed.path.unlink()


def files(box: Path) -> Iterator[Path]:
    """The finished files in an outbox; none if there is no outbox."""
    try:
        yield from (path for path in box.iterdir() if not path.name.startswith("."))
    except OSError:  # an agent removed it, or replaced it
        return


def read(path: Path) -> bytes | None:
    """The bytes of a plain file, not a link and not too large."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    about = os.fstat(fd)
    if not stat.S_ISREG(about.st_mode) or about.st_size > layout.LARGEST:
        os.close(fd)
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read(layout.LARGEST)
