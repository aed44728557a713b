"""Gitea and Forgejo: one API as far as we need it (Codeberg is Forgejo).

https://docs.gitea.com/api/, https://codeberg.org/api/swagger
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from gitfleet.forges.base import Author, Comment, Desk, Draft, Forge, Pull, State
from gitfleet.forges.http_errors import NotThere

_REPOSITORY: Final = "`write:repository`"
_ISSUE: Final = "`write:issue`"
_ADMIN: Final = "it must belong to an administrator of the repository, to see who has write access"
_PAGE: Final = 50  # the most that an instance returns by default


def _api(base_url: str) -> str:
    return base_url if "/api/" in base_url else f"{base_url.rstrip('/')}/api/v1"


def _repo(desk: Desk) -> str:
    return f"repos/{quote(desk.repository)}"


def _check(desk: Desk) -> str:
    allowed = desk.api.get(_repo(desk), "`read:repository`").get("permissions") or {}
    if not allowed.get("push", True):
        return _REPOSITORY
    return "" if allowed.get("admin", True) else _ADMIN


def _pull(found: dict[str, Any]) -> Pull | None:
    """The pull request; None if it comes from a fork, where anyone can choose the branch's name."""
    if found["head"].get("repo_id") != found["base"].get("repo_id"):
        return None
    return Pull(
        number=found["number"],
        # Once the branch is deleted, `ref` is refs/pull/N/head; `label` still has its name.
        branch=found["head"].get("label") or found["head"]["ref"],
        state=State.MERGED if found.get("merged") else State(found["state"]),
        url=found["html_url"],
        updated=found["updated_at"],
    )


def _pulls(desk: Desk, base: str) -> list[Pull]:
    listing = desk.api.pages(
        f"{_repo(desk)}/pulls",
        "`read:repository`",
        state="open",
        sort="oldest",
        base_branch=base,
        limit=_PAGE,
    )
    # Older instances ignore base_branch and return all pull requests.
    found = (_pull(one) for one in listing if one["base"]["ref"] == base)
    return [one for one in found if one is not None]


def _find(desk: Desk, branch: str, base: str) -> Pull | None:
    path = f"{_repo(desk)}/pulls/{quote(base, safe='')}/{quote(branch)}"
    try:
        return _pull(desk.api.get(path, "`read:repository`"))
    except NotThere:
        # The same status as for a deleted repository; but then nothing else succeeds either.
        return None


def _open(desk: Desk, draft: Draft) -> Pull:
    made = desk.api.send(
        "POST",
        f"{_repo(desk)}/pulls",
        _REPOSITORY,
        {"title": draft.title, "body": draft.body, "head": draft.branch, "base": draft.base},
    )
    return _pull(made) or Pull(number=made["number"], branch=draft.branch, state=State.OPEN)


def _comments(desk: Desk, pull: Pull) -> list[Comment]:
    # This list has no pages.
    found = desk.api.get(f"{_repo(desk)}/issues/{pull.number}/comments", "`read:issue`")
    return [
        Comment(author=_author(one["user"]), text=one.get("body") or "")
        for one in found
        if one.get("user")
    ]


def _author(user: dict[str, Any]) -> Author:
    # Ids below zero are deleted accounts and the instance's own bots.
    name = user.get("full_name") or ""
    return Author(login=user["login"], id=user["id"], name=name, bot=user["id"] < 0)


def _may_write(desk: Desk, author: Author) -> bool:
    path = f"{_repo(desk)}/collaborators/{quote(author.login, safe='')}/permission"
    try:
        found = desk.api.get(path, _ADMIN)
    except NotThere:  # the account was deleted
        return False
    return found.get("permission") in ("owner", "admin", "write")


def _comment(desk: Desk, pull: Pull, text: str) -> None:
    desk.api.send("POST", f"{_repo(desk)}/issues/{pull.number}/comments", _ISSUE, {"body": text})


def _close(desk: Desk, pull: Pull) -> None:
    path = f"{_repo(desk)}/pulls/{pull.number}"
    desk.api.send("PATCH", path, _REPOSITORY, {"state": "closed"})


def _commit(base_url: str, repository: str, oid: str) -> str:
    return f"{base_url.rstrip('/')}/{repository}/commit/{oid}"


def _mail(author: Author, host: str) -> str:
    return f"{author.login}@noreply.{host}"


FORGE: Final = Forge(
    kind="gitea",
    tokens=("GITEA_TOKEN", "FORGEJO_TOKEN"),
    rights=f"{_REPOSITORY} and {_ISSUE}; {_ADMIN}",
    api=_api,
    scheme="token",
    headers=(),
    check=_check,
    pulls=_pulls,
    find=_find,
    open=_open,
    comments=_comments,
    may_write=_may_write,
    comment=_comment,
    close=_close,
    commit=_commit,
    mail=_mail,
)
