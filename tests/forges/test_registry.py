"""Which forge a board means, and where its token comes from."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gitfleet.errors import FleetError
from gitfleet.forges import registry
from gitfleet.forges.base import Site
from gitfleet.forges.http_client import Secret
from gitfleet.model.config import ForgeKind, ForgeSettings


@pytest.mark.parametrize(
    ("remote", "kind", "base", "repository"),
    [
        ("https://github.com/ada/walks.git", "github", "https://github.com", "ada/walks"),
        ("git@github.com:ada/walks.git", "github", "https://github.com", "ada/walks"),
        ("ssh://git@github.com/ada/walks", "github", "https://github.com", "ada/walks"),
        (
            "https://***@gitlab.com/group/sub/walks.git/",
            "gitlab",
            "https://gitlab.com",
            "group/sub/walks",
        ),
        ("git@codeberg.org:ada/walks.git", "gitea", "https://codeberg.org", "ada/walks"),
        (
            "ssh://git@gitea.example.org:2222/ada/walks.git",
            "gitea",
            "https://gitea.example.org",
            "ada/walks",
        ),
        ("https://gitlab.example.org/a/b", "gitlab", "https://gitlab.example.org", "a/b"),
    ],
)
def test_a_plain_address_tells_everything(
    remote: str, kind: str, base: str, repository: str
) -> None:
    """Whichever way it is written; credentials in it are none of ours."""
    found = registry.site(ForgeSettings(), remote)
    assert found == Site(kind=ForgeKind(kind), base_url=base, repository=repository)


@pytest.mark.parametrize(
    ("settings", "remote", "what"),
    [
        (ForgeSettings(), "/srv/git/walks.git", "where the forge is"),
        (ForgeSettings(), "file:///srv/git/walks.git", "where the forge is"),
        (ForgeSettings(), None, "where the forge is"),
        (ForgeSettings(), "git@work:ada/walks", "what kind of forge"),
        (ForgeSettings(), "https://github.com/walks", "which repository"),
        (
            ForgeSettings(base_url="https://x.org", kind=ForgeKind.GITEA, repository="a/../b?c"),
            None,
            "which repository",
        ),
        (
            ForgeSettings(base_url="http://x.org", kind=ForgeKind.GITEA, repository="a/b"),
            None,
            "not encrypted",
        ),
    ],
)
def test_what_the_address_does_not_tell_is_asked_for(
    settings: ForgeSettings, remote: str | None, what: str
) -> None:
    """With the key that is to be set."""
    with pytest.raises(FleetError, match=what) as told:
        registry.site(settings, remote)
    assert told.value.where == "fleet.yaml"


def test_settings_win_over_the_address() -> None:
    """An Enterprise server behind an alias."""
    settings = ForgeSettings(
        kind=ForgeKind.GITHUB, base_url="https://ghe.example.org/", repository="team/walks"
    )
    found = registry.site(settings, "work:x/y.git")
    assert (found.base_url, found.repository) == ("https://ghe.example.org", "team/walks")
    forge = registry.find(found.kind)
    assert forge.api(found.base_url) == "https://ghe.example.org/api/v3"
    assert forge.api("https://github.com") == "https://api.github.com"


def test_a_token_comes_from_the_environment_or_from_a_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The variables in their order, then the command, which is told for what; else it is said which
    there are."""
    forge = registry.find(ForgeKind.GITHUB)
    where = Site(kind=ForgeKind.GITHUB, base_url="https://github.com", repository="ada/walks")
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(FleetError, match=r"no token for github\.com") as told:
        registry.token(forge, where, ())
    assert "GITHUB_TOKEN" in told.value.remedy and "Pull requests: write" in told.value.remedy
    script = tmp_path / "token.py"
    script.write_text("import os; print('from-' + os.environ['GITFLEET_FORGE_REPOSITORY'])\n")
    command = (sys.executable, str(script))
    assert registry.token(forge, where, command).reveal() == "from-ada/walks"
    for name in ("GH_TOKEN", "GITHUB_TOKEN", registry.TOKEN):
        monkeypatch.setenv(name, f"value-of-{name.lower()}")
        found = registry.token(forge, where, command)
        assert (found.reveal(), found.source) == (f"value-of-{name.lower()}", name)


@pytest.mark.parametrize("text", ["", "print('two words')", "raise SystemExit(3)"])
def test_a_command_that_gives_no_token_says_so_and_shows_nothing(text: str) -> None:
    """What it prints may be half a token."""
    forge = registry.find(ForgeKind.GITEA)
    where = Site(kind=ForgeKind.GITEA, base_url="https://x.org", repository="a/b")
    with pytest.raises(FleetError) as told:
        registry.token(forge, where, (sys.executable, "-c", text))
    assert "two words" not in str(told.value) and "token" in told.value.what


def test_nothing_is_loaded_before_it_is_used() -> None:
    """Who has no forge and tells nobody needs neither library, and starts as fast as ever."""
    code = (
        "import sys, gitfleet.runner.loop, gitfleet.doctor.probe_services;"
        "sys.exit(', '.join({'httpx', 'apprise'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_forge_is_whole() -> None:
    """Each kind but `none` has a module, which says by the same name what it is."""
    assert set(registry.MODULES) == set(ForgeKind) - {ForgeKind.NONE}
    for kind in registry.MODULES:
        forge = registry.find(kind)
        assert forge.kind == kind and forge.tokens and forge.rights
    assert "x" not in repr(Secret("x"))


def test_a_kind_that_is_none_of_ours_nor_a_plugins_is_told_with_the_nearest() -> None:
    """It may be a plugin's name on another machine, so it is no error of the file."""
    settings = ForgeSettings(kind="gitae")
    error = registry.absence(settings, ())
    assert error is not None and error.what == "no forge is called gitae"
    assert error.remedy.startswith("Did you mean gitea?") and error.where == "fleet.yaml"
    assert registry.absence(ForgeSettings(kind="none"), ()) is None
    assert registry.absence(ForgeSettings(), ()) is None


def test_a_forge_of_ours_takes_no_options() -> None:
    """A misspelt key there is told, and not passed over."""
    forge = registry.find(ForgeKind.GITEA)
    where = Site(kind="gitea", base_url="https://x.org", repository="a/b", options={"team": "x"})
    with pytest.raises(FleetError, match=r"forge\.options: it takes no options, .* team"):
        registry.desk(forge, where, Secret("x"), threading.Event())
