"""What lies outside the package reaches whoever installs the wheel."""

from __future__ import annotations

import configparser
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("schemas", "hooks", ".fleet-example", "docs")
_BUILD = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
_ASK = """\
import json, sys
sys.path.insert(0, sys.argv[1])
import gitfleet.assets
found = {name: str(gitfleet.assets.folder(name)) for name in sys.argv[2:]}
print(json.dumps({"package": gitfleet.__file__, **found}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    place = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-c", _BUILD, str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return place / built.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """A folder as site-packages is after the wheel was installed: a wheel is unpacked, no more."""
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(wheel.parent / "site")
    return wheel.parent / "site"


@pytest.fixture(scope="module")
def bin(wheel: Path) -> Path:
    """The folder of programs of an environment in which the wheel is installed, by itself."""
    place = wheel.parent / "environment"
    venv.create(place, with_pip=False, symlinks=True)
    pip = (sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "-q", "install")
    done = subprocess.run(
        [*pip, "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return place / "bin"


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", SHIPPED)
def test_a_wheel_carries_what_lies_outside_the_package(site: Path, name: str) -> None:
    """Every file of the folder is in the wheel, byte for byte, and there is at least one."""
    source = _files(ROOT / name)
    assert source
    assert _files(site / "gitfleet" / "_assets" / name) == source


def test_an_installed_package_finds_its_own_assets(site: Path) -> None:
    """`assets.folder` leads into the installed package, not to a source tree that is near."""
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", _ASK, str(site), *SHIPPED],
        cwd=site,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert Path(found.pop("package")).is_relative_to(site)
    assert found == {name: str(site / "gitfleet" / "_assets" / name) for name in SHIPPED}


def test_a_wheel_carries_the_prompts(site: Path) -> None:
    """Those that are in force where a board has none of its own."""
    shipped = _files(ROOT / "gitfleet" / "_assets" / "prompts")
    assert set(shipped) == {"work.md", "validate.md", "plan.md"}
    assert _files(site / "gitfleet" / "_assets" / "prompts") == shipped


def test_both_commands_are_installed(site: Path) -> None:
    """`gitfleet`, and `git-fleet`, by which git knows `git fleet`, are one and the same."""
    (path,) = site.glob("git_fleet-*.dist-info/entry_points.txt")
    parser = configparser.ConfigParser()
    parser.read(path)
    commands = dict(parser["console_scripts"])
    assert commands == dict.fromkeys(("gitfleet", "git-fleet"), "gitfleet.cli.main:main")


def test_a_wheel_carries_no_tests_and_no_leftovers(site: Path) -> None:
    """Nothing but the package and its description is installed."""
    assert {path.name.partition("-")[0] for path in site.iterdir()} == {"gitfleet", "git_fleet"}
    assert not [path for path in site.rglob("__pycache__") if any(path.iterdir())]


def _says(bin: Path, *argv: str) -> str:
    """What a command prints that finds the environment first on PATH, as a person's shell does."""
    here = {"PATH": f"{bin}:{os.environ['PATH']}", "MANPAGER": "cat", "MANWIDTH": "80"}
    env = {name: value for name, value in os.environ.items() if name != "MANPATH"} | here
    done = subprocess.run(argv, env=env, cwd=bin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ("git", "fleet", "--help"),
        ("man", "git-fleet"),
        ("man", "gitfleet"),
    ],
    ids=" ".join,
)
@pytest.mark.slow
def test_an_installed_wheel_has_a_man_page(bin: Path, argv: tuple[str, ...]) -> None:
    """git hands `--help` to man, and man finds the page beside the program."""
    if shutil.which("man") is None or "minimized" in _says(bin, "man", "-w"):
        pytest.skip("man is not installed (apt install man-db)")
    said = _says(bin, *argv)
    for words in ("run a fleet of coding agents", "gitfleet run [OPTIONS]", "--until-idle"):
        assert words in " ".join(said.split())
