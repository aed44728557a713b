"""A forge from another distribution: named on the board, used where the machine lists it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from gitfleet.errors import FleetError
from gitfleet.forges import registry
from gitfleet.model.config import Machine
from gitfleet.plugins import PluginKind
from tests.forges.kit import desk, settings
from tests.plugins.kit import distribution

_GROUP: Final = PluginKind.FORGE.group
_MODULE: Final = """\
import pathlib
from gitfleet.forges import gitea
pathlib.Path({mark!r}).write_text("imported")
def fails(*_args):
    raise ZeroDivisionError("division by zero")
GOOD = gitea.FORGE._replace(kind="acme", api=fails)
WRONG = gitea.FORGE._replace(kind="wrong", tokens=(1,))
ODD = gitea.FORGE._replace(kind="odd", may_write=lambda _desk, _author: "yes")
"""


def _install(site: Path) -> Path:
    mark = site / "forge-imported"
    points = {"acme": "forgemod:GOOD", "wrong": "forgemod:WRONG", "odd": "forgemod:ODD"}
    text = _MODULE.format(mark=str(mark))
    distribution(site, "gitfleet-acme", {_GROUP: points}, {"forgemod.py": text})
    return mark


def test_a_board_names_only_a_forge_that_the_machine_lists(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the publisher says why it waits, and imports nothing; listed, it is asked, and what
    fails in it is told by its name."""
    mark = _install(site)
    monkeypatch.setenv("GITEA_TOKEN", "t0ken-of-the-forge")
    text = "forge: {kind: acme, base_url: 'http://127.0.0.1:9', repository: ada/walks}"
    with desk(tmp_path, text) as place:
        place.ask()
        with place.publisher() as made:
            assert not made.service.attempt() and not made.able
        assert "gitfleet-acme 1.0" in place.lines[-1] and "does not list" in place.lines[-1]
        assert " forge-delayed " in place.lines[-1] and not mark.exists()
        place.fleet = replace(place.fleet, machine=Machine(plugins=("acme",)))
        with place.publisher() as made:
            assert not made.service.attempt() and made.able
        assert mark.exists()
        assert "the plugin acme (gitfleet-acme 1.0) failed in `api`: Zero" in place.lines[-1]


def test_a_forge_with_wrong_fields_or_results_is_an_error_that_names_it(site: Path) -> None:
    """A right to write is True or False, and nothing that only looks like it."""
    _install(site)
    with pytest.raises(FleetError, match=r"the plugin wrong \(gitfleet-acme 1\.0\) has wrong fie"):
        registry.find("wrong", ("wrong",))
    odd = registry.find("odd", ("odd",))
    with pytest.raises(FleetError, match="failed in `may_write`: ValidationError"):
        odd.may_write(None, None)  # type: ignore[arg-type]  # it looks at neither


def test_an_unknown_kind_stays_a_name_in_the_settings(tmp_path: Path) -> None:
    """A board with it is valid, with or without the plugin, so that other machines may use it."""
    with desk(tmp_path, "") as place:
        options = "{team: walks, deep: {list: [1, true, x]}}"
        place.write({"fleet.yaml": settings(f"forge: {{kind: acme, options: {options}}}")})
        board = place.fleet.store.board()
        assert not board.settings_problems and board.settings.forge is not None
        assert board.settings.forge.kind == "acme" and not board.settings.forge.by_hand
        deep = {"list": [1, True, "x"]}
        assert board.settings.forge.options == {"team": "walks", "deep": deep}
