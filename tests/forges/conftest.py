"""Each forge in turn, with a board behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitfleet.forges import http_client
from tests.forges.fakes.gitea import Gitea
from tests.forges.fakes.github import GitHub
from tests.forges.fakes.gitlab import GitLab
from tests.forges.fakes.server import TOKEN, FakeForge, serving
from tests.forges.kit import Desk, desk, settings

FORGES: dict[str, type[FakeForge]] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}


@pytest.fixture(params=sorted(FORGES))
def kind(request: pytest.FixtureRequest) -> str:
    """The forge's kind."""
    found: str = request.param
    return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Desk]:
    """A board on a bare repository."""
    with desk(tmp_path, "") as made:
        yield made


@pytest.fixture
def forge(kind: str, place: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeForge]:
    """The forge that serves it. In the end no request was other than its description says."""
    monkeypatch.setenv(f"{kind.upper()}_TOKEN", TOKEN)
    monkeypatch.setattr(http_client, "FIRST_PAUSE", 0.01)
    with serving(FORGES[kind](place.bare)) as made:
        text = f"forge: {{kind: {kind}, base_url: '{made.url}', repository: ada/walks, poll: 1s}}"
        place.write({"fleet.yaml": settings(text)})
        yield made
    assert not made.complaints
    said = "\n".join(place.lines)
    assert TOKEN not in said
