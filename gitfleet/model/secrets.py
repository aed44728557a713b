"""Find secrets in a text, and mask them. Pure.

A secret is a value of the environment whose name says so, or a word of a shape that only secrets
have. A mask is built once from all known secrets and applied to every text before others can read
it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

NOTIFY_URLS: Final = "GITFLEET_NOTIFY_URLS"
"""A variable: addresses of notification services, apart by spaces. Attempts never see it."""

MASKED: Final = "<masked>"  # plain in YAML, JSON and Markdown, and no prefix of a secret
_SHORTEST: Final = 8  # characters of a value; shorter ones occur in ordinary text
_SHORTEST_LINE: Final = 16  # of a secret with several lines: each line is masked by itself

# Part of a variable's name, between underscores, that marks its value as secret.
_PARTS: Final = frozenset(
    (
        "TOKEN",
        "TOKENS",
        "SECRET",
        "SECRETS",
        "PASSWORD",
        "PASSWORDS",
        "PASSWD",
        "PASSPHRASE",
        "PASS",
        "PWD",
        "KEY",
        "KEYS",
        "APIKEY",
        "CREDENTIAL",
        "CREDENTIALS",
        "AUTH",
        "COOKIE",
        "COOKIES",
        "BEARER",
        "PAT",
        "DSN",
        "JWT",
    )
)
_WITHIN: Final = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "APIKEY", "PRIVATEKEY")
_HARMLESS: Final = frozenset(("PWD", "OLDPWD", "SSH_AUTH_SOCK", "XDG_SESSION_COOKIE"))
# git's settings from the environment: names beside values. Only these hold secrets.
_GIT_KEY: Final = re.compile(r"GIT_CONFIG_KEY_([0-9]+)\Z")
_GIT_SECRET: Final = re.compile(r"extraheader|password|token|credential", re.IGNORECASE)
_PLAIN_VALUE: Final = re.compile(r"[0-9.,:]*|true|false|enabled|disabled|required|optional", re.I)

# Shapes, each with a marker that must occur in a text before the shape is searched: for speed.
_SHAPES: Final[tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]] = tuple(
    (tuple(marks.split()), re.compile(shape))
    for marks, shape in (
        ("ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{16,}"),
        ("github_pat_", r"github_pat_[A-Za-z0-9_]{20,}"),
        ("gl", r"\bgl(?:pat|ptt|dt|rt|soat|cbt|ft|imt|agent|oas)-[A-Za-z0-9_.-]{16,}"),
        ("sk-", r"\bsk-[A-Za-z0-9_-]{16,}"),
        ("xox", r"xox[abeoprs]-[A-Za-z0-9-]{8,}"),
        ("xapp-", r"xapp-[A-Za-z0-9-]{10,}"),
        ("AKIA ASIA ABIA ACCA", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b"),
        ("AIza", r"\bAIza[A-Za-z0-9_-]{30,}"),
        ("ya29.", r"\bya29\.[A-Za-z0-9_-]{20,}"),
        ("npm_", r"\bnpm_[A-Za-z0-9]{30,}"),
        ("pypi-", r"\bpypi-[A-Za-z0-9_-]{40,}"),
        ("hf_", r"\bhf_[A-Za-z0-9]{30,}"),
        ("dop_v1_", r"\bdop_v1_[a-f0-9]{40,}"),
        ("k_live_ k_test_", r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}"),
        ("AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[A-Z0-9]{20,}"),
        # A JSON web token.
        ("eyJ", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
        # A private key, also one whose end was cut off.
        (
            "PRIVATE",
            r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----)[\s\S]){0,20000}"
            r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----",
        ),
        (
            "PRIVATE",
            r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?:\s|\\+[nr])*[A-Za-z0-9+/=]{4,})*",
        ),
    )
)
_KEY_END: Final = re.compile(r"-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----")
_KEY_LINE: Final = re.compile(r"[A-Za-z0-9+/=]{16,}\Z")
_KEY_LAST: Final = re.compile(r"[A-Za-z0-9+/=]{4,}\Z")  # the last line is shorter
_LINE_END: Final = re.compile(r"(?:\s|\\+[nr])+\Z")
_KEY_LINES: Final = 200  # of the longest key
# The groups keep the harmless part: an address without its password, a header without its value.
_AROUND: Final[tuple[tuple[str, re.Pattern[str]], ...]] = (
    (
        "://",
        re.compile(
            r"([a-z][a-z0-9+.-]{0,30}://[^/\s'\"@:<>]{0,200}:)(?!<masked>@)[^/\s'\"@]{1,2000}(@)",
            re.IGNORECASE,
        ),
    ),
    (
        "://",
        re.compile(
            r"(https?://)(?!<masked>@|[^/\s'\"@]{0,200}:<masked>@)[^/\s'\"@]{1,2000}(@)",
            re.IGNORECASE,
        ),
    ),
    (
        "uthorization",
        re.compile(
            r"(authorization\\*[\"']?\s{0,9}[:=]\s{0,9}\\*[\"']?(?:basic|bearer|token)\s{1,9})"
            r"(?!<masked>)[A-Za-z0-9+/=._~-]{8,}()",
            re.IGNORECASE,
        ),
    ),
)


def secrets_of(environment: Mapping[str, str]) -> frozenset[str]:
    """The values of an environment that look like credentials, by their names."""
    found = {value for name, value in environment.items() if is_secret_name(name)}
    for name, key in environment.items():
        number = _GIT_KEY.match(name)
        if number and _GIT_SECRET.search(key):
            found.add(environment.get(f"GIT_CONFIG_VALUE_{number[1]}", ""))
    return frozenset(value.strip() for value in found if _worth(value.strip()))


def is_secret_name(name: str) -> bool:
    """Whether a variable or an option of this name holds a credential."""
    upper = name.upper()
    if upper in _HARMLESS or upper.startswith("GIT_CONFIG_"):
        return False
    return not _PARTS.isdisjoint(upper.split("_")) or any(word in upper for word in _WITHIN)


def _worth(value: str) -> bool:
    return len(value) >= _SHORTEST and not _PLAIN_VALUE.fullmatch(value)


class Mask:
    """Removes secrets from texts. Any thread may use it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spelt = {form for secret in secrets for form in _forms(secret)}
        # The longest first, so that nothing remains of a secret that is part of another one.
        words = [re.escape(form) for form in sorted(spelt, key=lambda form: (-len(form), form))]
        self._secrets: Final = re.compile("|".join(words)) if words else None
        self._longest = max((len(form) for form in spelt), default=0)

    def __repr__(self) -> str:
        """Without its secrets: it may end up in a log."""
        return "Mask(…)"

    @property
    def reach(self) -> int:
        """The number of characters before a cut to search, so that a secret across it is
        recognised."""
        return max(4096, 2 * self._longest)

    def text(self, text: str) -> str:
        """The text, each secret in it replaced."""
        if self._secrets is not None:
            text = self._secrets.sub(MASKED, text)
        for marks, shape in _SHAPES:
            if any(mark in text for mark in marks):
                text = shape.sub(MASKED, text)
        for mark, around in _AROUND:
            if mark in text:
                text = around.sub(rf"\1{MASKED}\2", text)
        return _without_key_ends(text) if "PRIVATE" in text else text

    def bytes(self, data: bytes) -> bytes:
        """The bytes with each secret replaced; invalid UTF-8 stays as it is."""
        text = data.decode("utf-8", "surrogateescape")
        masked = self.text(text)
        return data if masked == text else masked.encode("utf-8", "surrogateescape")

    def data(self, data: Any) -> Any:
        """Nested data with each secret replaced, in keys of mappings too."""
        match data:
            case str():
                return self.text(data)
            case bytes():
                return self.bytes(data)
            case list():
                return [self.data(item) for item in data]
            case tuple():
                return tuple(self.data(item) for item in data)
            case dict():
                return {self.data(key): self.data(item) for key, item in data.items()}
        return data

    def tail(self, text: str, most: int) -> str:
        """The last `most` characters of the masked text; cut after masking, never through a secret.

        `text` is the end of a longer text, at least `reach` longer than `most` if there is more.
        """
        masked = self.text(text)
        if len(text) >= most + self.reach - 4:  # it may start within a secret
            masked = masked[self.reach // 2 :]
        return masked[-most:]


def _without_key_ends(text: str) -> str:
    """The text without private keys whose start was cut off: everything up to their end."""
    parts: list[str] = []
    at = 0
    for end in _KEY_END.finditer(text):
        before = text[at : end.start()][-_KEY_LINES * 100 :]
        cut = before
        for number in range(_KEY_LINES):
            shorter = _LINE_END.sub("", cut)
            line = (_KEY_LINE if number else _KEY_LAST).search(shorter)
            if line is None or (number and shorter == cut):
                break
            cut = shorter[: line.start()]
        parts += [text[at : end.start() - len(before)], cut, MASKED]
        at = end.end()
    return "".join([*parts, text[at:]])


NOTHING: Final = Mask()
"""Knows no secret by its value, only those that show by their shape."""


def _forms(secret: str) -> Iterable[str]:
    """A secret as it may be spelt inside something else: quoted for JSON, YAML, an address."""
    lines = [line.strip() for line in secret.splitlines()]
    several = [line for line in lines if len(line) >= _SHORTEST_LINE and "-----" not in line]
    for one in (secret, *(several if len(lines) > 1 else ())):
        for ascii_only in (True, False):
            once = json.dumps(one, ensure_ascii=ascii_only)[1:-1]
            yield once
            twice = json.dumps(once, ensure_ascii=ascii_only)[1:-1]
            yield twice
            yield once.replace("/", "\\/")
        yield one
        yield one.replace("'", "''")
        yield quote(one, safe="")
        yield quote(one)
