"""A finding of `gitfleet doctor`: what was checked, the result, and the remedy."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from gitfleet.cli.support.session import plain
from gitfleet.errors import FleetError


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"  # it works, and perhaps not as wanted
    PROBLEM = "problem"  # it does not work


class DoctorFinding(Struct, frozen=True):
    """One thing that was looked at; what to do unless it is well."""

    level: Level
    about: str
    what: str
    remedy: str = ""

    @property
    def line(self) -> str:
        """As a person reads it."""
        remedy = f" -> {self.remedy}" if self.remedy else ""
        return plain(f"{self.level:<8} {self.about}: {self.what}{remedy}")


def ok(about: str, what: str) -> DoctorFinding:
    """It is well."""
    return DoctorFinding(Level.OK, about, what)


def warning(about: str, what: str, remedy: str = "") -> DoctorFinding:
    """It works, and perhaps not as wanted."""
    return DoctorFinding(Level.WARNING, about, what, remedy)


def problem(about: str, what: str, remedy: str = "") -> DoctorFinding:
    """It does not work."""
    return DoctorFinding(Level.PROBLEM, about, what, remedy)


def of_error(about: str, error: FleetError) -> DoctorFinding:
    """A look that could not be made."""
    what = f"{error.where}: {error.what}" if error.where else error.what
    return problem(about, what, error.remedy)
