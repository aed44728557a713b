"""Files shipped with the package: schemas, hooks, documentation, prompts and the like.

In a wheel they are in `gitfleet/_assets`. In a source tree, those for people are at the top of the
repository, and the rest is where it is in the wheel.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent
_SHIPPED: Final = _PACKAGE / "_assets"


def folder(name: str) -> Path:
    """The folder of that name: `schemas`, `hooks`, `docs`, `prompts` …"""
    shipped = _SHIPPED / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name


def own_version() -> str:
    """The version of the installed distribution."""
    # Imported here on purpose: it takes a tenth of a verb's start-up time.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("git-fleet")
    except PackageNotFoundError:
        return "unknown"
