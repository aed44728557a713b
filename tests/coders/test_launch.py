"""How the coders with code are started: what holds for all of them, and what is each one's own."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gitfleet.coders import registry
from gitfleet.coders.base import Cannot, CoderEventKind, Launch, Mcp, NoSession, Tally
from gitfleet.model.config import Permission
from gitfleet.model.event import Tokens
from tests.coders.kit import job
from tests.coders.replay import coder_of

_CODERS = sorted(set(registry.MODULES) - {"shell"})
# These work with everything allowed or not at all.
_ALL_OR_NOTHING = frozenset({"agy", "cursor-agent"})
_MCP = Mcp(argv=("/usr/bin/gitfleet", "mcp"), env={"GITFLEET_RUN": "mark-1", "SECRET": "s3cret"})
_WITH_MCP = [name for name in _CODERS if coder_of(name).mcp]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of a person's own, and none of their keys."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for name in [*os.environ]:
        if name.endswith("_API_KEY") or name.startswith(("CODEX", "GEMINI", "OPENCODE", "IS_SAND")):
            monkeypatch.delenv(name)
    return folder


def _launched(folder: Path, name: str, **more: Any) -> Launch:
    more.setdefault("permission", _least(name))
    run_dir = folder / "runs" / "1-abcd1234"
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir.parent.parent / "workspace").mkdir(exist_ok=True)
    return coder_of(name).launch(job(run_dir, **more))


def _least(name: str) -> Permission:
    return Permission.BYPASS if name in _ALL_OR_NOTHING else Permission.LEAST


def _after(launch: Launch, word: str) -> str:
    """The word behind a word."""
    return launch.argv[launch.argv.index(word) + 1]


@pytest.mark.parametrize("name", _CODERS)
def test_a_prompt_is_no_argument_where_it_need_not_be(tmp_path: Path, name: str) -> None:
    """Linux takes none of 128 KiB; cursor-agent's is refused in words for a person."""
    long = "Do it all. " * 20_000
    if name == "cursor-agent":
        assert _launched(tmp_path, name, prompt="Do it.").argv[-1] == "Do it."
        with pytest.raises(Cannot, match="too long"):
            _launched(tmp_path, name, prompt=long)
        return
    launch = _launched(tmp_path, name, prompt=long)
    assert not any("Do it all." in word for word in launch.argv)
    told = launch.stdin or Path(_after(launch, "--message-file"))
    assert "Do it all. Do it all." in told.read_text()


@pytest.mark.parametrize("name", _CODERS)
def test_it_is_started_by_its_own_name_or_as_the_settings_say(tmp_path: Path, name: str) -> None:
    """With the model of the task, and the words of the settings behind its own."""
    launch = _launched(tmp_path, name, args=("--own", "word"), model="big-2")
    assert launch.argv[0] == coder_of(name).program == name
    assert "--own" in launch.argv and launch.argv.index("--own") > 1
    assert any("big-2" in word for word in launch.argv)
    launch = _launched(tmp_path, name, program="/opt/x/bin/it", env={"A": "1"}, model="")
    assert launch.argv[0] == "/opt/x/bin/it" and launch.env["A"] == "1"
    assert not {"--model", "-m"} & set(launch.argv)


@pytest.mark.parametrize("name", _WITH_MCP)
def test_no_secret_is_an_argument(tmp_path: Path, name: str) -> None:
    """Whoever is on the machine reads those; what the MCP server gets goes another way."""
    launch = _launched(tmp_path, name, mcp=_MCP)
    assert not any("s3cret" in word for word in launch.argv)
    told = [*launch.env.values()]
    for path in (tmp_path / "runs").rglob("*"):
        if path.is_file():
            told.append(path.read_text())
            assert "s3cret" not in told[-1] or path.stat().st_mode & 0o077 == 0, path
    assert any("s3cret" in text for text in told) and any("mark-1" in text for text in told)
    assert any("/usr/bin/gitfleet" in text for text in (*launch.argv, *told))


