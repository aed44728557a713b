"""Every forge by name, and which one a board means.

A new one costs its module, a line here, its kind in the settings, and its imitation for the
contract suite; or it comes from another distribution, as a plugin that the machine lists.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import re
import threading
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from gitfleet import plugins
from gitfleet.errors import FleetError
from gitfleet.forges import http_client
from gitfleet.forges.base import Comment, Desk, Forge, Pull, Site
from gitfleet.model.config import ForgeKind, ForgeSettings
from gitfleet.plugins import Plugin, PluginError, PluginKind
from gitfleet.process.run import run

MODULES: Final[Mapping[ForgeKind, str]] = {
    ForgeKind.GITHUB: "gitfleet.forges.github",
    ForgeKind.GITLAB: "gitfleet.forges.gitlab",
    ForgeKind.GITEA: "gitfleet.forges.gitea",
}
TOKEN: Final = "GITFLEET_FORGE_TOKEN"  # noqa: S105 - the name of a variable, not a token
"""For every kind, before the variables of its own. No attempt of a coder gets to see it."""

_KNOWN: Final[Mapping[str, ForgeKind]] = {
    "github.com": ForgeKind.GITHUB,
    "gitlab.com": ForgeKind.GITLAB,
    "codeberg.org": ForgeKind.GITEA,
    "gitea.com": ForgeKind.GITEA,
}
_SPEAKING: Final[Mapping[str, ForgeKind]] = {  # how a host's name may start
    "github": ForgeKind.GITHUB,
    "gitlab": ForgeKind.GITLAB,
    "gitea": ForgeKind.GITEA,
    "forgejo": ForgeKind.GITEA,
}
_SCP: Final = re.compile(r"(?:[^@/:]+@)?(?P<host>[^@/:]+):(?P<path>[^/].*)\Z")
_REPOSITORY: Final = re.compile(r"[\w.-]+(?:/[\w.-]+)+\Z")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+\Z")
_RESULTS: Final[Mapping[str, Any]] = {  # types that the functions of a forge return
    "api": str,
    "check": str,
    "pulls": list[Pull],
    "find": Pull | None,
    "open": Pull,
    "comments": list[Comment],
    "may_write": bool,
    "comment": Any,
    "close": Any,
    "commit": str,
    "mail": str,
    "options": str,
}
_SECONDS: Final = 30.0  # for a command that prints a token
_WHERE: Final = "fleet.yaml"


def find(kind: str, listed: Collection[str] = ()) -> Forge:
    """The forge of this kind, which is not `none`. FleetError if it is not usable here."""
    if kind in MODULES:
        forge: Forge = importlib.import_module(MODULES[ForgeKind(kind)]).FORGE
        return forge
    plugin = plugins.find(PluginKind.FORGE, kind, listed)
    if plugin is None:
        near = difflib.get_close_matches(kind, ForgeKind, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise FleetError(
            f"no forge is called {kind}",
            where=_WHERE,
            remedy=f"{hint}forge.kind is {', '.join(ForgeKind)}, or the name of a plugin.",
        )
    return load(plugin)


def absence(settings: ForgeSettings, listed: Collection[str]) -> FleetError | None:
    """An error for people: why there is no forge of the named kind here."""
    if settings.kind is None or settings.by_hand:
        return None
    try:
        find(settings.kind, listed)
    except FleetError as error:
        return error
    return None


def load(plugin: Plugin) -> Forge:
    """Load the forge of a listed plugin, each function guarded. PluginError if it does not work."""
    forge = plugins.load(plugin, Forge)
    try:
        fields = (forge.kind, forge.tokens, forge.rights, forge.scheme, forge.headers)
        plugins.checked(fields, tuple[str, tuple[str, ...], str, str, tuple[tuple[str, str], ...]])
    except msgspec.ValidationError as error:
        raise PluginError(plugin, f"has wrong fields: {plugins.one_line(error)}") from error
    if forge.kind != plugin.name:
        raise PluginError(plugin, f"names its forge {forge.kind!r}")
    functions: dict[str, Any] = {
        name: plugins.guarded(plugin, name, getattr(forge, name), result)
        for name, result in _RESULTS.items()
    }
    return forge._replace(**functions)


def installed() -> bool:
    """Whether the HTTP client that forges need is installed."""
    return importlib.util.find_spec("httpx") is not None


# -- the forge and its address


def site(settings: ForgeSettings, remote: str | None) -> Site:
    """The site from the settings, completed from the remote's address.

    FleetError if both leave something open.
    """
    if settings.by_hand:
        return Site(kind=ForgeKind.NONE, base_url="", repository="")
    host, path = _parts(remote or "")
    base = (settings.base_url or (f"https://{host}" if host else "")).rstrip("/")
    if not base:
        raise FleetError(
            "the address of the remote does not show where the forge is",
            where=_WHERE,
            remedy="Set forge.base_url, for example https://git.example.org",
        )
    kind = settings.kind or _kind(urlsplit(base).hostname or "")
    repository = settings.repository or path
    if not _REPOSITORY.match(repository):
        raise FleetError(
            "the address of the remote does not show which repository it is on the forge",
            where=_WHERE,
            remedy="Set forge.repository to owner/name",
        )
    http_client.check_address(base)
    return Site(kind=kind, base_url=base, repository=repository, options=settings.options)


def _kind(host: str) -> ForgeKind:
    found = _KNOWN.get(host) or _SPEAKING.get(host.partition(".")[0])
    if found is None:
        raise FleetError(
            f"the name of {host} does not show what kind of forge it is",
            where=_WHERE,
            remedy="Set forge.kind to github, gitlab, gitea (also for Forgejo), or a plugin's name",
        )
    return found


def _parts(remote: str) -> tuple[str, str]:
    """Host and path of a remote's address; empty if it is a local path."""
    if "://" in remote:
        parts = urlsplit(remote)
        if parts.scheme not in ("http", "https", "ssh", "git"):
            return "", ""
        host, path = parts.hostname or "", parts.path
    elif found := _SCP.match(remote):
        host, path = found["host"], found["path"]
    else:
        return "", ""
    return host.lower(), path.strip("/").removesuffix(".git")


