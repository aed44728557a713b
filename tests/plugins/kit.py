"""Distributions as pip leaves them in a folder, and a machine that lists their plugins."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gitfleet.files import yaml

# A module that leaves a mark when it is imported, and is a coder nevertheless.
SPY: Final = """\
import pathlib
from gitfleet.coders.base import Coder, Launch, judge_exit, text_reader
pathlib.Path({mark!r}).write_text("imported")
PLUG = Coder(
    {name!r},
    program="true",
    launch=lambda job: Launch(argv=("true",)),
    reader=text_reader,
    judge=judge_exit,
    speaks=False,
)
"""


def spy(mark: Path, name: str = "spy") -> str:
    """The text of a coder's module that writes `mark` when it is imported."""
    return SPY.format(mark=str(mark), name=name)


def distribution(
    folder: Path,
    name: str,
    points: Mapping[str, Mapping[str, str]],
    modules: Mapping[str, str],
    version: str = "1.0",
) -> None:
    """Put a distribution into `folder`: entry points by their group, modules by their file."""
    about = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, targets in points.items():
        lines += [f"[{group}]", *(f"{plug} = {target}" for plug, target in targets.items())]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for file, text in modules.items():
        (folder / file).write_text(text)


def machine(**settings: object) -> None:
    """Write the settings of this machine."""
    folder = Path(os.environ["XDG_CONFIG_HOME"]) / "gitfleet"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_bytes(yaml.dump(settings))
