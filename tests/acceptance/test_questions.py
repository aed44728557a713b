"""An agent asks, its slot is freed, a person answers from anywhere, the agent goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from gitfleet import failpoints
from tests.acceptance.conftest import MakeLab
from tests.acceptance.fleetlab import Lab, Live, until
from tests.conftest import git
from tests.lanes import sample

_ASK: Final = (
    'gitfleet ask "Which of the two?" --option JWT --option cookie --wait 0s > answer.txt\n'
)
_QUESTION: Final = "questions/one-1.md"


def put_answer(text: str, into: Path) -> None:
    """Write an answer as a person does, below what is there."""
    into.write_text(into.read_text().rstrip("\n") + f"\n\n## Answer\n{text}\n")


# -- the ways to answer


def by_verb(lab: Lab) -> None:
    """`gitfleet answer` by the task's id, with an option's number."""
    said = lab.gitfleet("answer", "one", "--option", "2")
    assert said.returncode == 0 and "one-1 is answered" in said.stdout, said


def by_commit(lab: Lab) -> None:
    """A commit in .fleet/."""
    put_answer("cookie", lab.window / _QUESTION)
    lab.commit("Answer")


def by_push(lab: Lab) -> None:
    """A push of the fleet branch from another clone; the window's hooks let it move along."""
    assert lab.gitfleet("hooks", "install").returncode == 0
    _push(lab, "fleet")


def by_letter(lab: Lab) -> None:
    """A push to an inbox branch, which no runner is ever faster than."""
    _push(lab, "HEAD:gitfleet/in/answer")


def by_branch(lab: Lab) -> None:
    """The question's own branch, edited in a clone, pushed, and merged into the board by hand."""
    branch = "gitfleet/ask/one-1"
    until(lambda: lab.refs(f"refs/heads/{branch}"), what="the question's branch")
    clone = _clone(lab)
    git("switch", "-q", branch, cwd=clone)
    path = clone / _QUESTION
    assert path.read_text().splitlines()[-2].startswith("## Answer")
    path.write_text(path.read_text() + "cookie\n")
    git("commit", "-q", "-a", "-m", "The cookie", cwd=clone)
    git("push", "-q", "origin", branch, cwd=clone)
    until(lambda: _merged(lab, branch), what="the merge")


