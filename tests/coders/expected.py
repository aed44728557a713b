"""What every transcript is: which situation it shows, and how a run like it is to be judged.

Written from the transcripts and their run records, not from what the code makes of them. A verdict
is an outcome of docs/lifecycle.md and, behind a colon, the kind of failure. "ok": it succeeded,
and what it did decides; "ok, denied X": it succeeded and had been denied X, which is why it failed
if it did nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

OK: Final = "ok"
AUTH: Final = "auth-failed: auth"
LIMITED: Final = "limited: limited"
DOWN: Final = "limited: overloaded"
FULL: Final = "context-full: context-full"
CRASHED: Final = "failed: crashed"
GONE: Final = "interrupted: no-session"
WRONG: Final = "misconfigured: misconfigured"

# Situation → coder → verdict → the cases that show it.
SITUATIONS: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "it does its work": {
        "claude": {
            OK: "success latest-success demo1 demo2 bare usage partial stdin-prompt"
            " stdin-streamjson perm-skip-root-sandbox"
        },
        "codex": {
            OK: "success demo1 demo2 apply-patch-todo stdin sandbox-danger perm-profile perm-roots"
            " net-ww"
        },
        "opencode": {OK: "success demo1 demo2 stdin perm-default perm-outside-auto"},
        "gemini": {OK: "success demo1 stdin session-id"},
        "qwen": {OK: "success latest-success demo1 demo2"},
        "copilot": {OK: "success demo1 demo2"},
        "aider": {OK: "success"},
    },
    "it reports success, but cannot have done anything": {
        "codex": {OK: "sandbox-none-flag sandbox-workspace-write sandbox-approve-for-me"},
    },
    "it ends while its background job still runs": {"claude": {OK: "bg-after-end"}},
    "it resumes a session": {
        "claude": {
            OK: "resume-1 resume-2 resume-fork continue latest-resume sigkill-then-resume-b"
            " sigterm-then-resume-b"
        },
        "codex": {OK: "resume-1 resume-2 resume-otherdir fork sigkill-resume-b sigterm-resume-b"},
        "opencode": {OK: "resume-1 resume-2 continue"},
        "gemini": {OK: "resume-1 resume-2"},
        "qwen": {OK: "resume"},
        "aider": {OK: "resume-1 resume-2"},
    },
    "the session is missing, or belongs to another folder": {
        "claude": {GONE: "resume-badid resume-wrongdir"},
        "codex": {GONE: "resume-bad"},
        "opencode": {GONE: "resume-bad", CRASHED: "resume-otherdir"},  # it hangs, and was killed
    },
    "its key was refused: 401": {
        "claude": {AUTH: "err401"},  # still trying when it was killed
        "codex": {AUTH: "err401"},
        "opencode": {AUTH: "err401"},
        "gemini": {AUTH: "err401 err400-key"},
        "qwen": {AUTH: "err401 latest-err401"},
        "copilot": {AUTH: "err401"},
        "aider": {AUTH: "err401"},
    },
    "access is denied: 403": {
        "claude": {AUTH: "err403"},
        "opencode": {AUTH: "err403"},
        "gemini": {AUTH: "err403"},
    },
    "it has no key": {"claude": {AUTH: "no-key"}},
    "a 429, then an answer": {
        "claude": {OK: "err429-once"},
        "codex": {OK: "stream-failed-rate"},
        "opencode": {OK: "err429-printlogs"},
        "gemini": {OK: "err429-once"},
        "qwen": {OK: "err429-once"},
        "copilot": {OK: "err429-once"},
        "aider": {OK: "err429-once"},
    },
    "a 500, then an answer": {
        "claude": {OK: "err500-once"},
        "codex": {OK: "err500-once"},
        "opencode": {OK: "err500-once"},
        "gemini": {OK: "err500-once"},
        "aider": {OK: "err500-once"},
    },
    "the stream is cut or fails, then an answer": {
        "claude": {OK: "cut stream-error"},
        "codex": {OK: "cut hang"},
        "opencode": {OK: "cut stream-error"},
    },
    "429 on every try": {
        "claude": {
            LIMITED: "err429-default err429-max2 latest-err429-max1"
            " ratelimit-429-apikey-retryafter3600"
        },
        "codex": {LIMITED: "err429-forever"},
        "opencode": {CRASHED: "err429-forever"},  # without its log there is nothing to see
        "gemini": {LIMITED: "err429-forever"},
        "aider": {LIMITED: "err429"},
    },
    "500 or 503 on every try": {
        "claude": {DOWN: "err500-max0"},
        "codex": {DOWN: "err500-forever"},
        "opencode": {CRASHED: "err500-forever"},
        "gemini": {DOWN: "err503-forever"},
    },
    "the stream is cut on every try": {"codex": {DOWN: "cut-forever"}, "gemini": {DOWN: "cut"}},
    "no server listens": {
        "claude": {DOWN: "conn-refused"},
        "opencode": {CRASHED: "conn-refused"},
        "gemini": {DOWN: "conn-refused"},
    },
    "a quota or credit is used up": {
        "claude": {LIMITED: "err400-credit"},
        "codex": {LIMITED: "err429-quota stream-failed-quota"},
        "gemini": {LIMITED: "err429-quota-day"},
    },
    "a limit that says when it resets": {
        "claude": {"limited until 2026-11-20T16:05:13Z: limited": "ratelimit-429-oauth"},
        "codex": {"limited until 2026-11-20T16:08:00Z: limited": "err429-usage-limit"},
    },
    "a limit is near": {"claude": {OK: "ratelimit-headers-oauth"}},
    "the context is too long": {
        "claude": {FULL: "err400-toolong"},
        "codex": {FULL: "err400-ctx"},
        "aider": {FULL: "err400-ctx"},
    },
    "the context was too long, and it recovered": {
        "claude": {OK: "autocompact"},
        "opencode": {OK: "err400-ctx"},  # with exit status 1
    },
    "the reply is cut at the maximum length": {
        "claude": {CRASHED: "max-tokens"},
        "codex": {CRASHED: "max-tokens"},
        "opencode": {CRASHED: "max-tokens"},  # with exit status 0
    },
    "the model refuses": {"claude": {"failed: refused": "refusal"}},
    "the maximum number of turns is reached": {"claude": {CRASHED: "max-turns"}},
    "its own budget is used up": {"claude": {"over-budget: over-budget": "max-budget"}},
    "tools are denied, and it continues": {
        "claude": {
            "ok, denied Write Bash": "perm-none",
            "ok, denied Bash": "perm-acceptEdits",
        },
        "opencode": {"ok, denied Bash": "perm-deny-bash", "ok, denied bash": "perm-git-only"},
        "gemini": {
            "ok, denied Write Bash": "perm-default",
            "ok, denied Bash": "perm-auto-edit",
            "ok, denied run_shell_command": "perm-allowed-tools",
            "ok, denied ask_human": "mcp-autoedit",
        },
        "qwen": {
            "ok, denied Bash": "perm-default",
            "ok, denied mcp__gitfleet__ask_human": "mcp-autoedit",
        },
        "copilot": {"ok, denied bash": "perm-none"},
    },
    "a tool is denied, and it stops": {
        "opencode": {"failed: permission-denied": "perm-ask perm-outside"},
    },
    "a tool of gitfleet's MCP server is called": {
        "claude": {
            OK: "mcp mcp-slow90 mcp-timeout5 latest-mcp latest-mcp-fullname latest-mcp-nosearch"
            " latest-mcp-nonblocking0"
        },
        "codex": {
            OK: "mcp mcp-slow90 mcp-slow90-timeout600 mcp-slow15-timeout5 mcp-ww mcp-ww-approved"
        },
        "opencode": {OK: "mcp mcp-slow40 mcp-slow40-timeout600 mcp-slow75-default mcp-slow75-exp"},
        "gemini": {OK: "mcp mcp-slow75 mcp-autoedit-trust"},
        "qwen": {OK: "mcp latest-mcp mcp-autoedit-allowed"},
        "copilot": {OK: "mcp"},
    },
    "an MCP server is broken": {
        "claude": {OK: "mcp-broken"},
        "codex": {OK: "mcp-broken", WRONG: "mcp-broken-required"},
        "opencode": {OK: "mcp-broken"},
    },
    "a wrong flag, model or setting": {
        "claude": {WRONG: "no-verbose session-id-again perm-bypass-mode-root"},
        "codex": {WRONG: "wire-chat"},
        "opencode": {CRASHED: "bad-model"},  # it calls that an unexpected server error
    },
    "TERM ends it": {
        "claude": {
            CRASHED: "sigterm-bash sigterm-group-bash sigterm-setsid sigterm-then-resume-a"
            " latest-sigterm-bash"
        },
        "codex": {
            CRASHED: "sigterm-bash sigterm-group-bash sigterm-mcp sigterm-model sigterm-resume-a"
            " sigterm-ww-bash"
        },
        "opencode": {CRASHED: "sigterm-bash sigterm-mcp"},
        # With 0 where it hears the signal, and with KILL where it does not.
        "gemini": {
            CRASHED: "sigterm-bash sigterm-group-bash sigterm-mcp sigterm-norelaunch-mcp"
            " sigterm-norelaunch-model"
        },
        "qwen": {CRASHED: "sigterm-group-bash latest-sigterm-bash"},
        "copilot": {CRASHED: "sigterm-bash"},
        "aider": {CRASHED: "sigterm"},
    },
    "INT ends it": {
        "claude": {CRASHED: "sigint-bash sigint-model latest-sigint-bash"},
        "codex": {CRASHED: "sigint-model"},
        "opencode": {CRASHED: "sigint-bash sigint-model"},
        "gemini": {CRASHED: "sigint-bash sigint-norelaunch-bash"},
        "aider": {CRASHED: "sigint"},  # with exit status 0
    },
    "KILL ends it": {
        "claude": {CRASHED: "sigkill-bash sigkill-group-bash latest-sigkill-group-bash"},
        "codex": {
            CRASHED: "sigkill-bash sigkill-group-bash sigkill-group-ww-bash sigkill-mcp"
            " sigkill-resume-a"
        },
        "opencode": {CRASHED: "sigkill-bash sigkill-group-bash"},
        "gemini": {CRASHED: "sigkill-group-bash"},
        "copilot": {CRASHED: "sigkill-group-bash"},
    },
}

CODERS: Final = ("claude", "codex", "opencode", "gemini", "qwen", "copilot", "aider")
EXPECTED: Final[Mapping[tuple[str, str], str]] = {
    (coder, case): verdict
    for verdicts in SITUATIONS.values()
    for coder, cases in verdicts.items()
    for verdict, names in cases.items()
    for case in names.split()
}
