"""The names in an attempt's run directory."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

import gitfleet
from gitfleet.run_dir import OUTPUT, RunDir

_PACKAGE: Final = Path(gitfleet.__path__[0])
# Other modules know none of these as text. (`stdout` and `inbox` are words of many things.)
_NAMES: Final = frozenset(
    {"child.json", "exit.json", "spec.json", "lease.json", "attempt.json", "shim.txt"}
    | {"prompt.md", "stdout.pace"}
)


def _texts(path: Path) -> set[object]:
    return {
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
    }


def test_no_other_module_spells_a_name_out() -> None:
    """So that a name can be changed in one place, and is found from there."""
    found = {path: _texts(path) & _NAMES for path in _PACKAGE.rglob("*.py")}
    spelt = {str(path.relative_to(_PACKAGE)): names for path, names in found.items() if names}
    assert set(spelt) == {"run_dir.py"}


def test_outputs_are_known_by_their_names() -> None:
    """Those of the coder, of set-ups and of checks; not those of an earlier coder, nor others."""
    run_dir = RunDir(Path("run"))
    for kind in ("setup", "check", "target"):
        files = run_dir.command(kind, 12)
        for path, stream in ((files.stdout, "stdout"), (files.stderr, "stderr")):
            found = OUTPUT.fullmatch(path.name)
            assert found is not None and found.groups() == (kind, "12", stream)
    found = OUTPUT.fullmatch(run_dir.stdout.name)
    assert found is not None and found.groups() == (None, None, "stdout")
    for name in ("1.stdout", "other-1.stdout", "stdout.pace", "check-1.exit.json", "stdout\n"):
        assert OUTPUT.fullmatch(name) is None


def test_what_a_coder_left_goes_aside_under_the_next_number(tmp_path: Path) -> None:
    """The files of the attempt stay; missing files are skipped."""
    run_dir = RunDir(tmp_path)
    for number in (1, 2):
        run_dir.stdout.write_text(f"coder {number}")
        run_dir.exit.write_text("{}")
        run_dir.prompt.write_text("Do it.")
        run_dir.set_aside()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "1.exit.json",
        "1.stdout",
        "2.exit.json",
        "2.stdout",
        "prompt.md",
    ]
    assert (tmp_path / "2.stdout").read_text() == "coder 2"


def test_a_supervisor_imports_nothing_but_the_standard_library() -> None:
    """It knows the names from the same module, without the packages that gitfleet needs, and
    without `dataclasses`, which would cost each of them a megabyte."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import gitfleet.process.supervisor;"
        "print(*sorted(name for name in sys.modules"
        " if name.split('.')[0] not in {*sys.stdlib_module_names, '__main__'}"
        " or name == 'dataclasses'))"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(_PACKAGE.parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = done.stdout.split()
    assert "gitfleet.run_dir" in found
    assert {name.partition(".")[0] for name in found} == {"gitfleet"}
