"""Notification services by their addresses, through apprise, which knows more than a hundred."""

from __future__ import annotations

import importlib.util
import logging
import re
import warnings
from typing import Any, Final

from gitfleet.assets import own_version
from gitfleet.errors import FleetError
from gitfleet.notify.base import EXTRA, Service, Text, digest

_SCHEME: Final = re.compile(r"([a-z][a-z0-9]{0,30})://", re.IGNORECASE)


def installed() -> bool:
    """Whether apprise is installed."""
    return importlib.util.find_spec("apprise") is not None


def service(number: int, url: str) -> Service:
    """The service at an address, the `number`-th of the list.

    FleetError if the address is not valid.
    """
    found = _SCHEME.match(url)
    label = f"{number}:{found[1].lower() if found else 'unknown'}"
    with warnings.catch_warnings():
        # apprise loads all its services at the first address, and some use deprecated features.
        warnings.simplefilter("ignore")
        made = _apprise().Apprise(asset=_asset())
        known = made.add(url)
    if not known:
        raise FleetError(
            f"the address number {number} of a service ({label.partition(':')[2]})"
            " is not one that apprise knows",
            remedy="Correct it on this machine: notify.urls in config.yaml, or"
            " GITFLEET_NOTIFY_URLS.",
        )

    def send(text: Text) -> bool:
        return bool(made.notify(title=text.title, body=text.body, body_format="text"))

    return Service(label, digest(url), send)


def _asset() -> Any:
    # One service at a time, synchronously; no escapes in the text are interpreted.
    return _apprise().AppriseAsset(
        app_id="gitfleet",
        app_desc=f"gitfleet {own_version()}",
        app_url="",
        async_mode=False,
        interpret_escapes=False,
        secure_logging=True,
    )


def _apprise() -> Any:
    try:
        # An optional dependency, and slow to load: only notifications need it.
        import apprise  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise FleetError(
            "notifications need apprise, which is not installed", remedy=EXTRA
        ) from error
    # apprise's log quotes addresses, and they contain tokens.
    log = logging.getLogger("apprise")
    log.propagate = False
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    return apprise