# -- the token


def token(forge: Forge, where: Site, command: Sequence[str]) -> http_client.Secret:
    """The token, from the environment or from the machine's own command. FleetError if none."""
    for name in (TOKEN, *forge.tokens):
        if value := os.environ.get(name, "").strip():
            return _checked(value, name)
    if command:
        return _checked(_asked(command, where), "the token_command")
    names = ", ".join((TOKEN, *forge.tokens))
    raise FleetError(
        f"there is no token for {where.host}",
        remedy=f"Set one of {names}, or forge.token_command in this machine's config.yaml."
        f" It needs: {forge.rights}",
    )


def token_at_hand(forge: Forge, command: Sequence[str]) -> bool:
    """Whether a token is available; runs no command for it."""
    return bool(command) or any(os.environ.get(name) for name in (TOKEN, *forge.tokens))


def _asked(command: Sequence[str], where: Site) -> str:
    env = {
        **os.environ,
        "GITFLEET_FORGE_HOST": where.host,
        "GITFLEET_FORGE_REPOSITORY": where.repository,
    }
    done = run(command, env=env, timeout=_SECONDS)
    if done.timed_out or done.code != 0:
        how = "takes too long" if done.timed_out else f"ends with exit status {done.code}"
        raise FleetError(
            f"forge.token_command {how}",
            where="config.yaml",
            remedy="Run it by hand; it has to print the token and nothing else.",
        )
    return done.stdout.decode("utf-8", "replace").strip()


def _checked(value: str, source: str) -> http_client.Secret:
    if not _PRINTABLE.match(value):
        raise FleetError(f"{source} gave no valid token: it is empty, or more than one word")
    return http_client.Secret(value, source)


def desk(forge: Forge, where: Site, secret: http_client.Secret, stopping: threading.Event) -> Desk:
    """A desk to work at; `stopping` cuts pauses short. FleetError if its options are wrong."""
    if wrong := forge.options(where.options):
        raise FleetError(f"forge.options: {wrong}", where=_WHERE)
    api = http_client.Api(
        forge.api(where.base_url),
        secret,
        scheme=forge.scheme,
        headers=dict(forge.headers),
        stopping=stopping,
    )
    return Desk(api, where.repository, where.options)
