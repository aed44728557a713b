"""docs/coders.md tells what the tests hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from gitfleet.coders import registry
from gitfleet.files import codec
from gitfleet.model.config import Settings
from gitfleet.model.states import Failure
from gitfleet.plan.outcome import OF_FAILURE
from tests.coders.replay import coder_of
from tests.coders.table import written

_PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "coders.md"


def test_the_table_is_the_one_that_the_tests_draw() -> None:
    """Otherwise: python -m tests.coders.table docs/coders.md"""
    page = _PAGE.read_text()
    assert page == written(page), "python -m tests.coders.table docs/coders.md"


def test_every_coder_and_every_known_version_is_told() -> None:
    """With how it is installed, and what it can."""
    page, _, _ = _PAGE.read_text().partition("\n## ")
    for name in registry.MODULES:
        coder = coder_of(name)
        (row,) = re.findall(rf"^\| `{name}` \|.*$", page, re.MULTILINE)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert all(version in cells[3] for version in coder.versions), name
        assert (cells[4] == "yes") is coder.resumes and (cells[5] == "yes") is coder.mcp, name


def test_every_failure_is_told_with_its_outcome() -> None:
    """So that a person finds what stands on the board."""
    page = _PAGE.read_text().partition("## How an end is judged")[2]
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    for failure in Failure:
        (row,) = (row for row in rows if f"`{failure}`" in row.split("|")[1])
        assert f"`{OF_FAILURE[failure]}`" in row.split("|")[2], failure


def test_every_block_can_be_pasted() -> None:
    """What the page shows as fleet.yaml is one, also with its other lines."""
    blocks = re.findall(r"```yaml\n(.*?)```", _PAGE.read_text(), re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        if "config.yaml" in block:
            continue  # two files side by side
        for text in (block, *_others(block)):
            settings, problems = codec.read_settings(f"format: 2\n{text}".encode())
            assert isinstance(settings, Settings) and not problems, (text, problems)


def _others(block: str) -> list[str]:
    """A block with each of its commented lines in the place of the one that counts."""
    kept = [line for line in block.splitlines() if not re.match(r"  # \w+: \{", line)]
    found = []
    for line in block.splitlines():
        if re.match(r"  # \w+: \{", line):
            own = line.replace("# ", "", 1)
            name = own.split(":")[0]
            found.append("\n".join(own if each.startswith(f"{name}:") else each for each in kept))
    return found
