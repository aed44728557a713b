"""Why a coder failed, by more than its exit status: one table for all coders.

All of these were seen in real runs:

- claude reports `subtype: success` with `is_error` true; it only lists denied tools.
- qwen (to 0.15) and aider exit with 0 although their key was refused or the context was too long.
- opencode exits with 1 after an error that it overcame, and is silent while it retries.
- codex sends `error` for what it merely retries, and `turn.failed` for what is final.
- gemini exits with the HTTP status modulo 256, and with 0 when a signal ended it in the middle.
- A run may end while its tools still run, or be ended while it retries for ever.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from gitfleet.coders import jsonl
from gitfleet.coders.base import FinishedRun, Judgement, Tally, judge_exit
from gitfleet.coders.reset_time import reset_in
from gitfleet.model.states import Failure

# By the names that services and coders give their errors.
KINDS: Final[Mapping[str, Failure]] = {
    **dict.fromkeys(("authentication_failed", "oauth_org_not_allowed"), Failure.AUTH),
    **dict.fromkeys(("authentication", "transient_auth_error", "ProviderAuthError"), Failure.AUTH),
    **dict.fromkeys(("billing_error", "rate_limit", "quota"), Failure.LIMITED),
    **dict.fromkeys(("overloaded", "server_error"), Failure.OVERLOADED),
    **dict.fromkeys(("prompt_too_long", "ContextOverflowError"), Failure.CONTEXT_FULL),
    **dict.fromkeys(("refusal", "content_filter"), Failure.REFUSED),
    **dict.fromkeys(("max_output_tokens", "length", "error_max_turns"), Failure.CRASHED),
    **dict.fromkeys(("aborted_streaming", "aborted_tools"), Failure.CRASHED),
    "error_max_budget_usd": Failure.OVER_BUDGET,
    "model_not_found": Failure.MISCONFIGURED,
}


class Words(NamedTuple):
    """A failure by the words of an error; the first matching row counts."""

    failure: Failure
    pattern: re.Pattern[str]


def _words(failure: Failure, *parts: str) -> Words:
    return Words(failure, re.compile("|".join(parts), re.IGNORECASE))


_STATUS: Final = r"(?:status|http|error|code)\W{0,6}(?:code\W{0,3})?"
WORDS: Final = (
    _words(
        Failure.CRASHED,
        *(r"unexpected server error\. check server logs", r"output token maximum"),
        *(r"max(?:imum)?[_ ]output[_ ]tokens", r"number of turns"),
    ),
    _words(
        Failure.CONTEXT_FULL,
        *(r"prompt is too long", r"maximum context length", r"context[_ ]length[_ ]exceeded"),
        *(r"room in the model's context", r"ContextOverflow", r"ContextWindowExceeded"),
        *(r"exceeds? (?:the )?(?:available )?context", r"exceed_context_size"),
        *(r"input token count.{0,40}exceeds", r"exceeds (?:the|its) context window"),
    ),
    _words(
        Failure.LIMITED,
        *(
            r"rate[-_ ]?limit",
            r"too many requests",
            r"\bquotas?\b",
            r"insufficient_quota",
            r"RESOURCE_EXHAUSTED",
        ),
        *(r"(?:usage|session|weekly|daily|hourly|request) limit", r"hit your .{0,30}limit"),
        *(r"credit balance", r"out of credits?", r"billing", r"payment required"),
        *(r"insufficient (?:credits?|funds|balance)", _STATUS + r"4(?:02|29)\b"),
    ),
    _words(
        Failure.AUTH,
        *(r"authentication[_ ]?(?:error|failed)", r"failed to authenticate", r"unauthori[sz]ed"),
        *(r"unauthenticated", r"not (?:able to )?authenticate", r"not (?:been )?logged in"),
        *(r"run /login", r"log ?in (?:is )?required", r"please (?:log|sign) ?in"),
        *(r"(?:invalid|incorrect|bad|missing|no|expired)[_ ]api[_ ]?key", r"api key not valid"),
        *(r"set (?:an auth method|the \w*(?:API_KEY|_TOKEN)\b)", r"missing environment variable"),
        *(r"_API_KEY.{0,40}(?:not set|missing|required|not found|must be)",),
        *(r"token (?:has |is )?(?:expired|invalid|revoked)", _STATUS + r"40[13]\b"),
    ),
    _words(
        Failure.REFUSED,
        *(r"usage polic", r"content[_ ]polic", r"content[_ ]filter", r"\brefusal\b"),
        *(r"prohibited_content", r"unable to respond to this request"),
    ),
    _words(Failure.OVER_BUDGET, r"maximum budget"),
    _words(
        Failure.NO_SESSION,
        *(r"no conversation found", r"session not found", r"no rollout found"),
        *(r"invalid session identifier", r"error resuming session", r"no previous sessions?"),
    ),
    _words(
        Failure.MISCONFIGURED,
        *(r"model_not_found", r"\bmodel\b[^.]{0,60}(?:not found|not exist|not supported)"),
        *(r"unknown (?:option|argument|flag|model)", r"unexpected argument"),
        *(r"unrecogni[sz]ed (?:option|argument|flag)", r"invalid argument .{0,60}--"),
        *(r"no such option", r"invalid option", r"invalid value .{0,60}for", r"requires --\w+"),
        *(r"error loading config", r"configuration is invalid", r"invalid config"),
        *(r"cannot be used with root", r"required MCP servers failed", r"session id .{0,60}in use"),
        *(r"trusted (?:directory|folder)", r"not inside a trusted"),
    ),
    _words(
        Failure.OVERLOADED,
        *(r"overloaded", r"high demand", r"unavailable", r"server[_ ]error", r"bad gateway"),
        *(r"internal error", r"connection", r"network", r"timed? ?out", r"ECONN\w+", r"EAI_AGAIN"),
        *(r"fetch failed", r"stream disconnected", r"\bterminated\b", r"socket", r"reset by peer"),
        *(r"unable to connect", r"name resolution", _STATUS + r"(?:408|5\d\d)\b"),
    ),
)

# The meaning of an exit status, by coder, if nothing else explains the failure.
EXITS: Final[Mapping[tuple[str, int], Failure]] = {
    ("gemini", 41): Failure.AUTH,
    ("gemini", 42): Failure.NO_SESSION,
    ("gemini", 44): Failure.MISCONFIGURED,  # its sandbox
    ("gemini", 52): Failure.MISCONFIGURED,
    ("gemini", 53): Failure.CRASHED,  # its limit of turns
    ("gemini", 55): Failure.MISCONFIGURED,  # a folder it does not trust
}
# These exit with the HTTP status of the last error modulo 256.
_BY_STATUS: Final = frozenset({"gemini"})
# These exit with a failure after an error that they overcame, if they then report success.
_LATE: Final = frozenset({"opencode"})
_TROUBLE: Final = re.compile(
    r"(?i)error|fail|retry|denied|invalid|unknown|unexpected|cannot|not found|limit|exceed|must"
)
_FRAME: Final = re.compile(r"\s*(?:at |\{|\}|\[?(?:startup|debug|info)\b)", re.IGNORECASE)
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_FIELD: Final = re.compile(r'\berror\.error="([^"]+)"')  # of a line of opencode's log
_TAIL: Final = 16_000  # bytes of standard error to look at
_REASON: Final = 300  # characters of a coder's own words in a reason


def classify(text: str, status: int = 0, *kinds: str) -> Failure:
    """The failure behind an error: by its names, its words, its HTTP status, else a crash."""
    for kind in kinds:
        if kind in KINDS:
            return KINDS[kind]
    return by_words(text) or by_status(status) or Failure.CRASHED


def by_words(text: str) -> Failure | None:
    """The failure behind an error by its words alone."""
    for row in WORDS:
        if row.pattern.search(text):
            return row.failure
    return None


def by_status(status: int) -> Failure | None:
    """The failure behind an error by its HTTP status alone."""
    if status in (401, 403, 407):
        return Failure.AUTH
    if status in (402, 429):
        return Failure.LIMITED
    if status == 413:
        return Failure.CONTEXT_FULL
    if status == 404:
        return Failure.MISCONFIGURED
    return Failure.OVERLOADED if status == 408 or 500 <= status < 600 else None


def judge_of(coder: str) -> Callable[[FinishedRun], Judgement]:
    """The judge of one coder, for its `Coder`."""
    return functools.partial(judge, coder)


def judge(coder: str, run: FinishedRun) -> Judgement:
    """Why a coder's run failed, if it did."""
    tally, ended = run.tally, run.exit
    if tally.failure is not None:
        return _failed(run, tally.failure, tally.error)
    if tally.final and (ended.code == 0 or (coder in _LATE and ended.code and tally.seen)):
        return Judgement(reason=_still(tally), denied=tally.denied)
    if ended.code == 0 and tally.denied:
        return _failed(run, Failure.DENIED, f"it may not use {', '.join(tally.denied)}")
    failure, words = _from_outside(coder, run)
    return _failed(run, failure, words or _how(run))


