"""The imitations are held against what the forges say of themselves, and that is seen to bite."""

from __future__ import annotations

import pytest

from tests.forges.fakes import gitea, gitlab, openapi
from tests.forges.fakes.described import Told, complaints
from tests.forges.fakes.github import GitHub

PULLS = "/repos/ada/walks/pulls"


@pytest.fixture
def described() -> openapi.Description:
    """GitHub's own description."""
    if GitHub.description is None:
        pytest.skip(
            f"{openapi.VARIABLE} is not set: the path of generated/api.github.com.json of npm's"
            " @octokit/openapi, which .ci/run brings"
        )
    return GitHub.description


def test_what_is_not_as_github_describes_it_is_found(described: openapi.Description) -> None:
    """A route, a parameter and its value, a field of a body, a status, an answer."""

    def wrong(method: str, path: str, query: dict[str, str], body: object, status: int) -> str:
        return "\n".join(described.complaints(method, path, query, body, status, []))

    good = {"title": "t", "head": "h", "base": "b", "body": ""}
    assert not wrong("GET", PULLS, {"state": "all", "per_page": "100"}, None, 200)
    assert "not described" in wrong("GET", "/repos/ada/walks/pullz", {}, None, 200)
    assert "parameter limit" in wrong("GET", PULLS, {"limit": "9"}, None, 200)
    assert "'opened' is not one of" in wrong("GET", PULLS, {"state": "opened"}, None, 200)
    assert "field source" in wrong("POST", PULLS, {}, {**good, "source": "x"}, 422)
    assert "'base' is a required" in wrong("POST", PULLS, {}, {"title": "t", "head": "h"}, 422)
    assert "status 418" in wrong("GET", PULLS, {}, None, 418)
    assert "answer" in wrong("POST", PULLS, {}, good, 201)


@pytest.mark.parametrize("told", [gitlab.TOLD, gitea.TOLD])
def test_what_is_not_as_the_others_document_it_is_found(told: tuple[Told, ...]) -> None:
    """The same, as far as it is written down by hand."""
    post = next(one for one in told if one.method == "POST" and one.must)
    path = post.path.replace("[1-9][0-9]*", "7")
    good = dict.fromkeys(post.must, "x")
    assert not list(complaints(told, "POST", path, {}, good))
    assert list(complaints(told, "POST", path, {}, {}))
    assert list(complaints(told, "POST", path, {}, {**good, "colour": "red"}))
    assert list(complaints(told, "POST", path, {"page": "1"}, good))
    assert list(complaints(told, "GET", "/nowhere", {}, None))
    pages = next(one for one in told if "page" in one.query)
    path = pages.path.replace("[1-9][0-9]*", "7")
    assert not list(complaints(told, "GET", path, {"page": "2"}, None))
    assert list(complaints(told, "GET", path, {"page": "no"}, None))
