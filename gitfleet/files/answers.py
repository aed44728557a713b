"""Put an answer into a question's file without touching its other text."""

from __future__ import annotations

from typing import Final, NamedTuple

from gitfleet.errors import FleetError
from gitfleet.files import codec, layout

HEADING: Final = "## Answer"
HINT: Final = "<!-- Write the answer below this line, then commit and merge. -->"


def with_heading(data: bytes) -> bytes:
    """The question with an empty place for its answer; the same bytes if it has one."""
    return data if has_heading(data) else _joined(data, f"{HEADING}\n{HINT}\n")


def has_heading(data: bytes) -> bool:
    """Whether a question's file has a line `## Answer`, with text below it or not."""
    return any(line.strip() == HEADING for line in _text(data).splitlines())


def answered(data: bytes, text: str) -> bytes:
    """The open question with its answer."""
    text = _closed(text)
    whole = _text(data)
    lines = whole.splitlines()
    at = next((i for i, line in enumerate(lines) if line.strip() == HEADING), None)
    body = text.strip("\n")
    if at is None:
        return _limited(_joined(data, f"{HEADING}\n{body}\n"))
    # Below the heading only comments can be, or it would not be open; ours are removed.
    kept = [line for line in lines[at + 1 :] if line.strip() not in ("", HINT)]
    return _limited("\n".join([*lines[: at + 1], body, *kept, ""]).encode())


def remarked(data: bytes, text: str, by: str) -> bytes:
    """The answered question with another answer under it, as a comment: the first one counts."""
    # The text must not end the comment, or start one inside it.
    plain = text.strip().replace("--", "- -")
    who = by.replace("--", "- -")
    made = _joined(data, f"<!-- {who} answered later:\n{plain}\n-->\n")
    if _answer(made) != _answer(data):  # an unclosed comment in it would end with ours
        raise FleetError(
            "the answer has an unclosed comment `<!--`, so nothing can be added below it",
            remedy="Close it in the question's file on the board.",
        )
    return _limited(made)


class United(NamedTuple):
    """One file of two versions of a question. `late`: another answer came first."""

    data: bytes
    late: bool


def united(here: bytes, theirs: bytes, path: str, by: str) -> United | None:
    """One file of two versions of a question: the board's, and one answered elsewhere.

    None if theirs brings no answer that the board lacks, or if no file can hold both.
    """
    mine, _ = codec.read_question(here, path)
    other, _ = codec.read_question(theirs, path)
    if mine is None or other is None or other.open or other.answer == mine.answer:
        return None
    try:
        if mine.open:
            return United(answered(here, other.answer), late=False)
        made = remarked(here, other.answer, by)
    except FleetError:
        return None
    # Text from an earlier merge (it is repeated when the board has moved) is not added twice.
    comment = made[len(here) :].strip()
    return None if comment in here else United(made, late=True)


def _answer(data: bytes) -> str:
    return codec.split_answer(_text(data))[1]


def _text(data: bytes) -> str:
    return codec.decode(data, "")[0]


def _closed(text: str) -> str:
    """The text with open comments closed, so that they do not hide text added below."""
    head, mark, tail = text.rpartition("<!--")
    return f"{head}<! --{tail}" if mark and "-->" not in tail else text


def _joined(data: bytes, more: str) -> bytes:
    whole = _text(data)
    return (whole.rstrip("\n") + "\n\n" + more).encode()


def _limited(data: bytes) -> bytes:
    if len(data) > layout.LARGEST:
        raise FleetError(
            f"with this answer the question's file is larger than {layout.LARGEST // 1024} KiB",
            remedy="Shorten it, or move most of it to a file in the project.",
        )
    return data
