"""GitHub, as https://docs.github.com/en/rest tells it; held against its own description."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import unquote

from tests.forges.fakes import openapi
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

_USER_URLS = [
    "avatar_url",
    "events_url",
    "followers_url",
    "following_url",
    "gists_url",
    "gravatar_id",
    "html_url",
    "organizations_url",
    "received_events_url",
    "repos_url",
    "starred_url",
    "subscriptions_url",
    "url",
]
_REPO_URLS = [
    "archive_url",
    "assignees_url",
    "blobs_url",
    "branches_url",
    "collaborators_url",
    "comments_url",
    "commits_url",
    "compare_url",
    "contents_url",
    "contributors_url",
    "deployments_url",
    "downloads_url",
    "events_url",
    "forks_url",
    "git_commits_url",
    "git_refs_url",
    "git_tags_url",
    "hooks_url",
    "html_url",
    "issue_comment_url",
    "issue_events_url",
    "issues_url",
    "keys_url",
    "labels_url",
    "languages_url",
    "merges_url",
    "milestones_url",
    "notifications_url",
    "pulls_url",
    "releases_url",
    "stargazers_url",
    "statuses_url",
    "subscribers_url",
    "subscription_url",
    "tags_url",
    "teams_url",
    "trees_url",
    "url",
    "clone_url",
    "git_url",
    "ssh_url",
    "svn_url",
]
_PULL_URLS = [
    "url",
    "html_url",
    "diff_url",
    "patch_url",
    "issue_url",
    "commits_url",
    "review_comments_url",
    "review_comment_url",
    "comments_url",
    "statuses_url",
]
_LINKS = [
    "comments",
    "commits",
    "statuses",
    "html",
    "issue",
    "review_comments",
    "review_comment",
    "self",
]


class GitHub(FakeForge):
    """The routes that gitfleet uses, with answers as complete as the real ones."""

    kind = "github"
    robot: ClassVar[tuple[str, int]] = ("ci[bot]", 4)
    prefix: ClassVar[str] = "/api/v3"
    description: ClassVar[openapi.Description | None] = openapi.load()

    def routes(self) -> list[tuple[str, str, Route]]:
        repo = f"/repos/{self.repository}"
        return [
            ("GET", repo, self._repository),
            ("GET", f"{repo}/pulls", self._list),
            ("POST", f"{repo}/pulls", self._open),
            ("PATCH", rf"{repo}/pulls/(?P<number>\d+)", self._edit),
            ("GET", rf"{repo}/issues/(?P<number>\d+)/comments", self._comments),
            ("POST", rf"{repo}/issues/(?P<number>\d+)/comments", self._say),
            ("GET", rf"{repo}/collaborators/(?P<login>[^/]+)/permission", self._permission),
        ]

    def check(self, request: Request, reply: Reply) -> None:
        if self.description is not None:
            path = request.path.removeprefix(self.prefix)
            self.complaints += self.description.complaints(
                request.method, path, request.query, request.body, reply.status, reply.content
            )

    def duplicate(self, head: str) -> Trouble:
        said = f"A pull request already exists for {self.repository.split('/')[0]}:{head}."
        error = {"resource": "PullRequest", "code": "custom", "message": said}
        about = "https://docs.github.com/rest/pulls/pulls#create-a-pull-request"
        return Trouble(422, "Validation Failed", errors=[error], documentation_url=about)

    # -- routes

    def _repository(self, _request: Request) -> Reply:
        more = {
            "permissions": {"admin": False, "push": "write" in self.may, "pull": True},
            "network_count": 0,
            "subscribers_count": 1,
        }
        return Reply(200, {**self._repo(False), **more})

    def _list(self, request: Request) -> Reply:
        query = request.query
        head = query.get("head", "").partition(":")[2]
        wanted = {"open": ("open",), "closed": ("closed", "merged")}.get(query.get("state", "open"))
        found = [
            pull
            for pull in self.pulls
            if (wanted is None or pull.state in wanted)
            and query.get("base", pull.base) == pull.base
            and (not head or (pull.head == head and not pull.fork))
        ]
        if query.get("direction") != "asc":
            found.reverse()
        return self.paged(request, [self._simple(pull) for pull in found], "per_page")

    def _open(self, request: Request) -> Reply:
        self.may_write()
        body = request.body
        made = self.opened(body["head"], body["base"], body["title"], body.get("body") or "")
        return Reply(201, self._full(made))

    def _edit(self, request: Request, number: str) -> Reply:
        self.may_write()
        pull = self.pull(int(number))
        if request.body.get("state") == "closed":
            self.close(pull.number)
        return Reply(200, self._full(pull))

    def _comments(self, request: Request, number: str) -> Reply:
        notes = [self._comment(one, number) for one in self.pull(int(number)).notes]
        return self.paged(request, notes, "per_page")

    def _say(self, request: Request, number: str) -> Reply:
        self.may_write()
        assert self.token_of is not None
        made = self._note(self.pull(int(number)), self.token_of, request.body["body"])
        return Reply(201, self._comment(made, number))

    def _permission(self, _request: Request, login: str) -> Reply:
        user = self.users.get(unquote(login))
        if user is None:
            raise Trouble(404, "Not Found")
        return Reply(
            200,
            {
                "permission": user.access,
                "role_name": user.access,
                "user": {**self._user(user), "role_name": user.access},
            },
        )

    # -- shapes

    def _user(self, user: User) -> dict[str, Any]:
        urls = {name: f"{self.url}/{name}/{user.login}" for name in _USER_URLS}
        return {
            **urls,
            "login": user.login,
            "id": user.id,
            "node_id": f"U_{user.id}",
            "type": "Bot" if user.bot else "User",
            "site_admin": False,
        }

    def _repo(self, fork: bool) -> dict[str, Any]:
        name = "eve/walks" if fork else self.repository
        numbers = [
            "forks",
            "forks_count",
            "open_issues",
            "open_issues_count",
            "size",
            "stargazers_count",
            "watchers",
            "watchers_count",
        ]
        flags = [
            "fork",
            "private",
            "has_issues",
            "has_projects",
            "has_wiki",
            "has_pages",
            "has_discussions",
            "has_downloads",
            "archived",
            "disabled",
        ]
        empty = ["description", "homepage", "language", "mirror_url", "license"]
        return {
            **{key: f"{self.url}/{key}" for key in _REPO_URLS},
            **dict.fromkeys(numbers, 0),
            **dict.fromkeys(flags, False),
            **dict.fromkeys(empty),
            "id": 78 if fork else 77,
            "node_id": "R_77",
            "name": "walks",
            "full_name": name,
            "owner": self._user(self.users["eve" if fork else "ada"]),
            "default_branch": "main",
            "pushed_at": "2026-11-20T15:00:00Z",
            "created_at": "2026-11-20T15:00:00Z",
            "updated_at": "2026-11-20T15:00:00Z",
        }

    def _side(self, branch: str, fork: bool) -> dict[str, Any]:
        repo = self._repo(fork)
        owner = repo["owner"]["login"]
        return {
            "label": f"{owner}:{branch}",
            "ref": branch,
            "sha": self._tip(branch) if self.has(branch) else "0" * 40,
            "repo": repo,
            "user": repo["owner"],
        }

    def _simple(self, pull: PullRequest) -> dict[str, Any]:
        page = f"{self.url}/{self.repository}/pull/{pull.number}"
        ended = pull.updated if pull.state != "open" else None
        return {
            **dict.fromkeys(_PULL_URLS, page),
            "_links": {name: {"href": page} for name in _LINKS},
            "id": 1000 + pull.number,
            "node_id": f"PR_{pull.number}",
            "number": pull.number,
            "title": pull.title,
            "body": pull.body,
            "state": "open" if pull.state == "open" else "closed",
            "locked": False,
            "user": self._user(pull.user),
            "head": self._side(pull.head, pull.fork),
            "base": self._side(pull.base, False),
            "created_at": pull.created,
            "updated_at": pull.updated,
            "closed_at": ended,
            "merged_at": ended if pull.state == "merged" else None,
            "merge_commit_sha": pull.merge,
            "assignee": None,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "labels": [],
            "milestone": None,
            "author_association": "OWNER",
            "auto_merge": None,
            "draft": False,
        }

    def _full(self, pull: PullRequest) -> dict[str, Any]:
        numbers = [
            "comments",
            "review_comments",
            "commits",
            "additions",
            "deletions",
            "changed_files",
        ]
        return {
            **self._simple(pull),
            **dict.fromkeys(numbers, 1),
            "merged": pull.state == "merged",
            "mergeable": True,
            "mergeable_state": "clean",
            "merged_by": None,
            "maintainer_can_modify": False,
        }

    def _comment(self, note: Note, number: str) -> dict[str, Any]:
        page = f"{self.url}/{self.repository}/pull/{number}#issuecomment-{note.id}"
        return {
            "id": note.id,
            "node_id": f"IC_{note.id}",
            "url": page,
            "html_url": page,
            "issue_url": page,
            "body": note.text,
            "user": self._user(note.user),
            "created_at": note.at,
            "updated_at": note.at,
            "author_association": "OWNER",
        }