def judge_told(run: FinishedRun) -> Judgement:
    """The same for a program that need not report its end, and may report failures."""
    tally = run.tally
    if tally.failure is not None:
        return _failed(run, tally.failure, tally.error)
    judged = judge_exit(run)
    return judged if judged.failure else Judgement(denied=tally.denied)


def _failed(run: FinishedRun, failure: Failure, words: str) -> Judgement:
    tally = run.tally
    until = tally.until
    if until is None and failure in (Failure.LIMITED, Failure.OVERLOADED):
        until = reset_in(words, datetime.fromtimestamp(run.exit.at, UTC))
    return Judgement(
        failure=failure,
        reason=_short(words) or failure.value,
        until=until if failure is Failure.LIMITED else None,
        denied=tally.denied,
    )


def _short(words: str) -> str:
    """One line of limited length, of whole words: masking would not recognise half a secret."""
    line = " ".join(words.split())
    if len(line) <= _REASON:
        return line
    return f"{line[:_REASON].rpartition(' ')[0]} …".strip()


def _from_outside(coder: str, run: FinishedRun) -> tuple[Failure, str]:
    """Explain a failure that the coder's own events do not."""
    code = run.exit.code
    # If it was ended from outside, only its very last words explain it.
    killed = code is None or (code > 128 and coder not in _BY_STATUS)
    words = "" if killed and not _younger(run.stderr, run.stdout) else _last(run)
    if code is not None and (coder, code) in EXITS:
        return EXITS[coder, code], words
    if (found := by_words(words)) is not None and (code or explained(found)):
        return found, words
    if code and code > 143 and coder in _BY_STATUS and (found := by_status(code + 256)):
        return found, f"HTTP status {code + 256}"
    return Failure.CRASHED, words if code and not killed else ""


