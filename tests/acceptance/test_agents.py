"""What agents come across, plan, leave behind, and must not do."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import MakeLab
from tests.acceptance.fleetlab import Lab
from tests.conftest import git

_ADD = "printf '%s\\n' 'Seen.' '```sh' 'echo found > found.txt' '```' | gitfleet add"


@pytest.mark.slow
def test_what_an_agent_comes_across_is_filed_while_it_works(lab: Lab) -> None:
    """`gitfleet add` inside an attempt is on the board at once, and done before that one ends."""
    gate = lab.gate("gate")
    lab.task("one", script=f"{_ADD} 'Look there' --id found\n{gate.pause}\necho x > x")
    live = lab.start("--until-idle")
    assert live.wait_for("added", task="found").fields["source"] == "one"
    live.wait_for("landed", task="found")
    assert lab.status("one") == "working"
    gate.open()
    assert live.wait().status == 0
    found = lab.board().entries["found"].task
    assert found is not None and found.discovered_from == "one"
    assert not list(lab.clone.runs.glob("one/*/outbox/*"))


@pytest.mark.slow
def test_what_an_agent_files_twice_arrives_once(lab: Lab) -> None:
    """An attempt that is made again says the same again; the board has it once."""
    lab.task("one", script=f"{_ADD} 'Look there' --id found\nexit 1", max_attempts=3)
    assert lab.run("--until-idle").status == 4
    assert lab.outcomes("one") == ["failed"] * 3
    assert lab.statuses() == {"one": "failed", "found": "done"}


@pytest.mark.slow
def test_an_id_that_is_taken_gives_way(lab: Lab) -> None:
    """An agent cannot overwrite a task of a person, whatever it calls its own."""
    lab.task("mine", script="echo mine > mine")
    lab.task("one", script=f"{_ADD} 'Look there' --id mine\necho x > x")
    assert lab.run("--until-idle").status == 0
    (other,) = set(lab.statuses()) - {"mine", "one"}
    assert other.startswith("mine-")
    assert {"mine", "found.txt"} <= set(lab.tree())


@pytest.mark.slow
def test_the_tasks_of_a_plan_and_its_end_are_one_commit(lab: Lab) -> None:
    """A plan's result is more tasks; they appear together with its event, and then are done."""
    script = (
        "printf '%s\\n' '---' 'title: Second' 'depends_on: [first]' '---' '```sh' "
        "'cat first > second' '```' > \"$GITFLEET_OUTBOX/.aside\"\n"
        'mv "$GITFLEET_OUTBOX/.aside" "$GITFLEET_OUTBOX/task-second.md"\n'
        "printf '%s\\n' '```sh' 'echo 1 > first' '```' | gitfleet add First --id first"
    )
    lab.task("epic", role="plan", script=script)
    assert lab.run("--until-idle").status == 0
    assert lab.statuses() == {"epic": "done", "first": "done", "second": "done"}
    assert lab.tree()["second"] == "1"
    added = {
        git("log", "--diff-filter=A", "--format=%H", "fleet", "--", path, cwd=lab.path)
        for path in ("tasks/first.md", "tasks/second.md", f"log/epic/{lab.events('epic')[0].name}")
    }
    assert len(added) == 1
    assert lab.outcomes("epic") == ["submitted", "accepted"]
    assert lab.fsck().status == 0
    assert lab.worktrees() == [lab.path, lab.window]


def test_a_plan_without_a_task_is_empty(lab: Lab) -> None:
    """Ending well is not enough."""
    lab.task("epic", role="plan", script="echo thinking", max_attempts=1)
    assert lab.run("--until-idle").status == 4
    assert lab.outcomes("epic") == ["empty"]


def test_what_says_nothing_in_an_outbox_is_refused_and_the_work_goes_on(lab: Lab) -> None:
    """Links, pipes, bad names: told, set aside, and nothing else happens."""
    secret = lab.folder / "secret"
    secret.write_text("---\ntitle: Secret\n---\n")
    lab.task(
        "one",
        script=f"cd $GITFLEET_OUTBOX\nln -s '{secret}' task-link.md\nmkfifo task-pipe.md\n"
        "echo '---' > task-UP.md\n"
        "printf '%s\\n' '---' 'title: x' 'fixes: one' '---' > task-sly.md\n"
        "mkdir task-folder.md\ncd - > /dev/null\necho x > x",
    )
    ran = lab.run("--until-idle")
    assert ran.status == 0
    refused = {line.fields["file"] for line in ran.lines.of("refused")}
    assert refused == {
        "task-link.md",
        "task-pipe.md",
        "task-UP.md",
        "task-sly.md",
        "task-folder.md",
    }
    assert lab.statuses() == {"one": "done"}


@pytest.mark.slow
def test_an_attempt_that_changes_what_is_not_its_own_is_tampered(make_lab: MakeLab) -> None:
    """Hooks, other branches, settings: it waits for a person, and lands nothing."""
    lab = make_lab(max_attempts=3, concurrency=1)
    common = "$(git rev-parse --git-common-dir)"
    git("branch", "other", cwd=lab.path)
    deeds = {
        "hook": f"printf '#!/bin/sh\\n' > {common}/hooks/post-checkout",
        "branch": "git commit -q --allow-empty -m x; git update-ref refs/heads/other HEAD",
        "setting": "git config core.fsmonitor 'touch /tmp/x'",
    }
    before = git("rev-parse", "main", cwd=lab.path)
    lab.write_task("hook", script=f"echo x > x\n{deeds['hook']}")
    lab.write_task("branch", script=f"echo x > x\n{deeds['branch']}")
    lab.write_task("setting", script=f"echo x > x\n{deeds['setting']}")
    lab.commit("Bad ones")
    assert lab.run("--until-idle").status == 4
    for task, word in (
        ("hook", "post-checkout"),
        ("branch", "heads/other"),
        ("setting", "fsmonitor"),
    ):
        assert lab.outcomes(task) == ["tampered"], task
        assert word in lab.attempts(task)[0].reason
    assert set(lab.statuses().values()) == {"failed"}
    assert lab.tip() == before


