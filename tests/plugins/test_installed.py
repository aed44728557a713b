"""The distribution of docs/plugins.md: built as a wheel, installed by pip, and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from gitfleet.forges import http_client
from gitfleet.model.config import Machine, MachineNotify, NotifyService
from gitfleet.notify import registry
from gitfleet.notify.base import Service, Text
from tests.acceptance.fleetlab import laboratory
from tests.forges.fakes.gitea import Gitea
from tests.forges.fakes.server import TOKEN, serving
from tests.forges.kit import BRANCH, NAME, desk, settings
from tests.notify.sink import Sink, sink
from tests.plugins.kit import machine

_PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "plugins.md"
_FILE: Final = re.compile(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAM: Final = """\
import os, pathlib, sys
assert os.nice(0) == 19 and sys.argv[1:] == ["--style", "terse"] and "Do one" in sys.stdin.read()
pathlib.Path("one.txt").write_text("done\\n")
print('{"text": "I did it."}')
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the distribution to, without a network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name, text in _FILE.findall(_PAGE.read_text()):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text)
    (source / "acme_gitfleet" / "__init__.py").touch()
    wanted = ("--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", "-q", *wanted, "--target", str(target)]
    done = subprocess.run(
        [*command, str(source)], capture_output=True, text=True, check=False, cwd=source
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def acme(site: Path, installed: Path) -> None:
    """The distribution is installed where this process and those that it starts find it."""
    for path in installed.iterdir():
        (site / path.name).symlink_to(path)


@pytest.mark.slow
def test_its_coder_does_a_task(acme: None, tmp_path: Path) -> None:
    """A machine that lists the plugin runs it, by its executor; its events are in the log, and the
    work lands."""
    machine(plugins=["acme"], executor="acme")
    program = tmp_path / "bin" / "acme-code"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{_PROGRAM}")
    program.chmod(0o755)
    described = {"acme": {"options": {"style": "terse"}}}
    roles = {"work": {"coder": "acme"}}
    with laboratory(tmp_path / "lab", coders=described, roles=roles) as lab:
        lab.env["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        lab.task("one")
        assert lab.run("--until-idle").status == 0
        assert lab.tree()["one.txt"] == "done"
        (attempt,) = lab.attempts("one", "work")
        assert attempt.coder == "acme"
        assert "I did it." in lab.gitfleet("log", "one").stdout
        told = lab.gitfleet("plugins").stdout
        assert (
            len(re.findall(r"^acme +(?:coder|forge|notifier|executor) .* works$", told, re.M)) == 4
        )


def test_its_forge_brings_a_question_and_its_answer(
    acme: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull request for the question; a comment of somebody who may write is the answer."""
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    monkeypatch.setattr(http_client, "FIRST_PAUSE", 0.01)
    with desk(tmp_path, "") as place, serving(Gitea(place.bare)) as forge:
        place.fleet = replace(place.fleet, machine=Machine(plugins=("acme",)))
        text = f"forge: {{kind: acme, base_url: '{forge.url}', repository: ada/walks}}"
        place.write({"fleet.yaml": settings(text)})
        place.ask()
        place.round()
        assert forge.pull(1).head == BRANCH
        forge.comment(1, "bea", "Half a gigabyte.")
        place.round()
        assert place.question.name == NAME and place.question.answer == "Half a gigabyte."
        place.round()
        assert forge.pull(1).state == "closed" and not forge.complaints


def test_its_notifier_brings_a_text(acme: None) -> None:
    """And says whether the service took it."""
    with sink() as service:
        taken = _through(service, Text(key="k", title="one landed", body="on main"))
        assert taken and service.got == [{"title": "one landed", "message": "on main"}]


def _through(service: Sink, text: Text) -> bool:
    options = {"url": f"http://127.0.0.1:{service.port}/hook"}
    named = NotifyService(kind="acme", options=options)
    own = Machine(plugins=("acme",), notify=MachineNotify(services=(named,)))
    (made,) = registry.services(own)
    assert isinstance(made.made, Service) and made.label == "1:acme"
    return made.made.send(text)
