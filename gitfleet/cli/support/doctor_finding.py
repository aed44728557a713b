"""A finding of `gitfleet doctor`: what was checked, the result, and the remedy."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gitfleet.cli.support.session import plain
from gitfleet.errors import FleetError


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
