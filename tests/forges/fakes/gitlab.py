"""GitLab, as https://docs.gitlab.com/api/ tells it (merge_requests, notes, project_members)."""

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

_LEVELS: Final = {"none": 0, "read": 20, "write": 30, "admin": 40}
_PROJECT: Final = r"/projects/ada%2Fwalks"
_NUMBER: Final = "[1-9][0-9]*"
_PAGE: Final = {"page": _NUMBER, "per_page": r"[1-9]|[1-9][0-9]|100"}
_BRANCH: Final = r"[\w./-]+"
TOLD: Final = (
    Told("GET", _PROJECT),
    Told(
        "GET",
        f"{_PROJECT}/merge_requests",
        {
            **_PAGE,
            "state": "all|closed|locked|merged|opened",
            "source_branch": _BRANCH,
            "target_branch": _BRANCH,
            "order_by": "created_at|updated_at|title|merged_at",
            "sort": "asc|desc",
        },
    ),
    Told(
        "POST",
        f"{_PROJECT}/merge_requests",
        body={
            "source_branch": _BRANCH,
            "target_branch": _BRANCH,
            "title": r".{1,255}",
            "description": r".{0,1048576}",
        },
        must=frozenset({"source_branch", "target_branch", "title"}),
    ),
    Told("PUT", f"{_PROJECT}/merge_requests/{_NUMBER}", body={"state_event": "close|reopen"}),
    Told(
        "GET",
        f"{_PROJECT}/merge_requests/{_NUMBER}/notes",
        {**_PAGE, "sort": "asc|desc", "order_by": "created_at|updated_at"},
    ),
    Told(
        "POST",
        f"{_PROJECT}/merge_requests/{_NUMBER}/notes",
        body={"body": r".{1,1000000}"},
        must=frozenset({"body"}),
    ),
    Told("GET", f"{_PROJECT}/members/all/{_NUMBER}"),
)


class GitLab(FakeForge):
    """The routes that gitfleet uses."""

    kind = "gitlab"
    robot: ClassVar[tuple[str, int]] = ("project_7_bot_0123abcd", 4)
    prefix: ClassVar[str] = "/api/v4"

    def routes(self) -> list[tuple[str, str, Route]]:
        requests = f"{_PROJECT}/merge_requests"
        return [
            ("GET", _PROJECT, self._project),
            ("GET", requests, self._list),
            ("POST", requests, self._open),
            ("PUT", rf"{requests}/(?P<number>\d+)", self._edit),
            ("GET", rf"{requests}/(?P<number>\d+)/notes", self._notes_of),
            ("POST", rf"{requests}/(?P<number>\d+)/notes", self._say),
            ("GET", rf"{_PROJECT}/members/all/(?P<user>\d+)", self._member),
        ]

    def check(self, request: Request, reply: Reply) -> None:
        path = request.path.removeprefix(self.prefix)
        self.complaints += complaints(TOLD, request.method, path, request.query, request.body)

    def duplicate(self, head: str) -> Trouble:
        number = next(p.number for p in self.pulls if p.head == head and p.state == "open")
        trouble = Trouble(409, "")
        said = f"Another open merge request already exists for this source branch: !{number}"
        trouble.reply.content = {"message": [said]}
        return trouble

    def _project(self, _request: Request) -> Reply:
        level = 30 if "write" in self.may else 20
        allowed = {"project_access": {"access_level": level}, "group_access": None}
        return Reply(200, {"id": 77, "path_with_namespace": "ada/walks", "permissions": allowed})

    def _list(self, request: Request) -> Reply:
        query = request.query
        state = {"opened": "open"}.get(query.get("state", "all"), query.get("state", "all"))
        found = [
            pull
            for pull in self.pulls
            if state in ("all", pull.state)
            and query.get("target_branch", pull.base) == pull.base
            and query.get("source_branch", pull.head) == pull.head
        ]
        if query.get("sort") != "asc":
            found.reverse()
        return self.paged(request, [self._shape(pull) for pull in found], "per_page")

    def _open(self, request: Request) -> Reply:
        self.may_write()
        body = request.body
        made = self.opened(
            body["source_branch"], body["target_branch"], body["title"], body["description"]
        )
        return Reply(201, self._shape(made))

    def _edit(self, request: Request, number: str) -> Reply:
        self.may_write()
        pull = self.pull(int(number))
        if request.body["state_event"] == "close":
            self.close(pull.number)
            assert self.token_of is not None
            self._note(pull, self.token_of, "closed", system=True)
        return Reply(200, self._shape(pull))

    def _notes_of(self, request: Request, number: str) -> Reply:
        notes = [self._shape_of(note, int(number)) for note in self.pull(int(number)).notes]
        if request.query.get("sort") != "asc":
            notes.reverse()
        return self.paged(request, notes, "per_page")

    def _say(self, request: Request, number: str) -> Reply:
        self.may_write()
        assert self.token_of is not None
        made = self._note(self.pull(int(number)), self.token_of, request.body["body"])
        return Reply(201, self._shape_of(made, int(number)))

    def _member(self, _request: Request, user: str) -> Reply:
        found = next((u for u in self.users.values() if u.id == int(user)), None)
        if found is None or not _LEVELS[found.access]:
            raise Trouble(404, "404 Not found")
        return Reply(200, {**self._user(found), "access_level": _LEVELS[found.access]})

    def merge(self, number: int) -> None:
        super().merge(number)
        self._note(self.pull(number), self.users["bea"], "merged", system=True)

    def _user(self, user: User) -> dict[str, Any]:
        name = user.login.title()
        return {"id": user.id, "username": user.login, "name": name, "state": "active"}

    def _shape(self, pull: PullRequest) -> dict[str, Any]:
        return {
            "id": 1000 + pull.number,
            "iid": pull.number,
            "project_id": 77,
            "source_project_id": 78 if pull.fork else 77,
            "target_project_id": 77,
            "source_branch": pull.head,
            "target_branch": pull.base,
            "title": pull.title,
            "description": pull.body,
            "state": {"open": "opened"}.get(pull.state, pull.state),
            "author": self._user(pull.user),
            "created_at": pull.created,
            "updated_at": pull.updated,
            "merge_commit_sha": pull.merge,
            "web_url": f"{self.url}/{self.repository}/-/merge_requests/{pull.number}",
        }

    def _shape_of(self, note: Note, number: int) -> dict[str, Any]:
        return {
            "id": note.id,
            "body": note.text,
            "author": self._user(note.user),
            "created_at": note.at,
            "updated_at": note.at,
            "system": note.system,
            "noteable_type": "MergeRequest",
            "noteable_iid": number,
            "resolvable": False,
        }