def explained(failure: Failure) -> bool:
    """Whether a line of standard error may explain a run that did not end by itself."""
    return failure in (Failure.AUTH, Failure.LIMITED, Failure.OVERLOADED, Failure.CONTEXT_FULL)


def _last(run: FinishedRun) -> str:
    """The last line of standard error that mentions a problem."""
    for line in reversed(jsonl.tail(run.stderr, _TAIL)):
        if _TROUBLE.search(line) and not _FRAME.match(line):
            words = _COLOUR.sub("", line).strip()
            told = _FIELD.search(words)
            return told[1] if told else words
    return ""


def _younger(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_size > 0 and one.stat().st_mtime_ns >= other.stat().st_mtime_ns
    except OSError:
        return False


def _how(run: FinishedRun) -> str:
    ended = run.exit
    if ended.signal is not None or (ended.code or 0) > 128:
        how = f"it was ended by signal {ended.signal or (ended.code or 0) - 128}"
    elif ended.code:
        how = f"exit status {ended.code}"
    else:
        how = "it ended without reporting that it was done"
    still = _still(run.tally)
    return f"{how}; {still}" if still else how


def _still(tally: Tally) -> str:
    """The tools that had not returned."""
    names = tuple(dict.fromkeys(tool.name or "a tool" for tool in tally.tools.values()))
    return f"{', '.join(names[:5])} was still running" if names else ""
