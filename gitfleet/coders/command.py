"""A coder without code: any program, described in fleet.yaml under `coders`.

    coders:
      mine: {argv: [mycli, --json, --prompt-file, "{prompt_file}"]}

`{prompt_file}`, `{prompt}`, `{model}`, `{workspace}` and `{task}` are replaced inside a word. No
shell reads the words. Where none of them names the prompt, it comes on standard input.
"""

from __future__ import annotations

import re
from typing import Final

from gitfleet.coders.base import (
    LONGEST_ARGUMENT,
    Cannot,
    Coder,
    Job,
    Launch,
    judge_exit,
    text_reader,
)
from gitfleet.model.config import PromptBy

_PLACE: Final = re.compile(r"\{(prompt_file|prompt|model|workspace|task)\}")


def launch(job: Job) -> Launch:
    """The described command with its places filled in."""
    if not job.settings.argv:
        raise Cannot("fleet.yaml gives it no argv")
    prompt = job.prompt.read_text()
    values = {
        "prompt_file": str(job.prompt),
        "prompt": prompt,
        "model": job.model,
        "workspace": str(job.workspace),
        "task": job.task,
    }
    argv = [_PLACE.sub(lambda found: values[found[1]], word) for word in job.settings.argv]
    by = job.settings.prompt
    if by is None:
        told = any("{prompt" in word for word in job.settings.argv)
        by = PromptBy.FILE if told else PromptBy.STDIN
    elif by is PromptBy.ARGUMENT and not any("{prompt}" in word for word in job.settings.argv):
        argv.append(prompt)
    if any(len(word.encode()) > LONGEST_ARGUMENT for word in argv):
        raise Cannot("the prompt is too long for an argument; use {prompt_file}, or prompt: stdin")
    stdin = job.prompt if by is PromptBy.STDIN else None
    return Launch(argv=tuple(argv), env=job.settings.env, stdin=stdin)


def named(name: str) -> Coder:
    """The described coder of that name."""
    return Coder(name, program="", launch=launch, reader=text_reader, judge=judge_exit)


CODER: Final = named("command")
