"""GitLab, at gitlab.com or anywhere. What it calls a merge request is a pull request here.

https://docs.gitlab.com/api/merge_requests/, /api/notes/ and /api/project_members/
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from gitfleet.forges.base import Author, Comment, Desk, Draft, Forge, Pull, State
from gitfleet.forges.http_errors import NotThere

_RIGHT: Final = "the scope `api`, and the role Developer"
_DEVELOPER: Final = 30  # https://docs.gitlab.com/api/access_requests/#valid-access-levels
_STATES: Final = {"opened": State.OPEN, "merged": State.MERGED, "closed": State.CLOSED}
_BOT: Final = re.compile(r"(?:project|group)_[0-9]+_bot(?:_[0-9a-f]+)?\Z")


def _api(base_url: str) -> str:
    return base_url if "/api/" in base_url else f"{base_url.rstrip('/')}/api/v4"


def _project(desk: Desk) -> str:
    return f"projects/{quote(desk.repository, safe='')}"


def _check(desk: Desk) -> str:
    allowed = desk.api.get(_project(desk), _RIGHT).get("permissions") or {}
    levels = [(allowed.get(key) or {}).get("access_level") or 0 for key in allowed]
    return "" if not levels or max(levels) >= _DEVELOPER else "the role Developer"


def _pull(found: dict[str, Any]) -> Pull | None:
    """The pull request; None if it comes from a fork, where anyone can choose the branch's name."""
    if found["source_project_id"] != found["target_project_id"]:
        return None
    return Pull(
        number=found["iid"],
        branch=found["source_branch"],
        # `locked` is the state during the merge.
        state=_STATES.get(found["state"], State.OPEN),
        url=found["web_url"],
        updated=found["updated_at"],
    )


def _listed(desk: Desk, **params: str) -> list[Pull]:
    path = f"{_project(desk)}/merge_requests"
    found = (_pull(one) for one in desk.api.pages(path, _RIGHT, per_page=100, **params))
    return [one for one in found if one is not None]


def _pulls(desk: Desk, base: str) -> list[Pull]:
    return _listed(desk, state="opened", target_branch=base, order_by="created_at", sort="asc")


def _find(desk: Desk, branch: str, base: str) -> Pull | None:
    found = _listed(desk, state="all", source_branch=branch, target_branch=base)
    open_ones = [one for one in found if one.state is State.OPEN]
    return next(iter([*open_ones, *found]), None)


def _open(desk: Desk, draft: Draft) -> Pull:
    made = desk.api.send(
        "POST",
        f"{_project(desk)}/merge_requests",
        _RIGHT,
        {
            "source_branch": draft.branch,
            "target_branch": draft.base,
            "title": draft.title,
            "description": draft.body,
        },
    )
    return _pull(made) or Pull(number=made["iid"], branch=draft.branch, state=State.OPEN)


def _comments(desk: Desk, pull: Pull) -> list[Comment]:
    path = f"{_project(desk)}/merge_requests/{pull.number}/notes"
    listing = desk.api.pages(path, _RIGHT, per_page=100, sort="asc", order_by="created_at")
    return [
        Comment(author=_author(one["author"]), text=one.get("body") or "")
        for one in listing
        if not one.get("system") and one.get("author")
    ]


def _author(user: dict[str, Any]) -> Author:
    login = user["username"]
    return Author(
        login=login, id=user["id"], name=user.get("name") or "", bot=bool(_BOT.match(login))
    )


def _may_write(desk: Desk, author: Author) -> bool:
    try:
        # `all` includes members who get the right from a parent group.
        found = desk.api.get(f"{_project(desk)}/members/all/{author.id}", _RIGHT)
    except NotThere:
        return False
    level: int = found["access_level"]
    return found.get("state", "active") == "active" and level >= _DEVELOPER


def _comment(desk: Desk, pull: Pull, text: str) -> None:
    path = f"{_project(desk)}/merge_requests/{pull.number}/notes"
    desk.api.send("POST", path, _RIGHT, {"body": text})


def _close(desk: Desk, pull: Pull) -> None:
    path = f"{_project(desk)}/merge_requests/{pull.number}"
    desk.api.send("PUT", path, _RIGHT, {"state_event": "close"})


def _commit(base_url: str, repository: str, oid: str) -> str:
    return f"{base_url.rstrip('/')}/{repository}/-/commit/{oid}"


def _mail(author: Author, host: str) -> str:
    return f"{author.id}-{author.login}@users.noreply.{host}"


FORGE: Final = Forge(
    kind="gitlab",
    tokens=("GITLAB_TOKEN",),
    rights=_RIGHT,
    api=_api,
    scheme="Bearer",
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
