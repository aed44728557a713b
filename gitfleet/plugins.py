"""Plugins from other distributions: found by entry points, imported if the machine lists them.

The search reads the metadata of installed distributions and imports none of their code. A plugin is
imported only if this machine's config.yaml lists its own name or its distribution's. A name on a
board, which anyone who can push may write, imports nothing that the machine's owner did not choose.
A registry asks here only for names that it does not know itself.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from gitfleet.errors import FleetError

T = TypeVar("T")

_LONGEST: Final = 300  # characters of an error's text that are shown


class PluginKind(StrEnum):
    """The kinds of plugins."""

    CODER = "coder"
    FORGE = "forge"
    NOTIFIER = "notifier"
    EXECUTOR = "executor"

    @property
    def group(self) -> str:
        """The group of entry points for such plugins."""
        return f"gitfleet.{self}s"


class Plugin(Struct, frozen=True, kw_only=True):
    """A plugin as its distribution's metadata describes it, without importing it."""

    kind: PluginKind
    name: str
    distribution: str
    version: str
    target: str  # module:attribute

    def __str__(self) -> str:
        return f"the plugin {self.name} ({self.distribution} {self.version})"

    def is_listed(self, listed: Collection[str]) -> bool:
        """Whether a machine's list contains its name or the name of its distribution."""
        return self.name in listed or _normal(self.distribution) in map(_normal, listed)


class PluginError(FleetError):
    """A plugin does not work: which one, and what failed."""

    def __init__(self, plugin: Plugin, what: str) -> None:
        super().__init__(
            f"{plugin} {what}",
            remedy="Correct or remove it, and start the runner again; `gitfleet plugins` shows it.",
        )


def _normal(distribution: str) -> str:
    """A distribution's name in the form that package indexes compare."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@functools.cache
def installed() -> tuple[Plugin, ...]:
    """Every plugin of an installed distribution, sorted; searched once per process.

    FleetError if the metadata of a distribution cannot be read.
    """
    # Imported here on purpose: it takes a tenth of a verb's start-up time.
    from importlib.metadata import entry_points  # noqa: PLC0415

    try:
        found = {
            Plugin(
                kind=kind,
                name=point.name,
                distribution=point.dist.name if point.dist else "unknown",
                version=str(point.dist.version) if point.dist else "unknown",
                target=point.value,
            )
            for kind in PluginKind
            for point in entry_points(group=kind.group)
        }
    except Exception as error:  # a broken distribution's metadata may raise anything
        raise FleetError(
            f"the metadata of an installed distribution cannot be read: {one_line(error)}",
            remedy="`pip check` and `pip list` may name it; install it again, or remove it.",
        ) from error
    return tuple(sorted(found, key=lambda one: (one.name, one.kind, one.distribution)))


def find(kind: PluginKind, name: str, listed: Collection[str]) -> Plugin | None:
    """The listed plugin of that kind and name; None if none is installed.

    FleetError if one is installed that the machine does not list, or if it lists several.
    """
    there = [one for one in installed() if (one.kind, one.name) == (kind, name)]
    chosen = [one for one in there if one.is_listed(listed)]
    if there and not chosen:
        raise FleetError(
            f"the {kind} {name} is a plugin ({_origin(there)}) that this machine does not list",
            remedy=f"Add {name} to `plugins:` in this machine's config.yaml, to allow it.",
        )
    if len(chosen) > 1:
        raise FleetError(
            f"several distributions provide a {kind} {name}: {_origin(chosen)}",
            remedy="List the distribution that you mean under `plugins:` in this machine's"
            " config.yaml, in place of the plugin's name; or uninstall the other one.",
        )
    return chosen[0] if chosen else None


def _origin(plugins: Collection[Plugin]) -> str:
    return ", ".join(f"{one.distribution} {one.version}" for one in plugins)


def load(plugin: Plugin, expected: type[T]) -> T:
    """Import a listed plugin. PluginError if that fails, or if it has the wrong type."""
    made, failure = _loaded(plugin)
    if failure:
        raise PluginError(plugin, failure)
    if not isinstance(made, expected):
        what = f"is a {type(made).__name__}, not a {expected.__name__}"
        raise PluginError(plugin, f"({plugin.target}) {what}")
    return made


@functools.cache
def _loaded(plugin: Plugin) -> tuple[Any, str]:
    """The object of its entry point, or the failure; tried once per process."""
    from importlib.metadata import EntryPoint  # noqa: PLC0415 - see above

    try:
        return EntryPoint(plugin.name, plugin.target, plugin.kind.group).load(), ""
    except BaseException as error:
        reraise_interrupt(error)
        return None, f"cannot be imported: {one_line(error)}"


def reraise_interrupt(error: BaseException) -> None:
    """Raise a person's Ctrl-C again. A plugin may raise any other error, such as SystemExit."""
    here = threading.current_thread() is threading.main_thread()
    if isinstance(error, KeyboardInterrupt) and here:
        raise error


def one_line(error: BaseException) -> str:
    """An error of a plugin in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]


def guarded(
    plugin: Plugin,
    member: str,
    call: Callable[..., Any],
    result: Any,
    passing: type[Exception] = FleetError,
) -> Callable[..., Any]:
    """Guard a plugin's function: it raises PluginError if it fails or its result is no `result`.

    Errors of the type `passing` are the plugin's own messages for people, and pass unchanged.
    """

    def guard(*args: Any, **more: Any) -> Any:
        try:
            found = call(*args, **more)
            return found if result is Any else checked(found, result)
        except (FleetError, passing):
            raise
        except BaseException as error:
            reraise_interrupt(error)
            raise PluginError(plugin, f"failed in `{member}`: {one_line(error)}") from error

    return guard


def checked(value: Any, kind: Any) -> Any:
    """The value, each field checked against the type. msgspec.ValidationError if that fails."""
    plain = msgspec.to_builtins(value, enc_hook=_plain)
    return msgspec.convert(plain, kind, dec_hook=lambda wanted, found: wanted(found))


def _plain(value: Any) -> str:
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} was not expected")


def no_options(options: Mapping[str, Any]) -> str:
    """The error in the options of a plugin that takes none; empty if there is none."""
    return f"it takes no options, but was given {', '.join(options)}" if options else ""
