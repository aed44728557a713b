"""Draws the table of modules in docs/architecture.md from their docstrings.

`python -m tests.module_map` writes it; tests/test_architecture.py holds it current.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "architecture.md"
BEGIN: Final = "<!-- modules: python -m tests.module_map -->\n"
END: Final = "<!-- end of modules -->\n"


def table() -> str:
    """Every module with the first sentence of its docstring, a table for each package."""
    folders: dict[str, list[Path]] = {}
    for path in sorted((ROOT / "gitfleet").rglob("*.py")):
        if path.name != "__init__.py":
            folders.setdefault(path.parent.relative_to(ROOT).as_posix(), []).append(path)
    return "\n".join(
        line for folder in sorted(folders) for line in _package(folder, folders[folder])
    )


def _package(folder: str, paths: list[Path]) -> Iterator[str]:
    yield from (f"### `{folder}/`", "", "| module | |", "|---|---|")
    for path in paths:
        yield f"| `{path.stem}` | {_sentence(path)} |"
    yield ""


def _sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s+(?=[A-Z])", paragraph, maxsplit=1)[0].replace("|", "\\|")


def drawn(page: str) -> str:
    """The page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
