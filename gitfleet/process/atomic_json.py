"""Small JSON files that a reader, or a crash, finds complete or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path


def write(path: Path, content: Mapping[str, object], *, durable: bool = True) -> None:
    """Write path in one step; each path has one writer. `durable`: survives a power cut."""
    aside = path.with_name(f".{path.name}.new")
    try:
        # 0600: other users must not see how a coder is started.
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read(path: Path) -> dict[str, object]:
    """The object in path; empty if the file is missing or cannot be parsed."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