@pytest.mark.parametrize("name", _CODERS)
def test_nothing_is_written_but_into_the_folder_of_the_run(
    tmp_path: Path, home: Path, name: str
) -> None:
    """Neither into the worktree, which is the user's tree, nor into the user's home."""
    _launched(tmp_path, name, mcp=_MCP if coder_of(name).mcp else None)
    assert not list((tmp_path / "workspace").iterdir())
    found = {str(path.relative_to(home)) for path in home.rglob("*")}
    # gemini keeps its sessions there, and a link has to lead somewhere.
    assert found <= {".gemini", ".gemini/tmp", ".gemini/history"}


@pytest.mark.parametrize("name", _CODERS)
@pytest.mark.parametrize(
    "word",
    ["--dangerously-skip-permissions", "--approval-mode=yolo", "--force", "--allow-all-tools"],
)
def test_words_of_the_board_do_not_get_round_the_machine(
    tmp_path: Path, name: str, word: str
) -> None:
    """A board comes from elsewhere: it alone never opens a machine."""
    with pytest.raises(Cannot, match="bypass"):
        _launched(tmp_path, name, args=(word,), permission=Permission.LEAST)
    if name != "claude":
        assert word in _launched(tmp_path, name, args=(word,), permission=Permission.BYPASS).argv


_BYPASSES = {
    "codex": "--dangerously-bypass-approvals-and-sandbox",
    "opencode": "--auto",
    "gemini": "yolo",
    "qwen": "yolo",
    "copilot": "--allow-all-tools",
    "agy": "--dangerously-skip-permissions",
    "cursor-agent": "--force",
    "claude": "bypassPermissions",
}