def _merged(lab: Lab, branch: str) -> bool:
    """A person tries again while a runner has the index of the window for a moment."""
    ran = subprocess.run(
        ["git", "merge", "-q", "--no-edit", branch],
        cwd=lab.window,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.returncode == 0


def _clone(lab: Lab) -> Path:
    clone = lab.folder / "clone"
    git("clone", "-q", "-b", "fleet", str(lab.path), str(clone), cwd=lab.folder)
    return clone


def _push(lab: Lab, refspec: str) -> None:
    clone = _clone(lab)
    put_answer("cookie", clone / _QUESTION)
    git("commit", "-q", "-a", "-m", "Answer", cwd=clone)

    def pushed() -> bool:
        command = ["git", "push", "-q", "origin", refspec]
        ran = subprocess.run(command, cwd=clone, capture_output=True, check=False)
        if ran.returncode == 0:
            return True
        git("pull", "-q", "--rebase", cwd=clone, check=False)
        return False

    until(pushed, what="the push")


_WAYS: Final = (by_verb, by_commit, by_push, by_letter, by_branch)


@pytest.mark.parametrize("way", sample(_WAYS, by_verb), ids=lambda way: way.__name__)
def test_one_asks_and_parks_another_gets_the_slot_and_with_the_answer_both_land(
    lab: Lab, way: Callable[[Lab], None]
) -> None:
    """Two tasks, one slot: who waits for a person holds nothing; every way to answer will do."""
    lab.write_task("one", priority=0, script=_ASK)
    lab.write_task("two", script="echo x > x")
    lab.commit("Both")
    live = lab.start("--max", "1")
    live.wait_for("landed", task="two")
    assert (lab.outcomes("one"), lab.status("one")) == (["asked"], "asking")
    assert lab.board().entries["one"].claim is None
    way(lab)
    live.wait_for("landed", task="one")
    assert lab.tree()["answer.txt"] == "cookie"
    assert lab.outcomes("one") == ["asked", "submitted", "accepted"]
    until(lambda: not lab.refs("refs/heads/gitfleet/ask/"), what="the branch to go")
    assert lab.fsck().status == 0
    live.stop()


# -- while the agent still waits


@pytest.mark.slow
def test_an_answer_in_time_comes_straight_back(lab: Lab) -> None:
    """With --wait the attempt just goes on: one attempt, one landing."""
    lab.task("one", script='gitfleet ask "Which?" --wait 60s > answer.txt')
    live = lab.start("--until-idle")
    live.wait_for("asked", question="one-1")
    lab.gitfleet("answer", "one-1", "JWT")
    assert live.wait().status == 0
    assert lab.tree()["answer.txt"] == "JWT"
    assert lab.outcomes("one") == ["submitted", "accepted"]


@pytest.mark.slow
def test_several_questions_wait_for_every_answer(lab: Lab) -> None:
    """Nothing goes on before the last one is answered."""
    lab.task(
        "one",
        script='gitfleet ask "First?" > 1 || true\ngitfleet ask "Second?" > 2 || true\n'
        "test -s 1 && test -s 2",
    )
    assert lab.run("--until-idle").status == 4
    assert lab.outcomes("one") == ["asked"]
    said = lab.gitfleet("answer", "one", "x")
    assert said.returncode == 1 and "one-1 or one-2" in said.stderr
    lab.gitfleet("answer", "one-1", "a")
    assert lab.status("one") == "asking"
    lab.gitfleet("answer", "one-2", "b")
    assert lab.status("one") == "ready"
    assert lab.run("--until-idle").status == 0
    assert (lab.tree()["1"], lab.tree()["2"]) == ("a", "b")


def test_a_file_in_the_outbox_asks_as_well(lab: Lab) -> None:
    """For programs that have neither the command nor MCP; one that answers itself is refused."""
    lab.task(
        "one",
        script="cd $GITFLEET_OUTBOX\n"
        "printf '%s\\n' '---' 'options: [a, b]' '---' 'Which?' > .aside\nmv .aside question-x.md\n"
        "printf '%s\\n' 'Sly?' '## Answer' 'yes' > .aside && mv .aside question-sly.md\n"
        "cd - > /dev/null\necho half > half",
    )
    ran = lab.run("--until-idle")
    assert ran.status == 4
    (question,) = lab.board().entries["one"].questions
    assert (question.name, question.text, question.options) == ("one-1", "Which?", ("a", "b"))
    assert (question.by.coder, question.by.attempt) == ("shell", 1)
    assert [line.fields["file"] for line in ran.lines.of("refused")] == ["question-sly.md"]
    assert lab.outcomes("one") == ["asked"]


# -- going on

_AGENT: Final = """\
cp "$1" '{folder}/'$GITFLEET_ATTEMPT.md
if test -e half; then mv half whole; exit 0; fi
echo begun > half
gitfleet note plan "half is begun; then whole"
gitfleet note knowledge "The build needs make"
gitfleet ask "May I finish it?"
exit {status}
"""


@pytest.mark.parametrize("status", sample([0, 1], 1))
@pytest.mark.slow
def test_a_coder_goes_on_from_where_it_was_and_is_told(lab: Lab, status: int) -> None:
    """Uncommitted work, notes, what happened, and the answer as a person's: all is there again,
    whatever the exit status was."""
    script = lab.folder / "agent.sh"
    script.write_text(_AGENT.format(folder=lab.folder, status=status))
    lab.set(
        coders={"mine": {"argv": ["sh", str(script), "{prompt_file}"]}},
        roles={"work": {"coder": "mine"}},
    )
    lab.task("one", body="Do it.\n")
    assert lab.run("--until-idle").status == 4
    assert lab.outcomes("one") == ["asked"]
    assert lab.tree("gitfleet/task/one")["half"] == "begun"
    assert lab.show("fleet:notes/one/plan.md") == "half is begun; then whole"
    lab.gitfleet("answer", "one", "Yes,\nbut gently")
    ran = lab.run("--until-idle")
    assert ran.status == 0, ran
    assert lab.tree()["whole"] == "begun" and "half" not in lab.tree()
    first, second = ((lab.folder / f"{n}.md").read_text() for n in (1, 2))
    assert "A person answered" not in first
    assert "May I finish it?" in second
    said = second.split("A person answered:")[1].split("````")[1]
    assert said == "answer\nYes,\nbut gently\n"
    assert "half is begun; then whole" in second and "The build needs make" in second
    assert "Attempt 1, work by mine" in second


@pytest.mark.slow
def test_an_answered_task_comes_before_a_ready_one(lab: Lab) -> None:
    """What was begun is finished first."""
    lab.task("one", priority=4, script=_ASK)
    assert lab.run("--until-idle").status == 4
    lab.write_task("two", priority=0, script="echo x > x")
    lab.commit("Two")
    lab.gitfleet("answer", "one", "x")
    ran = lab.run("--until-idle", "--max", "1")
    assert [line.fields["task"] for line in ran.lines.of("claimed", role="work")] == ["one", "two"]


@pytest.mark.slow
def test_an_answer_to_a_cancelled_task_stands_and_changes_nothing(lab: Lab) -> None:
    """It is kept, and serves when somebody tries the task afresh."""
    lab.task("one", script=_ASK)
    assert lab.run("--until-idle").status == 4
    lab.gitfleet("cancel", "one")
    said = lab.gitfleet("answer", "one-1", "cookie")
    assert said.returncode == 0 and "one is cancelled" in said.stdout
    assert lab.run("--until-idle").status == 0
    assert lab.status("one") == "cancelled"
    assert lab.refs("refs/heads/gitfleet/ask/") == []
    lab.gitfleet("retry", "one")
    assert lab.run("--until-idle").status == 0
    assert lab.tree()["answer.txt"] == "cookie"


@pytest.mark.slow
def test_an_answer_edited_later_is_what_counts_and_a_second_one_stands_under_it(lab: Lab) -> None:
    """The file is the truth: who goes on reads it as it is then. The first answer stays the answer
    when somebody else answers, too."""
    lab.task("one", script=_ASK)
    assert lab.run("--until-idle").status == 4
    lab.gitfleet("answer", "one", "JWT")
    said = lab.gitfleet("answer", "one-1", "No, -->the cookie")
    assert said.returncode == 0 and "yours is a remark below" in said.stdout
    (question,) = lab.board().entries["one"].questions
    assert question.answer == "JWT"
    path = lab.window / _QUESTION
    assert "Ada Author <ada@example.org> answered later:\nNo, - ->the cookie" in path.read_text()
    path.write_text(path.read_text().replace("\nJWT\n", "\nJWT, signed\n"))
    lab.commit("On second thoughts")
    assert lab.run("--until-idle").status == 0
    assert lab.tree()["answer.txt"] == "JWT, signed"


@pytest.mark.slow
def test_an_answer_that_is_taken_back_opens_the_question_again(lab: Lab) -> None:
    """A person may change their mind until somebody went on with it."""
    lab.task("one", script=_ASK)
    assert lab.run("--until-idle").status == 4
    lab.gitfleet("answer", "one", "JWT")
    path = lab.window / _QUESTION
    path.write_text(path.read_text().replace("\nJWT\n", "\n<!-- not yet -->\n"))
    lab.commit("Not yet")
    assert lab.status("one") == "asking"
    assert lab.run("--until-idle").status == 4
    assert lab.outcomes("one") == ["asked"]


@pytest.mark.slow
def test_a_merge_without_text_leaves_the_question_open(lab: Lab) -> None:
    """The hint is no answer; and no branch comes again that could add nothing."""
    lab.task("one", script=_ASK)
    assert lab.run("--until-idle").status == 4
    until(lambda: lab.refs("refs/heads/gitfleet/ask/one-1"), what="the branch")
    assert _merged(lab, "gitfleet/ask/one-1")
    git("branch", "-q", "-D", "gitfleet/ask/one-1", cwd=lab.path)
    assert lab.status("one") == "asking"
    assert lab.run("--until-idle").status == 4
    assert lab.refs("refs/heads/gitfleet/ask/") == []
    path = lab.window / _QUESTION
    path.write_text(path.read_text() + "cookie\n")
    lab.commit("Now")
    assert lab.run("--until-idle").status == 0
    assert lab.tree()["answer.txt"] == "cookie"


@pytest.mark.slow
def test_what_a_person_left_on_a_questions_branch_is_kept(lab: Lab) -> None:
    """Answered elsewhere, the branch goes; what only it had does not."""
    lab.task("one", script=_ASK)
    assert lab.run("--until-idle").status == 4
    clone = _clone(lab)
    git("switch", "-q", "gitfleet/ask/one-1", cwd=clone)
    (clone / _QUESTION).write_text((clone / _QUESTION).read_text() + "JWT\n")
    git("commit", "-q", "-a", "-m", "JWT", cwd=clone)
    git("push", "-q", "origin", "gitfleet/ask/one-1", cwd=clone)
    tip = git("rev-parse", "HEAD", cwd=clone)
    lab.gitfleet("answer", "one", "cookie")
    assert lab.run("--until-idle").status == 0
    assert lab.refs("refs/heads/gitfleet/ask/") == []
    (kept,) = lab.refs("refs/gitfleet/salvage/ask/")
    assert lab.tip(kept) == tip


@pytest.mark.slow
def test_who_stops_for_an_answer_that_comes_just_then_goes_on_with_it(lab: Lab) -> None:
    """Told to stop, answered while it stops: the work is half done, and no failed attempt."""
    gate = lab.gate("gate")
    lab.task("one", script=f"{_ASK.rstrip()} || {{ {gate.here}; read _ < '{gate.path}.go'; }}")
    live = lab.start("--until-idle")
    gate.reached()
    lab.gitfleet("answer", "one-1", "cookie")
    gate.open()
    assert live.wait().status == 0
    assert lab.outcomes("one") == ["asked", "submitted", "accepted"]
    assert "answered after it had stopped" in lab.attempts("one")[0].reason
    assert lab.tree()["answer.txt"] == "cookie"


@pytest.mark.slow
def test_a_cancelled_attempt_is_cancelled_whatever_it_asked(lab: Lab) -> None:
    """What a person decided is stronger than an open question."""
    lab.task("one", script='gitfleet ask "Which?" --wait 10m')
    live = lab.start("--until-idle")
    live.wait_for("asked")
    lab.gitfleet("cancel", "one")
    assert live.wait().status == 0
    assert lab.outcomes("one") == ["cancelled"]


@pytest.mark.slow
def test_who_is_ended_while_it_waits_did_not_fail(lab: Lab) -> None:
    """An attempt that reaches its limit waiting for an answer costs no attempt."""
    lab.task(
        "one", timeout="2s", max_attempts=1, script='gitfleet ask "Which?" --wait 10m > answer.txt'
    )
    assert lab.run("--until-idle").status == 4
    assert (lab.outcomes("one"), lab.status("one")) == (["asked"], "asking")
    lab.gitfleet("answer", "one", "cookie")
    assert lab.run("--until-idle").status == 0


@pytest.mark.slow
def test_a_validator_may_ask(lab: Lab) -> None:
    """Its attempt ends `asked`, and the work is judged when there is an answer."""
    judge = lab.folder / "judge.sh"
    judge.write_text(
        'gitfleet ask "Is it good?" --wait 0s > /dev/null || exit 0\n'
        'gitfleet verdict accepted --reason "a person says so"\n'
    )
    lab.set(
        roles={"work": {"coder": "shell"}, "validate": {"coder": "judge"}},
        coders={"judge": {"argv": ["sh", str(judge)]}},
    )
    lab.task("one", script="echo x > x")
    assert lab.run("--until-idle").status == 4
    assert (lab.outcomes("one"), lab.status("one")) == (["submitted", "asked"], "asking")
    lab.gitfleet("answer", "one", "yes")
    assert lab.run("--until-idle").status == 0
    assert lab.outcomes("one") == ["submitted", "asked", "accepted"]


@pytest.mark.slow
def test_secrets_in_a_question_are_masked(lab: Lab) -> None:
    """What an agent asks is shown to everybody; and asked again it is still the same question."""
    lab.env["SOME_API_TOKEN"] = secret = "s3cr3t-value-0123456789"
    lab.task("one", script='gitfleet ask "Is $SOME_API_TOKEN right?" --wait 0s > a')
    assert lab.run("--until-idle").status == 4
    assert lab.board().entries["one"].questions[0].text == "Is <masked> right?"
    assert secret not in git("log", "-p", "fleet", cwd=lab.path)
    lab.gitfleet("answer", "one", "yes")
    assert lab.run("--until-idle").status == 0
    assert len(lab.board().entries["one"].questions) == 1


# -- notes and progress


@pytest.mark.slow
def test_notes_are_few_commits_and_the_last_word_is_there(lab: Lab) -> None:
    """However often an agent notes, the board gets one commit a minute, and the final version."""
    lab.task(
        "one",
        script="for n in 1 2 3 4 5; do gitfleet note plan $n; sleep 0.6; done\necho x > x",
    )
    assert lab.run("--until-idle").status == 0
    assert lab.show("fleet:notes/one/plan.md") == "5"
    commits = git("log", "--format=%s", "fleet", "--", "notes/one", cwd=lab.path).splitlines()
    assert len(commits) == 2 and set(commits) == {"one: notes (plan)"}


@pytest.mark.slow
def test_progress_is_shown_and_stored_nowhere(lab: Lab) -> None:
    """Who looks at running attempts sees it; the board does not hold it."""
    gate = lab.gate("gate")
    lab.task("one", script=f'gitfleet progress "half way"\n{gate.pause}\necho x > x')
    live = lab.start("--until-idle")
    gate.reached()
    outbox = lab.clone.runs / "one"
    until(lambda: not list(outbox.glob("*/outbox/progress.txt")), what="the runner to take it")
    gate.open()
    assert live.wait().status == 0
    assert "half way" not in git("log", "-p", "fleet", cwd=lab.path).replace(
        'gitfleet progress "half way"', ""
    )


@pytest.mark.slow
def test_an_error_of_ours_after_a_question_waits_for_the_answer(lab: Lab) -> None:
    """What cannot be seen through is `asked` as well: asking the same again would gain nothing."""
    lab.task("one", script="rm .git\n" + _ASK)
    live = lab.start()
    line = live.wait_for("ended", task="one")
    assert line.fields["outcome"] == "asked" and live.lines.of("error", task="one")
    assert lab.status("one") == "asking"


# -- the coder's own session

_CLAUDE: Final = """\
#!/usr/bin/env python3
# As Claude Code behaves: a session of its own, gone on with by --resume where it is known.
import json, os, pathlib, subprocess, sys
here = pathlib.Path(FOLDER)
told, args = sys.stdin.read(), sys.argv[1:]
say = lambda **event: print(json.dumps(event), flush=True)
asked = args[args.index("--resume") + 1] if "--resume" in args else ""
if asked and not (here / asked).exists():
    why = "No conversation found with session ID: " + asked
    end = {"type": "result", "subtype": "error_during_execution", "is_error": True}
    say(**end, session_id=asked, errors=[why])
    sys.exit(1)
session = asked or "session-" + os.environ["GITFLEET_ATTEMPT"]
(here / session).touch()
(here / ("told-" + os.environ["GITFLEET_ATTEMPT"])).write_text(told)
say(type="system", subtype="init", session_id=session, model="m", tools=[], mcp_servers=[])
if asked or "A person answered" in told:
    pathlib.Path("answer.txt").write_text(session)
else:
    subprocess.run(["gitfleet", "ask", "May I?"])
    add = ["gitfleet", "add", "Look there", "--id", "found", "--coder", "shell"]
    if os.environ["GITFLEET_ROLE"] == "plan":
        subprocess.run(add, input="```sh\\necho x > x\\n```", text=True)
say(type="result", subtype="success", is_error=False, session_id=session, result="done")
"""


def _with_claude(lab: Lab, **keys: str) -> Path:
    """A lab whose coder is Claude Code, as far as sessions go."""
    folder = lab.folder / "bin"
    folder.mkdir()
    program = folder / "claude"
    program.write_text(_CLAUDE.replace("FOLDER", repr(str(lab.folder))))
    program.chmod(0o755)
    lab.set(roles={"work": {"coder": "claude"}}, coders={"claude": {"program": str(program)}})
    lab.task("one", body="Do it.\n", max_attempts=1, **keys)
    assert lab.run("--until-idle").status == 4
    assert lab.outcomes("one") == ["asked"], lab.attempts("one")
    assert lab.attempts("one")[0].session == "session-1"
    lab.gitfleet("answer", "one", "Yes, gently")
    return lab.folder


@pytest.mark.slow
def test_the_coders_own_session_goes_on_with_the_answer(lab: Lab) -> None:
    """It knows the task and what it did; it is told what it does not know."""
    folder = _with_claude(lab)
    assert lab.run("--until-idle").status == 0
    assert lab.tree()["answer.txt"] == "session-1"
    told = (folder / "told-2").read_text()
    assert told.startswith("Continue the task one") and "Yes, gently" in told
    assert "Do it." not in told


@pytest.mark.slow
def test_a_plan_that_goes_on_has_the_tasks_it_filed_already(lab: Lab) -> None:
    """Its session knows that it filed them, and they arrive with its end, once."""
    folder = _with_claude(lab, role="plan")
    assert lab.run("--until-idle").status == 0
    assert (folder / "told-2").read_text().startswith("Continue the task one")
    found = lab.board().entries["found"].task
    assert found is not None and found.discovered_from == "one"
    assert lab.statuses() == {"one": "done", "found": "done"}


@pytest.mark.slow
def test_the_mcp_server_is_attached(lab: Lab) -> None:
    """A coder that speaks MCP is given it, with the environment that not every coder passes on."""
    _with_claude(lab)
    (path,) = lab.clone.runs.glob("one/*/mcp.json")
    server = json.loads(path.read_text())["mcpServers"]["gitfleet"]
    assert server["args"][-2:] == ["gitfleet", "mcp"]
    assert server["env"]["GITFLEET_OUTBOX"] == str(path.parent / "outbox")
    assert server["env"]["GITFLEET_RUN"] and server["env"]["GITFLEET_ASK_WAIT"] == "2m"


@pytest.mark.slow
def test_a_session_that_is_gone_costs_no_attempt(lab: Lab) -> None:
    """The next attempt begins a fresh one, with the task and the answers."""
    folder = _with_claude(lab)
    (folder / "session-1").unlink()
    assert lab.run("--until-idle").status == 0
    assert lab.outcomes("one", "work") == ["asked", "interrupted", "submitted"]
    assert lab.tree()["answer.txt"] == "session-3"
    told = (folder / "told-3").read_text()
    assert "Do it." in told and "Yes, gently" in told


# -- kill -9

_STEPS: Final = (
    *failpoints.ASKING,
    "claimed",
    "coder-started",
    "coder-ended",
    "work-committed",
    "work-settled",
)


def _killed(live: Live) -> bool:
    return live.wait().status == -signal.SIGKILL


def _until_asking(lab: Lab, where: str) -> bool:
    """Run until the question waits for a person; True: the runner died at that point."""
    died = lab.run("--until-idle", env={"GITFLEET_FAULT": where}).status == -signal.SIGKILL
    assert lab.run("--until-idle").status == 4
    return died


@pytest.mark.slow
@pytest.mark.parametrize("point", _STEPS)
def test_killed_between_any_two_steps_of_asking_the_end_is_the_same(
    make_lab: MakeLab, point: str
) -> None:
    """kill -9 of the runner, before the question and after the answer: one question, one answer,
    one landing, the note there, nothing left over."""
    lab = make_lab()
    lab.task("one", script=f"gitfleet note plan here\n{_ASK}")
    died = _until_asking(lab, point)
    entry = lab.board().entries["one"]
    assert [q.name for q in entry.questions] == ["one-1"]
    assert lab.status("one") == "asking"
    lab.gitfleet("answer", "one", "cookie")
    ran = lab.run("--until-idle", env={} if died else {"GITFLEET_FAULT": point})
    died = died or ran.status == -signal.SIGKILL
    if point == "answer-delivered" and not died:
        pytest.fail("the answer was never delivered")
    assert died, f"{point} was never passed"
    assert lab.run("--until-idle").status == 0
    assert (lab.tree()["answer.txt"], lab.landings()) == ("cookie", ["one"])
    assert [q.name for q in lab.board().entries["one"].questions] == ["one-1"]
    assert lab.show("fleet:notes/one/plan.md") == "here"
    assert lab.refs("refs/heads/gitfleet/ask/") == []
    assert lab.left_over() == []
    assert lab.fsck().status == 0


@pytest.mark.slow
@pytest.mark.parametrize("point", ["claimed", "coder-started", "coder-ended", "work-settled"])
def test_killed_after_the_answer_the_end_is_the_same(lab: Lab, point: str) -> None:
    """The attempt that goes on is as safe as the one that asked."""
    lab.task("one", script=_ASK)
    assert lab.run("--until-idle").status == 4
    lab.gitfleet("answer", "one", "cookie")
    assert lab.run("--until-idle", env={"GITFLEET_FAULT": point}).status == -signal.SIGKILL
    assert lab.run("--until-idle").status == 0
    assert (lab.tree()["answer.txt"], lab.landings()) == ("cookie", ["one"])
    assert lab.fsck().status == 0


@pytest.mark.slow
def test_an_agent_asks_through_the_mcp_server(lab: Lab) -> None:
    """A client in the workspace calls ask_human: once answered in time, once parked."""
    client = Path(__file__).parent.parent / "cli" / "mcp_client.py"
    script = f"'{sys.executable}' '{client}' ask_human question='Which?' > said.txt\ncat said.txt"
    lab.set(ask={"wait": "60s"})
    lab.task("one", script=script)
    live = lab.start()
    live.wait_for("asked", question="one-1")
    lab.gitfleet("answer", "one-1", "JWT")
    live.wait_for("landed", task="one")
    assert lab.tree()["said.txt"] == "A person answered: JWT"
    lab.set(ask={"wait": "0s"})
    lab.task("two", script=script)
    live.wait_for("ended", task="two", outcome="asked")
    lab.gitfleet("answer", "two", "cookie")
    live.wait_for("landed", task="two")
    assert lab.tree()["said.txt"] == "A person answered: cookie"
    live.stop()
    assert not [c for c in lab.left_over() if c.pid != os.getpid()]
