"""The subject and the findings of `gitfleet doctor`: each with its result and its remedy."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gitfleet.board.clone_state import Clone
from gitfleet.board.store import Store
from gitfleet.cli.support.session import plain
from gitfleet.errors import FleetError
from gitfleet.git.repo import Repo
from gitfleet.model.board import Board


class Examined(Struct, frozen=True):
    """The subject of the checks. `board` None: there is none."""

    repo: Repo
    clone: Clone
    store: Store
    board: Board | None
    target: str  # the target if neither the task nor the settings name one
    seconds: float | None  # time limit for a coder's answer; None: no calls


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"  # it works, but perhaps not as wanted
    PROBLEM = "problem"  # it does not work


class DoctorFinding(Struct, frozen=True):
    """One result of a check; a remedy unless all is well."""

    level: Level
    about: str
    what: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """The line that a person reads."""
        remedy = f" -> {self.remedy}" if self.remedy else ""
        return plain(f"{self.level:<8} {self.about}: {self.what}{remedy}")


def ok(about: str, what: str) -> DoctorFinding:
    """All is well."""
    return DoctorFinding(Level.OK, about, what)


def warning(about: str, what: str, remedy: str = "") -> DoctorFinding:
    """It works, but perhaps not as wanted."""
    return DoctorFinding(Level.WARNING, about, what, remedy)


def problem(about: str, what: str, remedy: str = "") -> DoctorFinding:
    """It does not work."""
    return DoctorFinding(Level.PROBLEM, about, what, remedy)


def of_error(about: str, error: FleetError) -> DoctorFinding:
    """A check that could not be made."""
    what = f"{error.where}: {error.what}" if error.where else error.what
    return problem(about, what, error.remedy)
