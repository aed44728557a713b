"""Why a request to a forge failed: one class for each reaction that a caller can have."""

from __future__ import annotations

from gitfleet.errors import FleetError


class HttpError(FleetError):
    """A request did not succeed."""


class NoAnswer(HttpError):
    """The service does not answer, or reports an error of its own: try again later."""


class Limited(HttpError):
    """The service asks us to wait `seconds` from now."""

    def __init__(self, what: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(what)


class Denied(HttpError):
    """The token is invalid or lacks a right."""


class NotThere(HttpError):
    """The resource does not exist, or this token may not see it."""


class HttpRejected(HttpError):
    """The service rejects the request: a duplicate, or nothing to merge."""
