"""Why a request to a forge failed: one class for each reaction that a caller can have."""

from __future__ import annotations

from gitfleet.errors import FleetError


class HttpError(FleetError):
    """A request did not succeed."""


class NoAnswer(HttpError):
    """The service does not answer, or only says that it is broken: try again later."""


class Limited(HttpError):
    """The service wants us to wait: `seconds` from now."""

    def __init__(self, what: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(what)


class Denied(HttpError):
    """The token is none, or lacks a right."""


class NotThere(HttpError):
    """What was asked for is not there, or must not be seen with this token."""


class HttpRejected(HttpError):
    """The service understood and does not want it: a duplicate, nothing to merge."""
