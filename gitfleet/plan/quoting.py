"""Text of others inside a prompt: fenced, so that it is read as data and cannot leave its fence."""

from __future__ import annotations

import re
from typing import Final

from gitfleet.event_log import UNSAFE

_SHORTEST: Final = 4  # backticks; text that knows only of three is not even tempted
_RUN: Final = re.compile("`+")
# Colours and the like go as a whole: what they leave behind would only disturb.
_SEQUENCE: Final = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?)")


def plain(text: str) -> str:
    """The same without control characters, and with line ends as in files."""
    text = _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return UNSAFE.sub("", text)


def line(text: str) -> str:
    """The same in one line."""
    return " ".join(plain(text).split())


def shortened(text: str, most: int) -> str:
    """Text of at most `most` characters, and a line of ours where its middle was left out: the
    end tells most, the beginning what it is about."""
    if len(text) <= most:
        return text
    head = most // 4
    left = len(text) - most
    tail = text[len(text) - (most - head) :]
    return f"{text[:head]}\n[… {left} characters are left out here …]\n{tail}"


def fenced(text: str, most: int, kind: str = "data") -> str:
    """Text between two lines of backticks, more of them than it has in a row anywhere."""
    inside = shortened(plain(text), most).strip("\n")
    fence = "`" * max([_SHORTEST, *(len(run) + 1 for run in _RUN.findall(inside))])
    return f"{fence}{kind}\n{inside}\n{fence}"
