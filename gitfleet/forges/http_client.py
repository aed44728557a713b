"""JSON over HTTP: one client with time limits, retries and a sentence for each kind of failure.

Every request has a time limit, whatever the server does. Repeatable requests are retried a few
times; a longer wait that a server asks for is passed to the caller, who has other work. A token
goes to its own host and nowhere else, and is in no error, log or repr.
"""

from __future__ import annotations

import email.utils
import json
import random
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from gitfleet.errors import FleetError
from gitfleet.forges.http_errors import Denied, HttpRejected, Limited, NoAnswer, NotThere

if TYPE_CHECKING:
    import httpx

CONNECT: Final = 10.0  # seconds to connect
READ: Final = 15.0  # seconds without data
TOTAL: Final = 45.0  # seconds for one request with all its tries
LARGEST: Final = 16 << 20  # bytes of a response
_TRIES: Final = 4
FIRST_PAUSE: Final = 0.25
_SHORT: Final = 3.0  # seconds; a longer pause that a server asks for is left to the caller
_LIMITED: Final = 60.0  # seconds, if a server limits us without saying how long
_LONGEST: Final = 3600.0
_PAGES: Final = 50
_HOPS: Final = 3
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_REPEATABLE: Final = frozenset({"GET", "PUT", "PATCH", "DELETE"})


class Secret:
    """A token that str and repr do not show; only `reveal` returns it."""

    def __init__(self, value: str, source: str = "") -> None:
        """`source` describes the token's origin in messages."""
        self._value = value
        self.source = source

    def __repr__(self) -> str:
        return "Secret(…)"

    def reveal(self) -> str:
        """The token itself."""
        return self._value

    def out_of(self, text: str) -> str:
        """The text with the token removed."""
        return text.replace(self._value, "<masked>") if self._value else text


