"""Gitea and Forgejo, as their /api/swagger tells it."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from tests.forges.fakes.described import Told, complaints
from tests.forges.fakes.server import (
    FakeForge,
    Note,
    PullRequest,
    Reply,
    Request,
    Route,
    Trouble,
    User,
)

_REPO: Final = r"/repos/ada/walks"
_NUMBER: Final = "[1-9][0-9]*"
_BRANCH: Final = r"[\w./-]+"
TOLD: Final = (
    Told("GET", _REPO),
    Told(
        "GET",
        f"{_REPO}/pulls",
        {
            "base_branch": _BRANCH,
            "state": "open|closed|all",
            "sort": "oldest|recentupdate|recentclose|leastupdate|mostcomment|leastcomment|priority",
            "page": _NUMBER,
            "limit": _NUMBER,
        },
    ),
    Told("GET", rf"{_REPO}/pulls/[^/]+/{_BRANCH}"),
    Told(
        "POST",
        f"{_REPO}/pulls",
        body={"title": ".{1,255}", "body": ".*", "head": _BRANCH, "base": _BRANCH},
    ),
    Told("PATCH", f"{_REPO}/pulls/{_NUMBER}", body={"state": "open|closed"}),
    Told("GET", f"{_REPO}/issues/{_NUMBER}/comments"),
    Told(
        "POST",
        f"{_REPO}/issues/{_NUMBER}/comments",
        body={"body": ".+"},
        must=frozenset({"body"}),
    ),
    Told("GET", rf"{_REPO}/collaborators/[\w.-]+/permission"),
)


class Gitea(FakeForge):
    """The routes that gitfleet uses."""

    kind = "gitea"
    robot: ClassVar[tuple[str, int]] = ("gitea-actions", -2)
    scheme: ClassVar[str] = "token"
    prefix: ClassVar[str] = "/api/v1"

    def routes(self) -> list[tuple[str, str, Route]]:
        return [
            ("GET", _REPO, self._repository),
            ("GET", f"{_REPO}/pulls", self._list),
            ("POST", f"{_REPO}/pulls", self._open),
            ("PATCH", rf"{_REPO}/pulls/(?P<number>\d+)", self._edit),
            ("GET", rf"{_REPO}/pulls/(?P<base>[^/]+)/(?P<head>.+)", self._by_branches),
            ("GET", rf"{_REPO}/issues/(?P<number>\d+)/comments", self._comments),
            ("POST", rf"{_REPO}/issues/(?P<number>\d+)/comments", self._say),
            ("GET", rf"{_REPO}/collaborators/(?P<login>[^/]+)/permission", self._permission),
        ]

    def check(self, request: Request, reply: Reply) -> None:
        path = request.path.removeprefix(self.prefix)
        self.complaints += complaints(TOLD, request.method, path, request.query, request.body)

    def duplicate(self, head: str) -> Trouble:
        return Trouble(409, f"pull request already exists for these targets [head_branch: {head}]")

    def _repository(self, _request: Request) -> Reply:
        push = "write" in self.may
        allowed = {"admin": "admin" in self.may or push, "push": push, "pull": True}
        return Reply(200, {"id": 77, "full_name": "ada/walks", "permissions": allowed})

    def _list(self, request: Request) -> Reply:
        state = request.query.get("state", "open")
        wanted = {"open": ("open",), "closed": ("closed", "merged")}.get(state)
        found = [
            self._shape(pull)
            for pull in self.pulls
            if (wanted is None or pull.state in wanted)
            and request.query.get("base_branch", pull.base) == pull.base
        ]
        return self.paged(request, found, "limit")

    def _by_branches(self, _request: Request, base: str, head: str) -> Reply:
        for pull in self.pulls:
            if (pull.base, pull.head, pull.fork) == (base, head, False):
                return Reply(200, self._shape(pull))
        raise Trouble(404, "The target couldn't be found.")

    def _open(self, request: Request) -> Reply:
        self.may_write()
        body = request.body
        made = self.opened(body["head"], body["base"], body["title"], body["body"])
        return Reply(201, self._shape(made))

    def _edit(self, request: Request, number: str) -> Reply:
        self.may_write()
        if request.body["state"] == "closed":
            self.close(int(number))
        return Reply(201, self._shape(self.pull(int(number))))

    def _comments(self, _request: Request, number: str) -> Reply:
        return Reply(200, [self._shape_of(note) for note in self.pull(int(number)).notes])

    def _say(self, request: Request, number: str) -> Reply:
        self.may_write()
        assert self.token_of is not None
        made = self._note(self.pull(int(number)), self.token_of, request.body["body"])
        return Reply(201, self._shape_of(made))

    def _permission(self, _request: Request, login: str) -> Reply:
        if self.token_of is None or self.token_of.access != "admin":
            raise Trouble(403, "Only admins can query all permissions")
        user = self.users.get(login)
        if user is None:
            raise Trouble(404, "user does not exist")
        named = {"admin": "admin", "write": "write", "read": "read"}.get(user.access, "none")
        return Reply(200, {"permission": named, "role_name": named, "user": self._user(user)})

    def _user(self, user: User) -> dict[str, Any]:
        name = user.login.title()
        return {"id": user.id, "login": user.login, "full_name": name, "email": "secret@home.org"}

    def _shape(self, pull: PullRequest) -> dict[str, Any]:
        there = self.has(pull.head)
        return {
            "id": 1000 + pull.number,
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "state": "open" if pull.state == "open" else "closed",
            "merged": pull.state == "merged",
            "merged_at": pull.updated if pull.state == "merged" else None,
            "merge_commit_sha": pull.merge,
            "user": self._user(pull.user),
            "created_at": pull.created,
            "updated_at": pull.updated,
            "html_url": f"{self.url}/{self.repository}/pulls/{pull.number}",
            "base": {"label": pull.base, "ref": pull.base, "repo_id": 77},
            "head": {
                "label": pull.head,
                "ref": pull.head if there else f"refs/pull/{pull.number}/head",
                "repo_id": 78 if pull.fork else 77,
            },
        }

    def _shape_of(self, note: Note) -> dict[str, Any]:
        return {
            "id": note.id,
            "body": note.text,
            "user": self._user(note.user),
            "created_at": note.at,
            "updated_at": note.at,
        }
