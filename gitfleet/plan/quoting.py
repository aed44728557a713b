"""Text of others inside a prompt: fenced, so that it reads as data and cannot leave its fence."""

from __future__ import annotations

import re
from typing import Final

from gitfleet.event_log import UNSAFE

_SHORTEST: Final = 4  # backticks; more than the three that most text uses
_RUN: Final = re.compile("`+")
# Remove whole colour codes: their remains would only disturb.
_SEQUENCE: Final = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?)")


def plain(text: str) -> str:
    """The text without control characters, and with Unix line ends."""
    text = _SEQUENCE.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return UNSAFE.sub("", text)


def line(text: str) -> str:
    """The same in one line."""
    return " ".join(plain(text).split())


def shortened(text: str, most: int) -> str:
    """At most `most` characters of a text, with a line in place of its middle:

    the end says most, the start what it is about.
    """
    if len(text) <= most:
        return text
    head = most // 4
    left = len(text) - most
    tail = text[len(text) - (most - head) :]
    return f"{text[:head]}\n[… {left} characters are left out here …]\n{tail}"


def fenced(text: str, most: int, kind: str = "data") -> str:
    """Text between two lines of backticks, more of them than it contains in a row."""
    inside = shortened(plain(text), most).strip("\n")
    fence = "`" * max([_SHORTEST, *(len(run) + 1 for run in _RUN.findall(inside))])
    return f"{fence}{kind}\n{inside}\n{fence}"
