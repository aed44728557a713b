"""Settings: the shared ones on the board, and those of one machine."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct

from gitfleet.model.durations import Duration
from gitfleet.model.task import Branch, CoderList, Command, Line, Word, check_choice

FORMAT = 2


class PromptBy(StrEnum):
    """How a command receives its prompt."""

    FILE = "file"
    STDIN = "stdin"
    ARGUMENT = "argument"


class EventsAs(StrEnum):
    """How a command's output is read."""

    TEXT = "text"  # each line is text
    NONE = "none"
    JSON = "json"  # each line is an event in gitfleet's own words: docs/coders.md


class Permission(StrEnum):
    """What a coder may do without asking."""

    LEAST = "least"  # the least that works without a person
    BYPASS = "bypass"  # everything; the machine's own config.yaml must allow it, too


class RoleSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The coder and model of one role."""

    coder: Annotated[Word | None, Meta(description="A coder's name.")] = None
    model: Annotated[Word | None, Meta(description="Its model.")] = None
    coders: Annotated[
        CoderList,
        Meta(
            description="Instead of coder and model: several, best first, a name or {coder, model}."
            " The first one that is not paused is used."
        ),
    ] = ()

    def __post_init__(self) -> None:
        check_choice(self.coder, self.model, self.coders)


class Roles(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The coders of each role; without `validate`, checks alone decide."""

    work: RoleSettings = RoleSettings()
    validate: RoleSettings | None = None
    plan: RoleSettings = RoleSettings()