_MIND = """\
cp "$1" '{folder}/'$GITFLEET_ATTEMPT.md
if test -e half; then mv half whole; exit 0; fi
echo begun > half
echo I am stuck >&2
exit 1
"""


def test_a_second_attempt_goes_on_in_the_workspace_and_knows_what_happened(lab: Lab) -> None:
    """A coder with a mind finds what it left uncommitted, and is told how it ended."""
    mind = lab.folder / "mind.sh"
    mind.write_text(_MIND.format(folder=lab.folder))
    argv = ["sh", str(mind), "{prompt_file}"]
    lab.set(coders={"mind": {"argv": argv}}, roles={"work": {"coder": "mind"}})
    lab.task("one", body="Make it whole.")
    assert lab.run("--until-idle").status == 0
    assert lab.tree()["whole"] == "begun"
    first, second = ((lab.folder / f"{n}.md").read_text() for n in (1, 2))
    assert "Make it whole." in first and "What happened before" not in first
    assert "Attempt 1, work by mind" in second and "exit status 1: I am stuck" in second
    assert lab.refs("refs/gitfleet/salvage/") == []


def test_what_a_fresh_start_throws_away_is_saved_first(lab: Lab) -> None:
    """`shell` begins on a clean tip; what its last attempt left or committed is in a salvage."""
    script = (
        "if test $GITFLEET_ATTEMPT = 1; then\n"
        "echo committed > c; git add c; git commit -q -m c; echo loose > l; exit 1\nfi\n"
        "test ! -e c && test ! -e l\necho x > x"
    )
    lab.task("one", script=script)
    assert lab.run("--until-idle").status == 0
    assert lab.tree().keys() == {"README", "x"}
    kept = {ref: set(lab.tree(ref)) for ref in lab.refs("refs/gitfleet/salvage/one/")}
    assert any({"c", "l"} <= names for names in kept.values()), kept


def test_secrets_of_the_environment_do_not_come_onto_the_board(make_lab: MakeLab) -> None:
    """A failing program that prints its token, in its last words or in a check, is masked."""
    lab = make_lab(max_attempts=1, max_fix_rounds=0)
    lab.env["SOME_API_TOKEN"] = secret = "s3cr3t-value-0123456789"
    lab.write_task("one", script='echo "bad token $SOME_API_TOKEN" >&2; exit 1')
    lab.write_task("two", script="echo x > x", checks=['echo "with $SOME_API_TOKEN"; exit 1'])
    lab.commit("Both")
    ran = lab.run("--until-idle")
    assert ran.status == 4
    assert "bad token <masked>" in lab.attempts("one")[0].reason
    assert lab.attempts("two", "validate")[0].checks[-1].tail == "with <masked>"
    assert secret not in git("log", "-p", "fleet", cwd=lab.path)
    assert secret not in str(ran)


def test_an_agent_has_an_identity_of_its_own_and_nobody_to_ask(make_lab: MakeLab) -> None:
    """Author and committer are the coder's; no prompt, no editor, no signing, no git of ours."""
    lab = make_lab()
    lab.task(
        "one",
        script='env | grep -E "^(GIT|GITFLEET)_" | sort > env.txt\ngit add env.txt\n'
        "git commit -q -m Mine\ngit tag -a -m x made; git tag -d made",
    )
    git("config", "commit.gpgsign", "true", cwd=lab.path)
    git("config", "user.signingkey", "nobody", cwd=lab.path)
    assert lab.run("--until-idle").status == 0
    said = git("log", "-1", "--format=%an %cn", "main^2", cwd=lab.path)
    assert said == "shell shell (gitfleet)"
    env = dict(line.split("=", 1) for line in lab.tree()["env.txt"].splitlines())
    assert env["GIT_TERMINAL_PROMPT"] == "0" and env["GIT_OPTIONAL_LOCKS"] == "0"
    assert env["GITFLEET_TASK"] == "one" and env["GITFLEET_ROLE"] == "work"
    assert not {"GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "GITFLEET_NO_FSYNC"} & env.keys()
    assert git("log", "-1", "--format=%an <%ae>", "main", cwd=lab.path).startswith("gitfleet (")


def test_an_agent_is_told_where_it_works(make_lab: MakeLab) -> None:
    """PWD is its workspace, not where the runner was started: there are agents that believe it."""
    code = "import os; open('pwd', 'w').write(f\"{os.environ['PWD'] == os.getcwd()}\")"
    lab = make_lab(coders={"mine": {"argv": ["python3", "-c", code]}})  # no shell corrects it
    lab.env["PWD"] = str(lab.path)
    lab.task("one", coder="mine")
    assert lab.run("--until-idle").status == 0
    assert lab.tree()["pwd"] == "True"
