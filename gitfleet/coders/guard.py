"""A guard around a plugin's coder: a failure in it ends its own run with a sentence, and no other.

A function that raises, or returns a value of another type, makes the run `misconfigured`: retrying
does not help. A coder's own `Cannot` passes unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gitfleet.coders.base import (
    Cannot,
    Coder,
    CoderEvent,
    CoderEventKind,
    FinishedRun,
    Job,
    Judgement,
    Launch,
    Reader,
    Tally,
)
from gitfleet.model.states import Failure
from gitfleet.plugins import Plugin, PluginError, checked, guarded, one_line, reraise_interrupt


def guarded_coder(plugin: Plugin, coder: Coder) -> Coder:
    """The same coder with a guard around each function. PluginError if its fields are wrong."""
    texts = (coder.name, coder.program, *coder.versions, *coder.version_argv)
    if not all(isinstance(text, str) for text in texts) or not isinstance(
        coder.version_re, re.Pattern
    ):
        raise PluginError(plugin, "has a name, a program or versions that are not text")
    if coder.name != plugin.name:
        raise PluginError(plugin, f"names its coder {coder.name!r}")
    guard = _Guard(plugin, coder)
    return coder._replace(
        launch=guard.launch,
        reader=guard.reader,
        judge=guard.judge,
        window=guard.window,
        gauge=guard.gauge,
        options=guard.options,
    )


class _Guard:
    def __init__(self, plugin: Plugin, coder: Coder) -> None:
        self._plugin, self._coder = plugin, coder

    def _guarded(self, member: str, result: Any) -> Callable[..., Any]:
        return guarded(self._plugin, member, getattr(self._coder, member), result, Cannot)

    def options(self, options: Mapping[str, Any]) -> str:
        try:
            return str(self._guarded("options", str)(options))
        except PluginError as error:
            return error.what

    def launch(self, job: Job) -> Launch:
        try:
            made: Launch = self._guarded("launch", Launch)(job)
        except PluginError as error:
            raise Cannot(error.what) from error
        if not made.argv:
            raise Cannot(f"{self._plugin} failed in `launch`: its argv is empty")
        return made

    def reader(self, job: Job) -> Reader:
        try:
            read = self._coder.reader(job)
        except BaseException as error:
            reraise_interrupt(error)
            read = _raising(error)
        return _GuardedReader(read, lambda error: self._failed("reader", error))

    def judge(self, evidence: FinishedRun) -> Judgement:
        said = evidence.tally.error
        if said.startswith(f"{self._plugin} failed in "):
            return _misconfigured(said)
        try:
            judged: Judgement = self._guarded("judge", Judgement)(evidence)
        except PluginError as error:
            return _misconfigured(error.what)
        return judged

    def window(self, model: str) -> int | None:
        try:
            found: int | None = self._guarded("window", int | None)(model)
        except PluginError:
            return None  # only a number for people
        return found

    def gauge(self, job: Job, tally: Tally) -> Iterator[CoderEvent]:
        try:
            for event in self._coder.gauge(job, tally):
                yield checked(event, CoderEvent)
        except GeneratorExit:
            raise
        except BaseException as error:
            reraise_interrupt(error)
            yield self._failed("gauge", error)

    def _failed(self, member: str, error: BaseException) -> CoderEvent:
        return CoderEvent(
            said=CoderEventKind.ERROR,
            text=f"{self._plugin} failed in `{member}`: {one_line(error)}",
            failure=Failure.MISCONFIGURED,
        )


class _GuardedReader:
    """Reads until the plugin fails for the first time; later output cannot be trusted."""

    def __init__(self, read: Reader, failed: Callable[[BaseException], CoderEvent]) -> None:
        self._read, self._failed = read, failed
        self._broken = False

    def __call__(self, line: str) -> Iterator[CoderEvent]:
        if self._broken:
            return
        try:
            for event in self._read(line):
                yield checked(event, CoderEvent)
        except GeneratorExit:
            raise
        except BaseException as error:
            reraise_interrupt(error)
            self._broken = True
            yield self._failed(error)


def _raising(error: BaseException) -> Reader:
    def read(_line: str) -> Iterator[CoderEvent]:
        raise error

    return read


def _misconfigured(reason: str) -> Judgement:
    return Judgement(failure=Failure.MISCONFIGURED, reason=reason)
