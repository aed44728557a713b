"""The table in docs/coders.md: coder × situation → outcome, drawn from what the tests expect.

    python -m tests.coders.table docs/coders.md

writes it into the page, between its two marks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tests.coders.expected import CODERS, SITUATIONS

BEGIN: Final = "<!-- drawn by: python -m tests.coders.table docs/coders.md -->"
END: Final = "<!-- end of the table -->"


def drawn() -> str:
    """The table as Markdown."""
    rows = [f"| | {' | '.join(CODERS)} |", f"|---{'|---' * len(CODERS)}|"]
    for situation, verdicts in SITUATIONS.items():
        cells = [_cell(list(verdicts.get(coder, {}))) for coder in CODERS]
        rows.append(f"| {situation} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(verdicts: list[str]) -> str:
    told = dict.fromkeys(_told(verdict) for verdict in verdicts)
    return ", or ".join(told) or "·"


def _told(verdict: str) -> str:
    if verdict.startswith("ok, denied"):
        return "ok, tells what was denied"
    outcome, _, failure = verdict.partition(": ")
    outcome, _, until = outcome.partition(" until ")
    shown = f"`{outcome}`" if outcome != "ok" else outcome
    if failure and failure not in (outcome, "auth"):
        shown += f" ({failure})"
    return f"{shown}, until then" if until else shown


def written(page: str) -> str:
    """A page with the table as it is now."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{drawn()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(written(path.read_text()))
