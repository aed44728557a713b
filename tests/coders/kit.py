"""A job as the runner makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from gitfleet.coders.base import Job, Mcp
from gitfleet.model.config import CoderSettings, Permission, PromptBy
from gitfleet.model.event import Tokens
from gitfleet.model.states import Role

NONE: Final = Tokens()


def job(
    folder: Path,
    *,
    body: str = "",
    prompt: str = "Do it.\n",
    by: PromptBy | None = None,
    session: str = "",
    used: Tokens = NONE,
    used_usd: float = 0.0,
    mcp: Mcp | None = None,
    permission: Permission = Permission.LEAST,
    model: str = "small-1",
    **settings: Any,
) -> Job:
    path = folder / "prompt.md"
    path.write_text(prompt)
    return Job(
        task="fix-login",
        title="Fix login",
        body=body,
        role=Role.WORK,
        model=model,
        prompt=path,
        workspace=folder / "workspace",
        run_dir=folder,
        settings=CoderSettings(prompt=by, **settings),
        session=session,
        used=used,
        used_usd=used_usd,
        mcp=mcp,
        permission=permission,
    )
