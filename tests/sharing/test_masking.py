"""No secret of the environment reaches what others read."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gitfleet.files import codec, yaml
from gitfleet.model.event import Check
from gitfleet.model.secrets import MASKED, NOTHING, Mask, secrets_of
from tests.cli.acting import gitfleet
from tests.conftest import git
from tests.sharing.servers import http_server, serve_copy

_ODD = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x7f<>"),
    min_size=8,
    max_size=60,
).filter(lambda text: "masked" not in text and text.isprintable())
_SECRETS = st.lists(_ODD, min_size=1, max_size=4)
_PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=30)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("GITHUB_TOKEN", True),
        ("ANTHROPIC_API_KEY", True),
        ("MYSQL_PWD", True),
        ("DB_PASS", True),
        ("aws_secret_access_key", True),
        ("MyAppToken", True),
        ("GOOGLE_CREDENTIALS", True),
        ("PWD", False),
        ("OLDPWD", False),
        ("SSH_AUTH_SOCK", False),
        ("PATH", False),
        ("KEYBOARD", False),
        ("GIT_CONFIG_KEY_0", False),
        ("PASSENGER_APP", False),
        ("COMPASS_DIR", False),
        ("MONKEY_BUSINESS", False),
    ],
)
def test_the_name_of_a_variable_tells_whether_its_value_is_secret(name: str, secret: bool) -> None:
    """Whole words of it: a monkey is no key."""
    assert (secrets_of({name: "value-of-it"}) == {"value-of-it"}) is secret


def test_short_and_plain_values_are_no_secrets() -> None:
    """`true` or 32000 would take half of every text along."""
    assert not secrets_of(
        {"A_TOKEN": "short", "B_KEY": "", "C_TOKENS": "12800000", "D_AUTH": "required"}
    )


def test_settings_of_git_in_the_environment_may_hold_a_header() -> None:
    """`GIT_CONFIG_KEY_n` names what `GIT_CONFIG_VALUE_n` is."""
    found = secrets_of(
        {
            "GIT_CONFIG_KEY_0": "http.https://x.example/.extraHeader",
            "GIT_CONFIG_VALUE_0": "Authorization: basic aGVsbG8=",
            "GIT_CONFIG_KEY_1": "user.name",
            "GIT_CONFIG_VALUE_1": "Ada Author",
        }
    )
    assert found == {"Authorization: basic aGVsbG8="}


@given(_SECRETS, _PLAIN, _PLAIN)
@example(["abcdefgh", "abcdefghijkl"], "", "")
@example(['pass"word\\1'], "", "")
def test_a_secret_is_gone_however_it_is_nested_and_quoted(
    secrets: list[str], before: str, after: str
) -> None:
    """In text, in JSON in JSON, in YAML, in an address, as a key; and masking again changes
    nothing."""
    mask = Mask(secrets)
    for secret in secrets:
        plain = before + secret + after
        once = json.dumps({"a": [plain], "b": {"c": plain}})
        forms = (
            plain,
            once,
            json.dumps({"line": once}),
            json.dumps([plain], ensure_ascii=False),
            f"https://x.example/?q={quote(secret, safe='')}",
        )
        for text in forms:
            masked = mask.text(text)
            assert secret not in masked
            assert mask.text(masked) == masked
        assert secret not in repr(mask.data({"x": [(plain, {plain: plain.encode()})]}))
        assert MASKED in mask.text(once)


@given(_SECRETS, st.text(st.characters(codec="ascii"), max_size=200))
def test_what_holds_no_secret_stays_as_it_is(secrets: list[str], text: str) -> None:
    """Byte for byte."""
    mask = Mask(secrets)
    if not any(secret in text for secret in secrets) and "://" not in text:
        found = mask.text(text)
        assert found == text or MASKED in found
    assert mask.bytes(b"\xff\xfe\x00plain") == b"\xff\xfe\x00plain"


# Put together here, so that this file itself holds nothing of a secret's shape.
_A = "aB3" * 14
_KEY = "PRIVATE" + " KEY-----"
_SHAPES = [
    "ghp" + "_" + _A[:36],
    "github" + "_pat_" + _A + "_" + _A,
    "glpat" + "-" + _A[:20],
    "sk" + "-ant-api03-" + _A,
    "sk" + "-proj-" + _A,
    "sk" + "-" + _A,
    "xoxb" + "-1234567890-" + _A[:20],
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "AIza" + _A[:35],
    "npm" + "_" + _A[:36],
    "eyJ" + _A[:20] + ".eyJ" + _A[:20] + "." + _A[:30],
    "-----BEGIN RSA "
    + "PRIVATE KEY-----\n"
    + (_A + "\n") * 4
    + "-----END RSA "
    + "PRIVATE KEY-----",
    f"-----BEGIN OPENSSH {_KEY}\\n{_A}\\n{_A}",
    f"{_A}\n{_A}\n-----END {_KEY}",
]


@pytest.mark.parametrize("secret", _SHAPES)
def test_what_looks_like_a_secret_is_masked_though_nobody_knows_it(secret: str) -> None:
    """It need not stand in the environment."""
    masked = NOTHING.text(f"before {secret}, after")
    assert _A[:12] not in masked and "ABCDEFGHIJ" not in masked
    assert masked.startswith("before ") and masked.endswith(", after")
    assert NOTHING.text(masked) == masked


def test_an_address_keeps_all_but_its_credentials() -> None:
    """One sees where it was, and not with what."""
    said = NOTHING.text("git clone https://ada:hunter2hunter2@x.example/y.git ssh://git@x/y")
    assert said == f"git clone https://{MASKED}@x.example/y.git ssh://git@x/y" or said == (
        f"git clone https://ada:{MASKED}@x.example/y.git ssh://git@x/y"
    )
    assert "hunter2" not in NOTHING.text("postgres://me:hunter2hunter2@db/x")
    assert "Zm9vYmFy" not in NOTHING.text('{"Authorization": "Bearer Zm9vYmFyYmF6"}')
    plain = "see https://x.example/a@b and http://localhost:8080/ and mail@x.example"
    assert NOTHING.text(plain) == plain


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    """A log prefixes lines, and YAML indents them."""
    secret = "first-line-of-secret\nsecond-line-of-secret\nend"
    masked = Mask([secret]).text("| first-line-of-secret\n|   second-line-of-secret\n")
    assert "of-secret" not in masked


def test_half_a_secret_is_not_left_by_a_cut() -> None:
    """Masked first, cut then."""
    mask = Mask(["a-very-long-secret-value"])
    assert "value" not in mask.tail("x" * 50 + "a-very-long-secret-value", 6)
    assert mask.reach >= 2 * len("a-very-long-secret-value")


def test_what_is_masked_in_a_task_leaves_it_a_task() -> None:
    """The word stands where a scalar may."""
    secret = "ghp" + "_" + _A[:36]
    text = f"---\ntitle: {secret}\nlabels: [{secret[:3]}, b]\n---\nUse {secret}.\n"
    found, problems = codec.read_task(NOTHING.text(text).encode(), "tasks/a.md")
    assert not problems and found is not None and found.title == MASKED
    dumped = yaml.dump({"reason": MASKED, "tail": f"{MASKED}\n{MASKED}: x"})
    assert yaml.load(dumped.decode(), Check).data["reason"] == MASKED


# -- the whole way


LEAKS = {
    "PLAIN_TOKEN": "plainlookingsecretvalue1234",
    "ODD_PASSWORD": 'we\'ird "quo\\ted" p%ss/word',
    "LOWER_KEY": "lowercase0id1like2secret",
    "MANY_SECRET": "line-one-of-the-secret\nline-two-of-the-secret",
    "GH_TOKEN": "ghp" + "_" + _A[:36],
}
_WORK = """
printenv ODD_PASSWORD MANY_SECRET GH_TOKEN
printenv PLAIN_TOKEN >&2
printf -- '---\\ntitle: Use %s\\n---\\nUse %s\\n%s\\n' \
    "$PLAIN_TOKEN" "$GH_TOKEN" "$MANY_SECRET" > "$GITFLEET_OUTBOX/.x"
