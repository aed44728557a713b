"""Merge submitted work in memory, and write the message of its merge commit.

A clean merge is a candidate.
"""

from __future__ import annotations

from msgspec import Struct

from gitfleet import failpoints
from gitfleet.attempt.context import AttemptContext
from gitfleet.git import merge
from gitfleet.landing.candidate import Candidate
from gitfleet.plan.landing_terms import Terms
from gitfleet.plan.task_history import submission_of


class AlreadyIn(Struct, frozen=True):
    """Merging would change nothing: a person has merged the work already."""

    tip: str
    head: str


class Conflicting(Struct, frozen=True):
    """The merge conflicts in these files."""

    tip: str
    files: tuple[str, ...]


def merge_on_trial(
    ctx: AttemptContext, terms: Terms, onto: str
) -> Candidate | AlreadyIn | Conflicting:
    """Merge the claimed work onto the commit `onto`, and write the merge commit."""
    ctx.live.doing = "merging"
    project, head = ctx.project, ctx.claimed.claim.head
    assert head is not None, "code is claimed for validation with its head"
    if project.objects.is_ancestor(head, onto):
        return AlreadyIn(onto, head)
    merged = merge.merge_trees(project.repo, onto, head)
    if merged.tree is None:
        return Conflicting(onto, merged.conflicts)
    if merged.tree == project.objects.tree_of(onto):
        return AlreadyIn(onto, head)
    commit = project.store.write_merge(
        merged.tree, [onto, head], _message(ctx, terms), terms.board.settings.sign
    )
    failpoints.point("merge-made")
    return Candidate(terms=terms, before=onto, head=head, tree=merged.tree, commit=commit)


def _message(ctx: AttemptContext, terms: Terms) -> str:
    """The message of the merge commit. Its trailers name task, attempt, coder and nonce."""
    entry = terms.entry
    submitted = submission_of(entry)
    done = submitted.attempt if submitted else None
    lines = [
        f"Merge {entry.id}: {entry.title}",
        "",
        f"Gitfleet-Task: {entry.id}",
        f"Gitfleet-Attempt: {done.attempt if done else ctx.claimed.claim.attempt}",
        f"Gitfleet-Coder: {done.coder if done and done.coder else '-'}",
        f"Gitfleet-Model: {done.model if done and done.model else '-'}",
        f"Gitfleet-Nonce: {ctx.nonce}",
    ]
    return "\n".join(lines) + "\n"
