"""Where the pinned command line coders are: in $GITFLEET_CLIS, else in the cache (.ci/clis)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

_CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
# Looked up when this is imported: tests have another environment, and another home.
_CLIS: Final = Path(os.environ.get("GITFLEET_CLIS") or _CACHE / "gitfleet-ci" / "clis")


class Cli(NamedTuple):
    """One pinned coder. `program` is there if `installed`."""

    name: str
    version: str
    program: Path

    @property
    def installed(self) -> bool:
        """Whether .ci/clis came to the end of it."""
        return (self.program.parent.parent / "installed").exists()


def _pinned() -> Iterator[Cli]:
    for line in Path(__file__).with_name("pinned.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, _, _, version = line.split()
            yield Cli(name, version, _CLIS / f"{name}-{version}" / "bin" / name)


PINNED: Final = {cli.name: cli for cli in _pinned()}


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test where one of these coders is not installed."""
    lacking = [name for name in names if not PINNED[name].installed]
    reason = f"not installed in {_CLIS} (.ci/clis does it): {', '.join(lacking)}"
    return pytest.mark.skipif(bool(lacking), reason=reason)
