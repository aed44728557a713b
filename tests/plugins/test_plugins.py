"""Which plugins are found, and that none is imported that the machine does not list."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gitfleet import plugins
from gitfleet.coders import claude, registry
from gitfleet.errors import FleetError
from gitfleet.forges import github
from gitfleet.forges import registry as forges
from gitfleet.model.config import CoderSettings
from gitfleet.plugins import PluginKind
from tests.plugins.kit import distribution, spy

_CODERS = PluginKind.CODER.group


def _spy(site: Path, name: str = "spy", distribution_name: str = "gitfleet-spy") -> Path:
    """Install a coder that leaves a mark when it is imported; the mark."""
    mark = site / f"{name}-imported"
    distribution(
        site, distribution_name, {_CODERS: {name: "spymod:PLUG"}}, {"spymod.py": spy(mark, name)}
    )
    return mark


def test_a_name_imports_nothing_that_the_machine_does_not_list(site: Path) -> None:
    """The error names the distribution and the list, from its metadata alone."""
    mark = _spy(site)
    for listed in ((), ("other",), ("spymod",), ("SPY",)):
        assert registry.find("spy", {}, listed) is None
        why = registry.absence("spy", {}, listed)
        assert why is not None and "gitfleet-spy 1.0" in why.what and "plugins:" in why.remedy
    assert not mark.exists()


@pytest.mark.parametrize("listed", ["spy", "gitfleet-spy", "Gitfleet.Spy", "gitfleet_spy"])
def test_a_list_names_a_plugin_or_its_distribution(site: Path, listed: str) -> None:
    """A distribution by any spelling that pip takes for the same."""
    mark = _spy(site)
    coder = registry.find("spy", {}, (listed,))
    assert coder is not None and coder.name == "spy" and mark.exists()
    assert registry.absence("spy", {}, (listed,)) is None


def test_no_plugin_takes_a_name_of_gitfleets_own(site: Path) -> None:
    """Not even one that is listed: neither a coder's with code, nor a described one's, nor a
    forge's."""
    mark = _spy(site, "claude")
    distribution(
        site, "gitfleet-hub", {PluginKind.FORGE.group: {"github": "spymod:PLUG"}}, modules={}
    )
    listed = ("claude", "github", "gitfleet-spy", "gitfleet-hub")
    assert registry.find("claude", {}, listed) is claude.CODER
    assert forges.find("github", listed) is github.FORGE
    described = {"mine": CoderSettings(argv=("true",))}
    distribution(site, "gitfleet-mine", {_CODERS: {"mine": "spymod:PLUG"}}, modules={})
    plugins.installed.cache_clear()
    mine = registry.find("mine", described, ("mine",))
    assert mine is not None and mine.launch is not None and not mark.exists()


def test_two_distributions_with_one_name_are_refused_until_one_is_listed(site: Path) -> None:
    """Neither is imported before that: the owner may have meant the other one."""
    mark = _spy(site)
    distribution(site, "other-spy", {_CODERS: {"spy": "nowhere:PLUG"}}, modules={}, version="2")
    why = registry.absence("spy", {}, ("spy",))
    assert why is not None and "gitfleet-spy 1.0, other-spy 2" in why.what
    assert not mark.exists()
    assert registry.find("spy", {}, ("gitfleet-spy",)) is not None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import nothing_of_that_name", "cannot be imported: ModuleNotFoundError"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("class Odd(BaseException): pass\nraise Odd(3)", "cannot be imported: Odd: 3"),
        ("PLUG = print", r"\(bad:PLUG\) is a builtin_function_or_method, not a Coder"),
        ("OTHER = 1", "cannot be imported: AttributeError"),
        (spy(Path("/dev/null"), "another"), "names its coder 'another'"),
        (
            "from gitfleet.coders.base import Coder\nPLUG = Coder('bad', 1, 2, 3, 4)",
            "has a name, a program or versions",
        ),
    ],
)
def test_a_broken_plugin_is_an_error_that_names_it(site: Path, text: str, what: str) -> None:
    """Whatever it does while it is imported; and it is not tried again in this process."""
    distribution(site, "gitfleet-bad", {_CODERS: {"bad": "bad:PLUG"}}, {"bad.py": text})
    assert registry.find("bad", {}, ("bad",)) is None
    why = registry.absence("bad", {}, ("bad",))
    assert why is not None
    with pytest.raises(FleetError, match=rf"the plugin bad \(gitfleet-bad 1\.0\) .*{what}"):
        raise why
    assert "gitfleet plugins" in why.remedy


def test_broken_metadata_is_an_error_and_no_crash(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any distribution, as the look goes over all of them."""
    _spy(site)
    about = next(site.glob("*.dist-info"))
    (about / "entry_points.txt").write_bytes(b"[gitfleet.coders]\nspy = \xff\n")
    why = registry.absence("spy", {}, ("spy",))
    assert why is not None and "metadata" in why.what


def test_a_name_that_is_known_here_costs_no_look_at_metadata() -> None:
    """The verbs start as fast as ever."""
    code = (
        "import sys; from gitfleet.coders import registry; registry.find('claude', {});"
        "registry.absence('shell', {}); sys.exit('importlib.metadata' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_persons_interrupt_passes_a_plugins_guard(site: Path) -> None:
    """Ctrl-C in the main thread ends the command; in any other thread nobody has pressed it."""
    _spy(site)
    plugin = plugins.find(PluginKind.CODER, "spy", ("spy",))
    assert plugin is not None

    def interrupted() -> None:
        raise KeyboardInterrupt

    guard = plugins.guarded(plugin, "launch", interrupted, Any)
    with pytest.raises(KeyboardInterrupt):
        guard()
    with ThreadPoolExecutor(1) as pool, pytest.raises(FleetError, match="KeyboardInterrupt"):
        pool.submit(guard).result()
