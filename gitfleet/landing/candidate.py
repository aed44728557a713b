"""A candidate: the commit that would land, its tree, and what it is proved for."""

from __future__ import annotations

from msgspec import Struct

from gitfleet.attempt.checkpoint import Validation
from gitfleet.attempt.context import AttemptContext
from gitfleet.model.event import Check
from gitfleet.plan.landing_terms import Terms


class Candidate(Struct, frozen=True, kw_only=True):
    """Work as it would land: a commit, its tree, and the commit that it lies on."""

    terms: Terms
    before: str  # the first parent: where the target must be when the candidate lands
    head: str  # the submitted work
    tree: str  # what is proved
    commit: str  # carries the tree onto the target

    def record(self, checks: tuple[Check, ...]) -> Validation:
        """What the next life of the runner needs to know of it, with the checks it has passed."""
        return Validation(
            board=self.terms.board.commit,
            tip=self.before,
            head=self.head,
            tree=self.tree,
            merge=self.commit,
            checks=checks,
        )


def restore(ctx: AttemptContext, known: Validation) -> Candidate:
    """The candidate that an earlier life of the runner recorded, under the terms of then."""
    board = ctx.project.store.board_at(known.board)
    return Candidate(
        terms=Terms(board, board.entries[ctx.task]),
        before=known.tip,
        head=known.head,
        tree=known.tree,
        commit=known.merge,
    )