@pytest.mark.parametrize("name", sorted(_BYPASSES))
def test_everything_is_bypassed_only_where_that_is_said(tmp_path: Path, name: str) -> None:
    """By default each gets the least that works with nobody there."""
    env = {"IS_SANDBOX": "1"} if name == "claude" else {}
    launch = _launched(tmp_path, name, permission=Permission.BYPASS, env=env)
    assert _BYPASSES[name] in launch.argv
    if name in _ALL_OR_NOTHING:
        with pytest.raises(Cannot, match=f"permissions: {{{name}: bypass}}"):
            _launched(tmp_path, name, permission=Permission.LEAST)
    else:
        assert _BYPASSES[name] not in _launched(tmp_path, name, env=env).argv


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("claude", ("--resume", "s-1")),
        ("codex", ("exec", "resume", "--json", "s-1", "-")),
        ("opencode", ("--session", "s-1")),
        ("gemini", ("--resume", "s-1")),
        ("qwen", ("--resume", "s-1")),
        ("copilot", ("--resume", "s-1")),
        ("agy", ("--conversation", "s-1")),
        ("cursor-agent", ("--resume", "s-1")),
    ],
)
def test_a_session_is_gone_on_with(tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    """By its own id; model, permission and MCP server are told again."""
    assert coder_of(name).resumes
    fresh = _launched(tmp_path, name, mcp=_MCP, model="m")
    again = _launched(tmp_path, name, mcp=_MCP, model="m", session="s-1")
    assert "s-1" not in fresh.argv
    assert [word for word in again.argv if word in words] == list(words)
    assert {*fresh.argv} - {*again.argv} <= {"--session-id", *_ids(tmp_path, name)}


def _ids(folder: Path, name: str) -> tuple[str, ...]:
    """The id that a coder gives its fresh session, where it has to."""
    launch = _launched(folder, name)
    return (_after(launch, "--session-id"),) if "--session-id" in launch.argv else ()


# -- each one's own


def test_claude_is_given_what_it_may_use_and_how_long(tmp_path: Path) -> None:
    """Edits, its shell and our server; a question waits for a day."""
    launch = _launched(tmp_path, "claude", mcp=_MCP, base_url="http://127.0.0.1:11434", model="q3")
    assert _after(launch, "--permission-mode") == "acceptEdits"
    assert {"Bash", "mcp__gitfleet"} <= {*_after(launch, "--allowedTools").split(",")}
    assert launch.env["MCP_TOOL_TIMEOUT"] == "86400000"
    assert launch.env["ENABLE_TOOL_SEARCH"] == "false"
    assert launch.env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:11434"
    assert launch.env["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "q3"
    server = json.loads(Path(_after(launch, "--mcp-config")).read_text())["mcpServers"]["gitfleet"]
    assert server["command"] == "/usr/bin/gitfleet" and server["args"] == ["mcp"]


def test_claude_bypasses_nothing_as_root_but_in_a_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would refuse to start; the remedy is said before."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Cannot, match="IS_SANDBOX"):
        _launched(tmp_path, "claude", permission=Permission.BYPASS)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert _launched(tmp_path, "claude", permission=Permission.BYPASS)


@pytest.mark.parametrize(
    ("model", "window"),
    [
        ("claude-opus-4-8[1m]", 1_000_000),
        ("claude-opus-5-5", 1_000_000),
        ("claude-sonnet-5", 200_000),
        ("claude-haiku-4-5-20251001", 200_000),
        ("qwen3:30b", None),
        ("", None),
    ],
)
def test_claudes_windows_are_known_by_model(model: str, window: int | None) -> None:
    """A guess that is too small would end an attempt for nothing: what is not known is not told."""
    assert coder_of("claude").window(model) == window


def _settings(launch: Launch) -> dict[str, Any]:
    """What a codex reads out of its `-c` words."""
    words = [launch.argv[n + 1] for n, word in enumerate(launch.argv) if word == "-c"]
    return tomllib.loads("\n".join(words))


def test_codex_may_write_where_a_worktree_commits_to(tmp_path: Path) -> None:
    """Its sandbox would shut out the git folder of a linked worktree, and no commit would work."""
    repo, run_dir = tmp_path / "repo", tmp_path / "run"
    run_dir.mkdir()
    made = job(run_dir, mcp=_MCP, model="gpt-5")
    subprocess.run(["git", "init", "-q", repo], check=True)
    for args in (
        ("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "a", "--allow-empty"),
        ("worktree", "add", "-q", str(made.workspace)),
    ):
        subprocess.run(["git", "-C", repo, *args], check=True, capture_output=True)
    settings = _settings(coder_of("codex").launch(made))
    assert settings["sandbox_mode"] == "workspace-write"
    assert settings["approval_policy"] == "never"
    roots = settings["sandbox_workspace_write"]["writable_roots"]
    wanted = subprocess.run(
        ["git", "rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir"],
        cwd=made.workspace,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert roots == [*wanted, str(run_dir)]


def test_codex_hands_its_mcp_server_what_it_is_told_by_name(tmp_path: Path) -> None:
    """It passes on nothing else, the run's marker included."""
    launch = _launched(tmp_path, "codex", mcp=_MCP)
    server = _settings(launch)["mcp_servers"]["gitfleet"]
    assert server["env_vars"] == ["GITFLEET_RUN", "SECRET"]
    assert server["tool_timeout_sec"] == 86_400
    assert server["default_tools_approval_mode"] == "approve"
    assert launch.env["GITFLEET_RUN"] == "mark-1"


def test_codex_speaks_to_a_model_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key where there is one, and without where there is none."""
    launch = _launched(tmp_path, "codex", base_url='http://127.0.0.1:8000/v1"x', window=32_000)
    settings = _settings(launch)
    provider = settings["model_providers"]["gitfleet"]
    assert settings["model_provider"] == "gitfleet" and settings["model_context_window"] == 32_000
    assert provider["base_url"] == 'http://127.0.0.1:8000/v1"x'
    assert provider["wire_api"] == "responses" and "env_key" not in provider
    monkeypatch.setenv("OPENAI_API_KEY", "k-1")
    launch = _launched(tmp_path, "codex", base_url="http://127.0.0.1:8000/v1")
    assert _settings(launch)["model_providers"]["gitfleet"]["env_key"] == "OPENAI_API_KEY"
    assert not any("k-1" in word for word in launch.argv)


def test_codexs_own_file_tells_the_context_now(tmp_path: Path, home: Path) -> None:
    """Its output does not: the last count in its file of the session does."""
    folder = home / ".codex" / "sessions" / "2026" / "11" / "20"
    gauge, made = coder_of("codex").gauge, job(tmp_path)
    tally = Tally(session="01a1-22")
    assert list(gauge(made, tally)) == []
    folder.mkdir(parents=True)
    counts = [
        {"type": "event_msg", "payload": {"type": "token_count", "info": _info(used)}}
        for used in (100, 4200)
    ]
    lines = [*map(json.dumps, counts), '{"type": "event_msg", "payload": {"type": "x"}}', "{half"]
    (folder / "rollout-2026-11-20T15-00-00-01a1-22.jsonl").write_text("\n".join(lines))
    (usage,) = gauge(made, tally)
    assert (usage.said, usage.context, usage.window) == (CoderEventKind.USAGE, 4200, 258_400)
    assert list(gauge(made, Tally(session="*"))) == []


def _info(used: int) -> dict[str, Any]:
    return {"last_token_usage": {"total_tokens": used}, "model_context_window": 258_400}


def test_codexs_gauge_tells_limits(tmp_path: Path, home: Path) -> None:
    """How much of them is used, and when they begin anew."""
    folder = home / ".codex" / "sessions" / "2026" / "11" / "21"
    folder.mkdir(parents=True)
    limits = {"primary": {"used_percent": 93.4, "resets_at": 1795190713}}
    payload = {"type": "token_count", "info": None, "rate_limits": limits}
    path = folder / "rollout-2026-11-21T15-00-00-77.jsonl"
    path.write_text(json.dumps({"payload": payload}))
    (limit,) = coder_of("codex").gauge(job(tmp_path), Tally(session="77"))
    assert limit.text == "93% used" and limit.until is not None and limit.failure is None


def test_geminis_own_file_tells_the_context_now(tmp_path: Path, home: Path) -> None:
    """Its output has sums alone."""
    gauge, tally = coder_of("gemini").gauge, Tally(session="31e4409d-b187-4fc1-885c-a567ba6a6b6d")
    made = job(tmp_path)
    assert list(gauge(made, tally)) == [] == list(gauge(made, Tally(session="*" * 9)))
    folder = home / ".gemini" / "tmp" / "wt" / "chats"
    folder.mkdir(parents=True)
    told = [
        {"type": "gemini", "tokens": {"input": 10, "total": 12}},
        {"type": "gemini", "tokens": {"input": 10372, "output": 20, "total": 10392}},
        {"$set": {"lastUpdated": "2026-11-26T06:40:24.309Z"}},
    ]
    path = folder / "session-2026-11-26T06-40-31e4409d.jsonl"
    path.write_text("\n".join(map(json.dumps, told)) + "\n{half")
    (usage,) = gauge(made, tally)
    assert (usage.said, usage.context) == (CoderEventKind.USAGE, 10_392)


def _opencode(launch: Launch) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(launch.env["OPENCODE_CONFIG_CONTENT"])
    return found


def test_opencode_asks_nobody(tmp_path: Path) -> None:
    """What its rules leave to a person would stop it; outside of the project is denied instead."""
    config = _opencode(_launched(tmp_path, "opencode", mcp=_MCP))
    assert config["permission"]["bash"] == "allow"
    outside = config["permission"]["external_directory"]
    assert next(iter(outside)) == "*" and outside["*"] == "deny"
    assert outside[f"{tmp_path / 'runs' / '1-abcd1234'}/*"] == "allow"
    server = config["mcp"]["gitfleet"]
    assert server["command"] == ["/usr/bin/gitfleet", "mcp"] and server["timeout"] == 86_400_000
    assert config["experimental"]["mcp_timeout"] == 86_400_000  # or it gives up after a minute


def test_opencode_keeps_peoples_own_limit_on_a_tool(tmp_path: Path) -> None:
    """As claude's and codex's do, what fleet.yaml says of it wins over a day."""
    theirs = {"OPENCODE_CONFIG_CONTENT": '{"experimental": {"mcp_timeout": 4000}}'}
    config = _opencode(_launched(tmp_path, "opencode", mcp=_MCP, env=theirs))
    assert config["mcp"]["gitfleet"]["timeout"] == config["experimental"]["mcp_timeout"] == 4000


def test_opencode_keeps_what_the_machine_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fleet.yaml says comes on top of it."""
    machine = {"provider": {"x": {"npm": "y"}}, "experimental": {"mcp_timeout": 1}}
    monkeypatch.setenv("OPENCODE_CONFIG_CONTENT", json.dumps(machine))
    theirs = {"OPENCODE_CONFIG_CONTENT": '{"experimental": {"mcp_timeout": 4000}}'}
    config = _opencode(_launched(tmp_path, "opencode", mcp=_MCP, env=theirs))
    assert config["provider"] == {"x": {"npm": "y"}}
    assert config["experimental"]["mcp_timeout"] == 4000


def test_opencode_keeps_what_people_set(tmp_path: Path) -> None:
    """Their providers stay; what decides over permission is ours."""
    theirs = json.dumps({"permission": {"bash": "ask"}, "provider": {"x": {"npm": "y"}}})
    config = _opencode(_launched(tmp_path, "opencode", env={"OPENCODE_CONFIG_CONTENT": theirs}))
    assert config["provider"] == {"x": {"npm": "y"}}
    assert config["permission"]["bash"] == "allow"


def test_opencode_speaks_to_a_model_elsewhere(tmp_path: Path) -> None:
    """Its key is looked up when it is used, and stands in no file."""
    url = "http://127.0.0.1:11434/v1"
    launch = _launched(tmp_path, "opencode", base_url=url, model="q3", window=32_000)
    assert _after(launch, "-m") == "gitfleet/q3"
    provider = _opencode(launch)["provider"]["gitfleet"]
    assert provider["options"] == {"baseURL": url, "apiKey": "{env:OPENAI_API_KEY}"}
    assert provider["models"]["q3"]["limit"]["context"] == 32_000
    assert _opencode(launch)["small_model"] == "gitfleet/q3"


def test_gemini_has_a_home_of_the_run_with_the_users_in_it(tmp_path: Path, home: Path) -> None:
    """Their login and their sessions by links, their settings with our server in them."""
    user = home / ".gemini"
    user.mkdir()
    (user / "oauth_creds.json").write_text("{}")
    theirs = {"ui": {"theme": "x"}, "mcpServers": {"other": {"command": "o"}}}
    (user / "settings.json").write_text(json.dumps(theirs))
    launch = _launched(tmp_path, "gemini", mcp=_MCP, env={"GEMINI_API_KEY": "k"})
    own = Path(launch.env["GEMINI_CLI_HOME"]) / ".gemini"
    assert (own / "oauth_creds.json").resolve() == user / "oauth_creds.json"
    assert (own / "tmp").resolve() == user / "tmp"
    settings = json.loads((own / "settings.json").read_text())
    assert settings["ui"] == {"theme": "x"} and set(settings["mcpServers"]) == {"other", "gitfleet"}
    assert settings["mcpServers"]["gitfleet"]["timeout"] == 86_400_000
    assert settings["security"]["auth"]["selectedType"] == "gemini-api-key"
    assert json.loads((user / "settings.json").read_text()) == theirs
    _launched(tmp_path, "gemini", mcp=_MCP)  # and again, over what is there


def test_gemini_gets_a_shell_by_a_rule_and_nothing_more(tmp_path: Path) -> None:
    """It has none with nobody there, unless it is told that it may."""
    launch = _launched(tmp_path, "gemini", mcp=_MCP, base_url="http://127.0.0.1:1")
    assert _after(launch, "--approval-mode") == "auto_edit"
    rules = tomllib.loads(Path(_after(launch, "--policy")).read_text())["rule"]
    assert {rule["toolName"] for rule in rules} == {"run_shell_command", "mcp_gitfleet_*"}
    assert launch.env["GEMINI_CLI_NO_RELAUNCH"] == "true"  # or it hears no TERM
    assert launch.env["GOOGLE_GEMINI_BASE_URL"] == "http://127.0.0.1:1"


def test_qwen_is_allowed_its_shell_and_our_server_by_name(tmp_path: Path) -> None:
    """Less than all, and enough to work."""
    launch = _launched(tmp_path, "qwen", mcp=_MCP, base_url="http://127.0.0.1:8000/v1")
    allowed = [
        launch.argv[n + 1] for n, word in enumerate(launch.argv) if word == "--allowed-tools"
    ]
    assert allowed == ["run_shell_command", "mcp__gitfleet"]
    assert launch.env["OPENAI_BASE_URL"] == "http://127.0.0.1:8000/v1"
    assert json.loads(_after(launch, "--mcp-config"))["mcpServers"]["gitfleet"]["trust"] is True
    with pytest.raises(Cannot, match="too long"):
        _launched(tmp_path, "qwen", mcp=Mcp(argv=("x" * 130_000,)))


def test_copilot_is_given_the_id_of_its_session(tmp_path: Path) -> None:
    """It tells it with its last line only, and a run that is killed has none."""
    launch = _launched(tmp_path, "copilot", mcp=_MCP, base_url="http://127.0.0.1:1/v1", model="m")
    made = job(tmp_path / "runs" / "1-abcd1234")
    line = '{"type": "session.tools_updated", "data": {"model": "m"}}'
    (started,) = coder_of("copilot").reader(made)(line)
    assert started.session == _after(launch, "--session-id")
    assert _after(launch, "--additional-mcp-config").startswith("@")
    assert launch.env["COPILOT_PROVIDER_BASE_URL"] == "http://127.0.0.1:1/v1"
    assert launch.env["COPILOT_MODEL"] == "m"


def test_aider_keeps_its_history_in_the_folder_of_the_run(tmp_path: Path) -> None:
    """Not in the worktree, and a later run finds it by the name of that folder."""
    launch = _launched(tmp_path, "aider", base_url="http://127.0.0.1:1/v1", model="m")
    history = Path(_after(launch, "--chat-history-file"))
    assert history.parent.name == "1-abcd1234" and "--restore-chat-history" not in launch.argv
    assert _after(launch, "--model") == "openai/m"
    later = tmp_path / "runs" / "2-abcd5678"
    later.mkdir()
    with pytest.raises(NoSession, match="1-abcd1234"):
        coder_of("aider").launch(job(later, session="1-abcd1234"))
    history.write_text("# it")
    again = coder_of("aider").launch(job(later, session="1-abcd1234"))
    assert _after(again, "--chat-history-file") == str(history)
    assert "--restore-chat-history" in again.argv
    with pytest.raises(NoSession):
        coder_of("aider").launch(job(later, session="../../etc"))


@pytest.mark.parametrize(
    ("line", "tokens", "usd"),
    [
        ("Tokens: 712 sent, 20 received.", Tokens(712, 20), None),
        (
            "Tokens: 12k sent, 1.2k received. Cost: $0.04 message, $1.25 session.",
            Tokens(12_000, 1200),
            1.25,
        ),
        (
            "Tokens: 20k sent, 3k cache write, 15k cache hit, 300 received.",
            Tokens(2000, 300, 15_000, 3000),
            None,
        ),
        ("Tokens: 1.5M sent, 2,000 received.", Tokens(1_500_000, 2000), None),
    ],
)
def test_aiders_counts_are_read_out_of_its_words(
    tmp_path: Path, line: str, tokens: Tokens, usd: float | None
) -> None:
    """As it writes them for people."""
    _, event = coder_of("aider").reader(job(tmp_path))(line)
    assert (event.tokens, event.usd) == (tokens, usd)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("claude", '{"type": "system", "subtype": "init", "model": "claude-sonnet-5"}'),
        ("opencode", '{"type": "text", "sessionID": "s", "part": {"text": "x"}}'),
        ("gemini", '{"type": "init", "model": "gemini-2.5-pro"}'),
        ("qwen", '{"type": "system", "subtype": "init", "model": "qwen3-coder"}'),
        ("aider", "Aider v0.86.2"),
        (
            "copilot",
            '{"type": "tool.execution_complete", "data": {"toolTelemetry": {"metrics":'
            ' {"context_token_limit": 128000}}}}',
        ),
    ],
)
def test_a_window_is_what_the_settings_say(tmp_path: Path, name: str, line: str) -> None:
    """A coder takes a model that it does not know for one that it knows."""
    (event, *_) = coder_of(name).reader(job(tmp_path, window=32_000))(line)
    assert event.window == 32_000


def test_a_window_is_else_what_its_model_has(tmp_path: Path) -> None:
    """And the end tells it for sure."""
    line = '{"type": "system", "subtype": "init", "model": "claude-sonnet-5"}'
    (event,) = coder_of("claude").reader(job(tmp_path))(line)
    assert event.window == 200_000
