"""The one error whose text is for people."""

from __future__ import annotations


class FleetError(Exception):
    """A known error: what is wrong, where, and what to do about it.

    It is shown in one place (`gitfleet.cli.main`) as one or two lines, and ends the command with
    exit status 1. `where` is `file`, `file:line` or `file:line:column`; `remedy` is what the
    person can do, in the imperative.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.remedy = remedy
        super().__init__(self.__str__())

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.remedy}" if self.remedy else text

    @property
    def one_line(self) -> str:
        """The error and its remedy in one line, as the reason of another error."""
        remedy = self.remedy.rstrip(".")
        return f"{self.what}; {remedy[0].lower()}{remedy[1:]}" if remedy else self.what


class GitError(FleetError):
    """A git command failed for a reason that its caller did not expect."""

    def __init__(self, what: str, *, stderr: str = "", remedy: str = "") -> None:
        self.stderr = stderr
        super().__init__(what, remedy=remedy)