class CoderSettings(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """The settings of one coder. With `argv` it is a coder without code."""

    concurrency: Annotated[int, Meta(ge=0, le=1000)] | None = None
    argv: Annotated[
        tuple[Line, ...],
        Meta(
            description="The command, one word each. {prompt_file}, {prompt}, {model}, {workspace}"
            " and {task} are replaced inside a word; no shell reads it."
        ),
    ] = ()
    prompt: Annotated[
        PromptBy | None, Meta(description="file, stdin or argument; default: by argv.")
    ] = None
    events: Annotated[EventsAs, Meta(description="How its output is read.")] = EventsAs.TEXT
    env: Annotated[
        dict[str, str], Meta(description="Additional environment variables. Never a secret.")
    ] = {}
    program: Annotated[
        Line | None, Meta(description="Its program, if it is not on PATH under its own name.")
    ] = None
    args: Annotated[
        tuple[Line, ...], Meta(description="Arguments added after those that gitfleet passes.")
    ] = ()
    base_url: Annotated[
        Line | None, Meta(description="The URL of its model: Ollama, vLLM, llama.cpp, a gateway.")
    ] = None
    window: Annotated[
        Annotated[int, Meta(ge=1000)] | None,
        Meta(
            description="The size of its model's context window in tokens, if gitfleet does not"
            " know it."
        ),
    ] = None
    permission: Annotated[
        Permission,
        Meta(description="bypass: no permission checks, if a machine's config.yaml allows it."),
    ] = Permission.LEAST
    options: Annotated[
        dict[str, Any], Meta(description="For a plugin, which validates them. Never a secret.")
    ] = {}


class Backoff(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The pause after a failed attempt: `initial`, then longer by `factor` each time."""

    initial: Duration = "10s"
    factor: Annotated[float, Meta(ge=1, le=100)] = 2.0
    max: Duration = "5m"


class ContextSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to do when a coder's context fills up."""

    stop: Annotated[
        int,
        Meta(ge=1, le=100, description="Percent of the window at which an attempt is ended."),
    ] = 90


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long an attempt may take, and how long it may be silent."""

    first_event: Duration = "5m"
    silence: Duration = "15m"
    tool: Duration = "60m"
    attempt: Duration = "2h"


class Ask(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How agents ask people."""

    wait: Annotated[
        Duration,
        Meta(description="How long an agent that asks through MCP waits before it must stop."),
    ] = "2m"


class WorkspaceSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a fresh worktree needs before anyone can work in it."""

    setup: Annotated[tuple[Command, ...], Meta(description="Commands run once in it.")] = ()
    copy: Annotated[
        tuple[Line, ...], Meta(description="Files or folders copied from the user's checkout.")
    ] = ()
    link: Annotated[
        tuple[Line, ...], Meta(description="The same as symbolic links: shared, not copied.")
    ] = ()


class TranscriptSharing(StrEnum):
    """Who can read transcripts."""

    LOCAL = "local"  # only people with access to the runner's machine
    PUSH = "push"  # every clone


class ForgeKind(StrEnum):
    """The forges that need no plugin."""

    GITHUB = "github"  # and Enterprise
    GITLAB = "gitlab"
    GITEA = "gitea"  # and Forgejo
    NONE = "none"  # the branch alone is the pull request


class ForgeSettings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The forge on which people answer questions. Its token belongs to the machine."""

    kind: Annotated[
        Word | None,
        Meta(
            description="github, gitlab, gitea (Forgejo too), none, or the name of a plugin;"
            " needed if the remote's address does not show it.",
            extra_json_schema={"examples": [kind.value for kind in ForgeKind]},
        ),
    ] = None
    base_url: Annotated[
        Line | None, Meta(description="The forge's address in a browser; likewise.")
    ] = None
    repository: Annotated[Line | None, Meta(description="owner/name there; likewise.")] = None
    poll: Annotated[Duration, Meta(description="How often it is asked for answers.")] = "30s"
    options: Annotated[
        dict[str, Any], Meta(description="For a plugin, which validates them. Never a secret.")
    ] = {}

    @property
    def by_hand(self) -> bool:
        """Whether there is no forge to ask: merging the branch of a question answers it."""
        return self.kind == ForgeKind.NONE


class Notice(StrEnum):
    """What people can be notified of."""

    QUESTION = "question"  # an agent asks
    FAILED = "failed"  # a task needs a person
    LANDED = "landed"  # work is in the target
    IDLE = "idle"  # no runner has anything left to do
    LIMITED = "limited"  # a coder's rate or quota is used up
    RUNNER_LOST = "runner-lost"  # a runner vanished with its claims


class Settings(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """fleet.yaml: the settings that all runners of a board share."""

    format: Annotated[int, Meta(ge=1, description="The format of the board.")]
    target: Annotated[
        Branch | None, Meta(description="The branch that finished work lands on.")
    ] = None
    concurrency: Annotated[
        int, Meta(ge=1, le=1000, description="Attempts at once per runner, over all coders.")
    ] = 3
    checks: Annotated[
        tuple[Command, ...], Meta(description="What must pass on every tree that lands.")
    ] = ()
    checks_timeout: Annotated[Duration, Meta(description="For each check.")] = "15m"
    roles: Roles = Roles()
    coders: Annotated[dict[Word, CoderSettings], Meta(description="Per coder.")] = {}
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    max_fix_rounds: Annotated[int, Meta(ge=0, le=100)] = 3
    backoff: Backoff = Backoff()
    context: ContextSettings = ContextSettings()
    timeouts: Timeouts = Timeouts()
    ask: Ask = Ask()
    heartbeat: Duration = "30s"
    lease: Duration = "5m"
    transcripts: Annotated[
        TranscriptSharing,
        Meta(description="push: what attempts wrote goes to the remote, for `gitfleet log`."),
    ] = TranscriptSharing.LOCAL
    transcripts_keep: Annotated[
        Duration, Meta(description="How long a transcript stays on the remote.")
    ] = "30d"
    workspace: WorkspaceSettings = WorkspaceSettings()
    sign: Annotated[bool, Meta(description="Sign the commits gitfleet makes.")] = False
    remote: Annotated[Word | None, Meta(description="The git remote of the board, or none.")] = None
    forge: Annotated[
        ForgeSettings | None, Meta(description="Open questions become pull requests there.")
    ] = None
    notify: Annotated[
        tuple[Notice, ...], Meta(description="Events that people are notified of.")
    ] = ()

    @property
    def old_format(self) -> bool:
        """Whether the board is of a format that is read, and not written any more."""
        return self.format < FORMAT


class MachineForge(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How this machine gets the token of a forge that is not in the environment."""

    token_command: Annotated[
        tuple[Line, ...],
        Meta(description="A command, one word each, that prints the token; no shell reads it."),
    ] = ()


# `writeOnly` is JSON Schema's word for a value that must never be shown.
_Secret = Annotated[str, Meta(extra_json_schema={"writeOnly": True})]


class NotifyService(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A service that a plugin speaks to."""

    kind: Annotated[Word, Meta(description="The name of the plugin.")]
    options: Annotated[
        dict[str, Any],
        Meta(
            description="For the plugin, which validates them. They may contain tokens.",
            extra_json_schema={"writeOnly": True},
        ),
    ] = {}

    def __repr__(self) -> str:
        """Without the options: it may end up in a log."""
        return f"NotifyService({self.kind!r}, …)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same where rich prints it."""
        return [("kind", self.kind)]


class MachineNotify(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The services through which this machine notifies people. Their addresses hold tokens."""

    urls: Annotated[
        _Secret | tuple[_Secret, ...],
        Meta(
            description="Addresses of services as apprise has them.",
            extra_json_schema={"writeOnly": True},
        ),
    ] = ()
    services: Annotated[
        tuple[NotifyService, ...],
        Meta(description="Services of plugins.", extra_json_schema={"writeOnly": True}),
    ] = ()
    about: Annotated[
        tuple[Notice, ...] | None, Meta(description="The events; default: those of fleet.yaml.")
    ] = None

    def __repr__(self) -> str:
        """Without the addresses: it may end up in a log."""
        return "MachineNotify(…)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """The same where rich prints it."""
        return []


class Machine(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """$XDG_CONFIG_HOME/gitfleet/config.yaml: the settings of one machine."""

    concurrency: Annotated[int, Meta(ge=1, le=1000)] | None = None
    labels: Annotated[
        tuple[Word, ...], Meta(description="Tasks that ask for one in `runs_on` may run here.")
    ] = ()
    coders: Annotated[
        tuple[Word, ...] | None, Meta(description="Only these coders may run here.")
    ] = None
    name: Annotated[Word | None, Meta(description="The name of its runners.")] = None
    permissions: Annotated[
        dict[Word, Permission],
        Meta(description="How much each coder may do here: bypass, or least (if absent)."),
    ] = {}
    disk_reserve: Annotated[
        int, Meta(ge=0, description="MiB to keep free; with less, nothing new starts.")
    ] = 1024
    plugins: Annotated[
        tuple[Word, ...],
        Meta(
            description="Plugins that boards and settings may use here, by plugin or"
            " distribution name. No other plugin is imported."
        ),
    ] = ()
    executor: Annotated[
        Word, Meta(description="What runs the commands of attempts: local, or a plugin's name.")
    ] = "local"
    forge: MachineForge = MachineForge()
    notify: MachineNotify = MachineNotify()
