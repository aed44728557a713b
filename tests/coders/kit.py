"""A job as the runner makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gitfleet.coders.base import Job
from gitfleet.model.config import CoderSettings, PromptBy
from gitfleet.model.states import Role


def job(
    folder: Path,
    *,
    body: str = "",
    prompt: str = "Do it.\n",
    by: PromptBy | None = None,
    **settings: Any,
) -> Job:
    path = folder / "prompt.md"
    path.write_text(prompt)
    return Job(
        task="fix-login",
        title="Fix login",
        body=body,
        role=Role.WORK,
        model="small-1",
        prompt=path,
        workspace=folder / "workspace",
        run_dir=folder,
        settings=CoderSettings(prompt=by, **settings),
    )