mv "$GITFLEET_OUTBOX/.x" "$GITFLEET_OUTBOX/task-came-across.md"
printf -- '---\\ntitle: Named\\nhold: true\\n---\\n' > "$GITFLEET_OUTBOX/.y"
mv "$GITFLEET_OUTBOX/.y" "$GITFLEET_OUTBOX/task-$LOWER_KEY.md"
touch "$PLAIN_TOKEN"
"""
_FAIL = "printenv ODD_PASSWORD PLAIN_TOKEN; printenv GH_TOKEN >&2; exit 3"
_JUDGE = """
import json, os
o = os.environ
leak = [o["PLAIN_TOKEN"], o["ODD_PASSWORD"], o["GH_TOKEN"], o["MANY_SECRET"]]
data = {"verdict": "rejected", "reason": "no: " + " ".join(leak[:3]), "findings": leak,
        "fix": {"title": "Take out " + leak[0], "body": chr(10).join(leak), "coder": "shell"}}
box = o["GITFLEET_OUTBOX"]
open(box + "/.v", "w").write(json.dumps(data))
os.rename(box + "/.v", box + "/verdict.yaml")
print(leak)
"""


def _blobs(path: Path, *revisions: str) -> bytes:
    """Every object that these reach: blobs, trees (the names of files) and commits' messages."""
    out = git("rev-list", "--objects", *revisions, cwd=path)
    oids = "\n".join(line.split()[0] for line in out.splitlines())
    done = subprocess.run(
        ["git", "cat-file", "--batch"],
        cwd=path,
        input=oids.encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout + out.encode()


def _leaked(data: bytes) -> list[str]:
    found = []
    for name, secret in LEAKS.items():
        for line in (secret, *secret.splitlines()):
            forms = {line, json.dumps(line)[1:-1], line.replace("'", "''")}
            found += [f"{name}: {form}" for form in forms if form.encode() in data]
    return found


@pytest.mark.slow
def test_no_secret_of_the_environment_is_on_the_board_after_a_run(
    repo_path: Path, tmp_path: Path
) -> None:
    """Scripts, checks, tasks that agents file, verdicts and file names may all leak: neither the
    board, nor a transcript, nor a line of the report tells it. Over HTTP, to the server."""
    (repo_path / "judge.py").write_text(_JUDGE)
    git("add", "-A", cwd=repo_path)
    git("commit", "-q", "-m", "judge", cwd=repo_path)
    bare = serve_copy(repo_path, tmp_path / "srv")
    with http_server(tmp_path / "srv") as url:
        git("remote", "add", "origin", f"{url}/board.git", cwd=repo_path)
        git("fetch", "-q", "origin", cwd=repo_path)
        gitfleet("init", cwd=repo_path)
        _settings(repo_path)
        said = gitfleet("run", "--until-idle", cwd=repo_path, env=LEAKS, code=4)
    shown = said.stdout + said.stderr
    for expected in ("out-of-scope", "rejected", "checks-failed", "failed", "came-across"):
        assert expected in shown, shown
    assert not _leaked(shown.encode()), shown
    board = _blobs(bare, "refs/heads/fleet")
    assert MASKED.encode() in board
    assert not _leaked(board)
    transcripts = git("for-each-ref", "--format=%(refname)", "refs/gitfleet", cwd=bare).split()
    assert any(ref.startswith("refs/gitfleet/runs/") for ref in transcripts)
    assert not _leaked(_blobs(bare, *transcripts))


def _settings(path: Path) -> None:
    """Tasks that leak in every way, filed by a person who has no secrets."""
    window = path / ".fleet"
    settings = {
        "format": 2,
        "target": "main",
        "max_attempts": 1,
        "max_fix_rounds": 1,
        "transcripts": "push",
        "backoff": {"initial": "0s", "factor": 1, "max": "1s"},
        "roles": {"work": {"coder": "shell"}, "validate": {"coder": "judge"}},
        "coders": {"judge": {"argv": ["python3", "judge.py"], "events": "text"}},
    }
    (window / "fleet.yaml").write_bytes(yaml.dump(settings))

    def task(name: str, script: str, **keys: object) -> None:
        front = codec.front_matter({"title": f"Do {name}", **keys})
        body = f"\n```sh\n{script}\n```\n".encode()
        (window / "tasks" / f"{name}.md").write_bytes(front + body)

    task("judged", _WORK + "rm -f $PLAIN_TOKEN; touch judged")
    task("checked", "touch checked", checks=[_FAIL])
    task("scoped", _WORK, paths=["nothing/**"])
    task("dies", _FAIL)
    git("add", "-A", cwd=window)
    git("commit", "--no-verify", "-q", "-m", "Tasks", cwd=window)
    git("push", "-q", "origin", "fleet", cwd=window)


def test_a_mask_does_not_show_what_it_hides() -> None:
    """Not even in a traceback."""
    assert "hidden-value" not in repr(Mask(["hidden-value"]))
