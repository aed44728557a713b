"""A candidate for landing: its commit, its tree, and the terms it is proved for."""

from __future__ import annotations

from msgspec import Struct

from gitfleet.attempt.checkpoint import Validation
from gitfleet.attempt.context import AttemptContext
from gitfleet.model.event import Check
from gitfleet.plan.landing_terms import Terms


class Candidate(Struct, frozen=True, kw_only=True):
    """Submitted work as it would land."""

    terms: Terms
    before: str  # the commit it is based on; the target must be there when it lands
    head: str  # the submitted work
    tree: str  # the checks run on this tree
    commit: str  # has the tree; its first parent is `before`

    def record(self, checks: tuple[Check, ...]) -> Validation:
        """The record from which a restarted runner restores it, with the checks it has passed."""
        return Validation(
            board=self.terms.board.commit,
            tip=self.before,
            head=self.head,
            tree=self.tree,
            merge=self.commit,
            checks=checks,
        )


def restore(ctx: AttemptContext, known: Validation) -> Candidate:
    """The candidate that an earlier process of this runner recorded, with its terms."""
    board = ctx.project.store.board_at(known.board)
    return Candidate(
        terms=Terms(board, board.entries[ctx.task]),
        before=known.tip,
        head=known.head,
        tree=known.tree,
        commit=known.merge,
    )