class HttpResponse(Struct, frozen=True):
    """A response. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    data: bytes
    url: str

    def body(self) -> Any:
        """The parsed JSON body; None if it is empty."""
        return json.loads(self.data) if self.data.strip() else None


class _Again(Exception):
    """This try failed in a way that may pass; try again."""

    def __init__(self, what: str, *, arrived: bool) -> None:
        self.what = what
        self.arrived = arrived  # the request may have been carried out
        super().__init__(what)


class Api:
    """A client of one service. Not for several threads at once."""

    def __init__(
        self,
        base: str,
        token: Secret | None = None,
        *,
        scheme: str = "Bearer",
        headers: Mapping[str, str] | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        """`base` precedes every path, `scheme` precedes the token; `stopping` cuts pauses short."""
        self.base = base.rstrip("/") + "/"
        self.host = _host(self.base)
        self._token = token or Secret("")
        self._stopping = stopping or threading.Event()
        self._paused_until = 0.0  # monotonic; until then the service asked us not to call
        self._client = _client(headers or {}, self._token, scheme)

    def __repr__(self) -> str:
        return f"Api({self.base})"

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    # -- requests

    def get(self, path: str, right: str, **params: str | int) -> Any:
        """GET a resource. `right` is the permission that it needs, as the service names it."""
        return self._json(self._ask("GET", self._url(path), right, params=params))

    def pages(self, path: str, right: str, **params: str | int) -> Iterator[Any]:
        """The items of a list, page by page, following the `Link` header on this host only."""
        url: str | None = self._url(path)
        given: Mapping[str, str | int] = params
        for _ in range(_PAGES):
            if url is None:
                return
            answer = self._ask("GET", url, right, params=given)
            found = self._json(answer)
            if not isinstance(found, list):
                raise NoAnswer(f"{self.host} answered with something other than a list")
            yield from found
            url, given = self._next(answer), {}

    def send(self, method: str, path: str, right: str, content: Mapping[str, Any]) -> Any:
        """Send a change; return the response."""
        return self._json(self._ask(method, self._url(path), right, content=content))

    def _url(self, path: str) -> str:
        return self.base + path.lstrip("/")

    def _next(self, answer: HttpResponse) -> str | None:
        for link in answer.headers.get("link", "").split(","):
            target, _, about = link.partition(";")
            if 'rel="next"' in about.replace(" ", ""):
                url = urljoin(answer.url, target.strip().strip("<>"))
                return url if self._same_place(url) else None
        return None

    def _same_place(self, url: str) -> bool:
        here, there = urlsplit(self.base), urlsplit(url)
        return (here.scheme, here.netloc) == (there.scheme, there.netloc)

    def _json(self, answer: HttpResponse) -> Any:
        try:
            return answer.body()
        except ValueError as error:
            raise NoAnswer(f"{self.host} answered with something other than JSON") from error

    # -- retries

    def _ask(
        self,
        method: str,
        url: str,
        right: str,
        *,
        params: Mapping[str, str | int] | None = None,
        content: Mapping[str, Any] | None = None,
    ) -> HttpResponse:
        if (left := self._paused_until - time.monotonic()) > 0:
            raise Limited(f"{self.host} asked for a pause of {left:.0f} s", left)
        end = time.monotonic() + TOTAL
        pause = FIRST_PAUSE
        for tries in range(1, _TRIES + 1):
            try:
                answer = self._follow(method, url, params, content, end)
                wait = self._limit(answer)
                if wait is None:
                    return self._judged(answer, right)
                if wait > _SHORT or tries == _TRIES:
                    self._paused_until = time.monotonic() + wait
                    raise Limited(f"{self.host} rate-limits us for {wait:.0f} s", wait)
            except _Again as error:
                wait = pause * (0.5 + random.random())  # noqa: S311 - no secret depends on it
                pause *= 3
                once = method not in _REPEATABLE and error.arrived
                if once or tries == _TRIES or time.monotonic() + wait > end:
                    raise NoAnswer(self._without_token(error.what)) from None
            if self._stopping.wait(wait):
                raise NoAnswer(f"stopped waiting for {self.host}: the runner is ending")
        raise AssertionError("the last try answers or raises")

    def _follow(
        self,
        method: str,
        url: str,
        params: Mapping[str, str | int] | None,
        content: Mapping[str, Any] | None,
        end: float,
    ) -> HttpResponse:
        """Send the request, following redirects on the same host: a repository was renamed."""
        for _ in range(_HOPS):
            answer = self._once(method, url, params, content, end)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url, params = urljoin(answer.url, answer.headers.get("location", "")), None
            if not self._same_place(url):
                raise HttpRejected(
                    f"{self.host} redirects to {_host(url) or 'nowhere'}, and the"
                    " token is not sent to another host",
                    remedy="Set forge.base_url in fleet.yaml to where the forge is now.",
                )
            if method != "GET" and answer.status not in (307, 308):
                raise HttpRejected(
                    f"{self.host} has this under another address: {urlsplit(url).path}"
                )
        raise HttpRejected(f"{self.host} redirects in a circle")

    def _once(
        self,
        method: str,
        url: str,
        params: Mapping[str, str | int] | None,
        content: Mapping[str, Any] | None,
        end: float,
    ) -> HttpResponse:
        """One try; it ends at the deadline even if a server sends a byte now and then."""
        httpx = _httpx()
        try:
            with self._client.stream(method, url, params=params or None, json=content) as response:
                data = bytearray()
                for part in response.iter_bytes():
                    data += part
                    if len(data) > LARGEST:
                        raise HttpRejected(
                            f"{self.host} answered with more than {LARGEST >> 20} MiB"
                        )
                    if time.monotonic() > end:
                        raise _Again(f"{self.host} takes too long to answer", arrived=True)
                headers = {key.lower(): value for key, value in response.headers.items()}
                status = response.status_code
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            what = f"{self.host} cannot be reached: {_said(error)}"
            raise _Again(what, arrived=False) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            what = f"{self.host} does not answer: {_said(error)}"
            raise _Again(what, arrived=True) from None
        except httpx.InvalidURL:
            raise HttpRejected(f"{self.host} has no such address") from None
        if status >= 500 and "retry-after" not in headers:
            raise _Again(f"{self.host} has an internal error (status {status})", arrived=True)
        return HttpResponse(status, headers, bytes(data), url)

    # -- responses

    def _limit(self, answer: HttpResponse) -> float | None:
        """Seconds that the service asks us to wait; None if it does not."""
        headers = answer.headers
        spent = headers.get("x-ratelimit-remaining") == "0" or "secondary rate" in _message(answer)
        limited = answer.status == 429 or answer.status >= 500
        if not limited and not (answer.status == 403 and (spent or "retry-after" in headers)):
            return None
        if (after := headers.get("retry-after", "")).strip():
            return _bounded(_after(after))
        reset = headers.get("x-ratelimit-reset") or headers.get("ratelimit-reset") or ""
        if spent and reset.isdecimal():
            return _bounded(int(reset[:12]) - _clock(headers) + 1)
        return _LIMITED

    def _judged(self, answer: HttpResponse, right: str) -> HttpResponse:
        """The response if it is a success; otherwise raises the fitting error."""
        status = answer.status
        if status < 400:
            return answer
        said = self._without_token(_message(answer))
        if status == 401:
            source = f" of {self._token.source}" if self._token.source else ""
            raise Denied(
                f"{self.host} rejected the token{source}: it is wrong, revoked or expired",
                remedy="Set a new one; `gitfleet help forges` lists the rights that it needs.",
            )
        if status == 403:
            raise Denied(
                f"the token for {self.host} lacks a right: {right}",
                remedy=f"Grant it; `gitfleet help forges` lists all rights. The forge says: {said}",
            )
        if status in (404, 410):
            raise NotThere(
                f"{self.host} shows nothing at {urlsplit(answer.url).path}",
                remedy="It was removed or renamed, or the token may not see it.",
            )
        raise HttpRejected(
            f"{self.host} refuses (status {status}): {said or 'it does not say why'}"
        )

    def _without_token(self, text: str) -> str:
        return self._token.out_of(text)


def _client(headers: Mapping[str, str], token: Secret, scheme: str) -> httpx.Client:
    library = _httpx()
    given = {"Accept": "application/json", "User-Agent": "git-fleet", **headers}
    if secret := token.reveal():
        given["Authorization"] = f"{scheme} {secret}"
    limits = library.Timeout(READ, connect=CONNECT)
    made: httpx.Client = library.Client(headers=given, timeout=limits, follow_redirects=False)
    return made


def _httpx() -> Any:
    try:
        # An optional dependency that only forges need; without it every other verb starts faster.
        import httpx  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise FleetError("forges need httpx, which is not installed", remedy=EXTRA) from (error)
    return httpx


EXTRA: Final = (
    "Install gitfleet with the extra `forges`, in its clone: `pip install '.[forges]'`;"
    " with pipx: `pipx inject git-fleet httpx`."
)


def check_address(base: str) -> None:
    """Raises FleetError unless a token may be sent there: over TLS, or to this very machine."""
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise FleetError(
            "forge.base_url is not a plain web address",
            where="fleet.yaml",
            remedy="Write it like https://git.example.org",
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise FleetError(
            "forge.base_url is not encrypted, so the token would be sent in the clear",
            where="fleet.yaml",
            remedy="Use https.",
        )


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _message(answer: HttpResponse) -> str:
    """A service's error message, in one line."""
    try:
        body = json.loads(answer.data[:65536])
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    parts = [body.get("message"), body.get("error_description"), body.get("error")]
    errors = body.get("errors")
    for one in errors if isinstance(errors, list) else ():
        parts.append(one.get("message") if isinstance(one, dict) else one)
    words = []
    for part in parts:
        if isinstance(part, list):
            words += [str(word) for word in part]
        elif part:
            words.append(str(part))
    return " ".join("; ".join(words).split())[:300]


def _after(text: str) -> float:
    """`Retry-After`: seconds, or a date."""
    if text.strip().isdecimal():
        return float(text.strip()[:9])
    try:
        return email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError):
        return _LIMITED


def _clock(headers: Mapping[str, str]) -> float:
    """The server's time: clocks differ."""
    try:
        return email.utils.parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError):
        return time.time()


def _bounded(seconds: float) -> float:
    return min(_LONGEST, max(0.0, seconds))
