"""Read the end of a file that a run wrote."""

from __future__ import annotations

import os
from pathlib import Path


def end_of(path: Path, limit: int) -> str:
    """The last `limit` bytes of a file as text, from the start of a line where there is one.

    Empty if there is no such file.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - limit, 0)
            file.seek(max(start - 1, 0))
            content = file.read(limit + 1 if start else limit)
    except FileNotFoundError:
        return ""
    if start:
        # The byte before shows whether a line starts exactly here.
        line = content.find(b"\n") + 1
        if 0 < line < len(content):
            content = content[line:]
        else:  # one long line: start at least with a whole character (UTF-8 continues in 10xxxxxx)
            content = content[1:]
            for _ in range(3):
                if content and content[0] & 0xC0 == 0x80:
                    content = content[1:]
    return content.decode(errors="replace")
