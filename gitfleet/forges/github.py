"""GitHub, and GitHub Enterprise by its address.

https://docs.github.com/en/rest; the requests are checked against GitHub's own description.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlsplit

from gitfleet.forges.base import Author, Comment, Desk, Draft, Forge, Pull, State
from gitfleet.forges.http_errors import NotThere

_READ: Final = "`Pull requests: read`"
_WRITE: Final = "`Pull requests: write`"
_META: Final = "`Metadata: read`"


def _api(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.hostname == "github.com":
        return "https://api.github.com"
    if "/api/" in base_url or (parts.hostname or "").startswith("api."):
        return base_url
    return f"{base_url.rstrip('/')}/api/v3"


def _repo(desk: Desk) -> str:
    return f"repos/{quote(desk.repository)}"


def _check(desk: Desk) -> str:
    found = desk.api.get(_repo(desk), _META)
    allowed = found.get("permissions") or {}
    # GitHub does not report a fine-grained token's rights; its owner's rights are the upper limit.
    return "" if allowed.get("push", True) else f"`Contents: write` and {_WRITE}"


def _pull(desk: Desk, found: dict[str, Any]) -> Pull | None:
    """The pull request; None if it comes from a fork, where anyone can choose the branch's name."""
    home = (found["head"].get("repo") or {}).get("full_name", "")
    base = (found["base"].get("repo") or {}).get("full_name", "")
    if home.lower() != base.lower():
        return None
    state = State.MERGED if found.get("merged_at") else State(found["state"])
    return Pull(
        number=found["number"],
        branch=found["head"]["ref"],
        state=state,
        url=found["html_url"],
        updated=found["updated_at"],
    )


def _listed(desk: Desk, base: str, **params: str) -> list[Pull]:
    listing = desk.api.pages(f"{_repo(desk)}/pulls", _READ, base=base, per_page=100, **params)
    found = (_pull(desk, one) for one in listing)
    return [one for one in found if one is not None]


def _pulls(desk: Desk, base: str) -> list[Pull]:
    return _listed(desk, base, state="open", sort="created", direction="asc")


def _find(desk: Desk, branch: str, base: str) -> Pull | None:
    owner = desk.repository.partition("/")[0]
    found = _listed(desk, base, state="all", head=f"{owner}:{branch}")
    open_ones = [one for one in found if one.state is State.OPEN]
    return next(iter([*open_ones, *found]), None)


def _open(desk: Desk, draft: Draft) -> Pull:
    made = desk.api.send(
        "POST",
        f"{_repo(desk)}/pulls",
        _WRITE,
        {"title": draft.title, "body": draft.body, "head": draft.branch, "base": draft.base},
    )
    return Pull(
        number=made["number"],
        branch=draft.branch,
        state=State.OPEN,
        url=made["html_url"],
        updated=made["updated_at"],
    )


def _comments(desk: Desk, pull: Pull) -> list[Comment]:
    path = f"{_repo(desk)}/issues/{pull.number}/comments"
    return [
        Comment(author=_author(one["user"]), text=one.get("body") or "")
        for one in desk.api.pages(path, _READ, per_page=100)
        if one.get("user")  # none if the account was deleted
    ]


def _author(user: dict[str, Any]) -> Author:
    return Author(login=user["login"], id=user["id"], bot=user.get("type") == "Bot")


def _may_write(desk: Desk, author: Author) -> bool:
    path = f"{_repo(desk)}/collaborators/{quote(author.login, safe='')}/permission"
    try:
        return desk.api.get(path, _META).get("permission") in ("admin", "write")
    except NotThere:  # the account was deleted
        return False


def _comment(desk: Desk, pull: Pull, text: str) -> None:
    desk.api.send("POST", f"{_repo(desk)}/issues/{pull.number}/comments", _WRITE, {"body": text})


def _close(desk: Desk, pull: Pull) -> None:
    desk.api.send("PATCH", f"{_repo(desk)}/pulls/{pull.number}", _WRITE, {"state": "closed"})


def _commit(base_url: str, repository: str, oid: str) -> str:
    return f"{base_url.rstrip('/')}/{repository}/commit/{oid}"


def _mail(author: Author, host: str) -> str:
    return f"{author.id}+{author.login}@users.noreply.{host}"


FORGE: Final = Forge(
    kind="github",
    tokens=("GITHUB_TOKEN", "GH_TOKEN"),
    rights=f"{_META}, `Contents: write` and {_WRITE}; a classic token: `repo`",
    api=_api,
    scheme="Bearer",
    headers=(
        ("Accept", "application/vnd.github+json"),
        ("X-GitHub-Api-Version", "2022-11-28"),
    ),
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
