"""Send messages to one service, in a thread of its own, so that a slow service delays no other."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gitfleet.background_service import BackgroundService, FailedRound
from gitfleet.errors import FleetError
from gitfleet.event_log import Action, EventLog
from gitfleet.notify.base import Service, Text
from gitfleet.notify.spool import box_texts
from gitfleet.plugins import reraise_interrupt

_LOOK: Final = 60.0  # seconds between checks without a wake-up


class Outlet:
    """One service and the folder of its waiting messages."""

    def __init__(
        self, receiver: Service, box: Path, report: EventLog, first_pause: float = 1.0
    ) -> None:
        """`first_pause`: seconds after the service did not take a text; later pauses grow."""
        self.receiver, self.box, self._report = receiver, box, report
        self.service = BackgroundService(
            f"notify {receiver.label}",
            self._empty_box,
            report,
            failure=self._failed,
            goodbye=self._goodbye,
            first_pause=first_pause,
        )

    def _empty_box(self) -> float:
        """Send the waiting messages, oldest first. FleetError if the service did not take one."""
        for path, text in box_texts(self.box):
            if not self._sent(text):
                raise FleetError("it did not accept a message; it is retried with growing pauses")
            path.unlink(missing_ok=True)
            self._report.action(Action.NOTIFIED, about=text.key, service=self.receiver.label)
        return _LOOK

    def _sent(self, text: Text) -> bool:
        try:
            return self.receiver.send(text)
        except BaseException as error:  # services may raise anything; its text may hold the address
            reraise_interrupt(error)
            return False

    def _failed(self, error: Exception) -> FailedRound:
        reason = error.what if isinstance(error, FleetError) else type(error).__name__
        fields = {"service": self.receiver.label, "reason": reason}
        return FailedRound(Action.NOTIFICATIONS_DELAYED, fields)

    def _goodbye(self) -> None:
        """Send the waiting messages; those not taken are sent after the next start."""
        if not self.service.failing:
            self._empty_box()
