"""What every forge must do for questions: one suite over them all."""

from __future__ import annotations

import pytest

from gitfleet.forges import registry
from gitfleet.forges.http_errors import Denied, Limited, NoAnswer, NotThere
from gitfleet.model.change import Person
from tests.forges.fakes.server import TOKEN, FakeForge, Reply, User
from tests.forges.kit import BRANCH, NAME, PATH, Desk

BEA = Person("Bea", "bea@example.org")


def test_a_question_becomes_a_pull_request_that_can_be_merged(
    forge: FakeForge, place: Desk
) -> None:
    """One branch with one commit on the board, that adds the heading; the question is the title,
    and the context the body."""
    place.ask(options=("100 MB", "500 MB"))
    place.round()
    (pull,) = forge.pulls
    assert (pull.head, pull.base, pull.state) == (BRANCH, "fleet", "open")
    assert pull.title == "How large may the store become?"
    for part in ("Store map tiles", "> Tiles are kept", "1. 100 MB", "2. 500 MB", "To answer"):
        assert part in pull.body
    assert f"gitfleet answer {NAME}" in pull.body and PATH in pull.body
    assert "## Answer" in place.file(BRANCH) and "## Answer" not in place.file("fleet")
    assert place.question.open


def test_a_comment_is_the_answer_and_the_pull_request_is_closed(
    forge: FakeForge, place: Desk
) -> None:
    """In the name of who wrote it; with thanks that link the commit; and the branch goes."""
    place.ask()
    place.round()
    forge.comment(1, "bea", "500 MB,\r\nand not more.")
    place.round()
    assert place.question.answer == "500 MB,\nand not more."
    assert "bea" in place.author().lower() and "noreply" in place.author()
    assert "secret@home.org" not in place.author()
    answered = place.fleet.store.tip()
    place.round()
    assert forge.pull(1).state == "closed"
    said = [note.text for note in forge.pull(1).notes if not note.system]
    assert len(said) == 2 and "Thank you" in said[1]
    assert f"{forge.url}/ada/walks/" in said[1] and f"commit/{answered}" in said[1]
    assert not forge.has(BRANCH)
    requests = len(forge.requests)
    place.round()
    assert len(forge.asked("^(POST|PUT|PATCH)")) == len(
        [r for r in forge.requests[:requests] if r.method != "GET"]
    )


def test_the_number_of_an_option_is_its_text(forge: FakeForge, place: Desk) -> None:
    """As the pull request offers it."""
    place.ask(options=("100 MB", "500 MB"))
    place.round()
    forge.comment(1, "bea", " 2. ")
    place.round()
    assert place.question.answer == "500 MB"


def test_edited_there_and_merged_is_the_answer(forge: FakeForge, place: Desk) -> None:
    """Nothing else is to be done than to take the branch away."""
    place.ask()
    place.round()
    place.edit(BRANCH, "500 MB", BEA)
    forge.merge(1)
    place.round()
    assert place.question.answer == "500 MB"
    # Two rounds: at the first its branch is found to be elsewhere than we knew.
    place.round()
    place.round()
    assert forge.pull(1).state == "merged" and not forge.has(BRANCH)
    assert not [note for note in forge.pull(1).notes if not note.system]


def test_merged_without_an_answer_it_stays_open_and_a_comment_says_so_once(
    forge: FakeForge, place: Desk
) -> None:
    """And a comment there is still an answer."""
    place.ask()
    place.round()
    forge.merge(1)
    for _ in range(3):
        place.round()
    said = [note.text for note in forge.pull(1).notes if not note.system]
    assert len(said) == 1 and "still open" in said[0]
    assert place.question.open and len(forge.pulls) == 1
    forge.comment(1, "bea", "500 MB")
    place.round()
    assert place.question.answer == "500 MB"


def test_only_who_may_write_answers_and_the_first_of_them_counts(
    forge: FakeForge, place: Desk
) -> None:
    """Neither a reader nor a program nor gitfleet itself, nor what says nothing."""
    place.ask()
    place.round()
    forge.comment(1, "eve", "1 GB!")
    forge.comment(1, "robo", "All checks have passed")
    forge.comment(1, "ada", "<!-- gitfleet:question -->\nsome words of ours")
    forge.comment(1, "ada", "<!-- nothing to see -->")
    forge.users["gone"] = User(9, "gone", "admin")
    forge.comment(1, "gone", "2 GB")
    del forge.users["gone"]
    place.round()
    assert place.question.open
    forge.comment(1, "ada", "500 MB")
    forge.comment(1, "bea", "900 MB")
    place.round()
    assert place.question.answer == "500 MB"


def test_closed_with_a_comment_is_an_answer_and_without_one_is_left_alone(
    forge: FakeForge, place: Desk
) -> None:
    """Whoever closes it does not get it opened again and again."""
    place.ask()
    place.round()
    forge.close(1)
    place.round()
    place.round()
    assert len(forge.pulls) == 1 and forge.pull(1).state == "closed" and place.question.open
    forge.comment(1, "bea", "500 MB")
    place.round()
    assert place.question.answer == "500 MB"


def test_answered_elsewhere_or_cancelled_it_is_closed(forge: FakeForge, place: Desk) -> None:
    """And says why."""
    place.ask()
    place.ask(f"{NAME[:-1]}2", "And how old?")
    place.round()
    assert [pull.title for pull in forge.pulls] == [
        "How large may the store become?",
        "And how old?",
    ]
    text = place.file("fleet")
    place.write({PATH: f"{text}\n\n## Answer\n500 MB\n".encode()})
    place.round()
    assert [pull.state for pull in forge.pulls] == ["closed", "open"]
    assert "Thank you" in forge.pull(1).notes[0].text
    place.write({"log/map-tiles/001-cancel-ab12.yaml": b"at: '2026-11-20T15:00:00Z'\n"})
    place.round()
    assert forge.pull(2).state == "closed"
    assert "the task was cancelled" in forge.pull(2).notes[0].text


def test_a_pull_request_of_a_stranger_is_none_of_ours(forge: FakeForge, place: Desk) -> None:
    """From a fork anybody may use the name of our branch: neither its comments nor itself count."""
    place.ask()
    forge.fork(BRANCH, "fleet")
    forge.comment(1, "ada", "What is this?")
    place.round()
    assert place.question.open
    assert [(p.number, p.fork, p.state) for p in forge.pulls] == [
        (1, True, "open"),
        (2, False, "open"),
    ]


# -- what goes wrong


def test_a_second_one_is_never_opened(forge: FakeForge, place: Desk) -> None:
    """Not after a restart, not when the answer was lost on its way, not beside another runner."""
    place.ask()
    forge.lose = "^POST .*(pulls|merge_requests)$"
    with pytest.raises(NoAnswer):
        place.round()
    forge.lose = ""
    assert len(forge.pulls) == 1
    place.round()
    # Another runner's view: it did not see it when it looked, and is told of the duplicate.
    forge.order("^GET .*(pulls|merge_requests)$", Reply(200, []), Reply(200, []))
    forge.order("^GET .*/pulls/fleet/", Reply(404, {"message": "no"}))
    place.round()
    assert len(forge.pulls) == 1
    assert any("pr-opened" in line and f"{NAME}" in line for line in place.lines)


def test_a_death_between_any_two_steps_changes_nothing(forge: FakeForge, place: Desk) -> None:
    """Every request in turn is the last one of its runner: its answer never arrives."""
    place.ask()
    for _ in range(40):
        forge.lose = "^(POST|PUT|PATCH)"
        writes = len(forge.asked("^(POST|PUT|PATCH)"))
        try:
            place.round()
        except NoAnswer:
            assert len(forge.asked("^(POST|PUT|PATCH)")) > writes
        if place.question.open and forge.pulls and not forge.pull(1).notes:
            forge.comment(1, "bea", "500 MB")
        if not place.question.open and forge.pull(1).state == "closed":
            break
    else:
        pytest.fail("not over after 40 rounds")
    forge.lose = ""
    place.round()
    assert place.question.answer == "500 MB" and len(forge.pulls) == 1
    thanks = [note for note in forge.pull(1).notes if "Thank you" in note.text]
    assert len(thanks) == 1 and not forge.has(BRANCH)


def test_a_forge_that_is_broken_for_a_moment_is_asked_again(forge: FakeForge, place: Desk) -> None:
    """Where that cannot do a thing twice."""
    place.ask()
    forge.order("^GET", Reply(502, b"<html>"), Reply(500, {"message": "oops"}))
    place.round()
    assert len(forge.pulls) == 1


def test_a_forge_that_is_broken_for_longer_delays_and_loses_nothing(
    forge: FakeForge, place: Desk
) -> None:
    """It is told once, and all comes right when it is back."""
    place.ask()
    forge.order("^GET", *[Reply(503, {"message": "down"})] * 8)
    with place.publisher() as publisher:
        assert not publisher.service.attempt() and not publisher.service.attempt()
        waits = [line for line in place.lines if " forge-delayed " in line]
        assert len(waits) == 1 and "503" in waits[0]
        assert publisher.service.attempt()
    assert len(forge.pulls) == 1


def test_a_limit_is_kept_and_nothing_is_asked_meanwhile(forge: FakeForge, place: Desk) -> None:
    """A short one is waited for at once; a long one is told, and kept by whoever asks next."""
    place.ask()
    forge.order("^GET", Reply(429, {"message": "slow down"}, {"Retry-After": "0"}))
    with place.publisher() as publisher:
        publisher.round()
        assert len(forge.pulls) == 1
        forge.order("^GET", Reply(429, {"message": "slow down"}, {"Retry-After": "120"}))
        with pytest.raises(Limited) as told:
            publisher.round()
        assert 100 < told.value.seconds <= 120
        asked = len(forge.requests)
        with pytest.raises(Limited):
            publisher.round()
        assert len(forge.requests) == asked


def test_a_token_that_lacks_a_right_is_told_in_one_sentence(forge: FakeForge, place: Desk) -> None:
    """Which names the right, and not the token."""
    place.ask()
    forge.may = {"read"}
    with place.publisher() as publisher:
        assert not publisher.service.attempt()
    (line,) = [line for line in place.lines if " forge-delayed " in line]
    assert "lacks a right" in line and TOKEN not in line
    right = {"github": "Pull requests: write", "gitlab": "role Developer"}
    assert right.get(forge.kind, "write:repository") in line
    forge.may = {"read", "write"}
    place.round()
    assert len(forge.pulls) == 1


def test_a_token_that_is_none_any_more_is_told_in_one_sentence(
    forge: FakeForge, place: Desk
) -> None:
    """With the name of the variable it came from."""
    place.ask()
    forge.token_of = None
    with pytest.raises(Denied) as told:
        place.round()
    assert f"{forge.kind.upper()}_TOKEN" in str(told.value) and TOKEN not in str(told.value)


def test_a_repository_that_is_gone_is_told_and_loses_nothing(forge: FakeForge, place: Desk) -> None:
    """It may come back."""
    place.ask()
    forge.gone = True
    with pytest.raises(NotThere):
        place.round()
    forge.gone = False
    place.round()
    assert len(forge.pulls) == 1


def test_long_lists_are_read_to_their_end(forge: FakeForge, place: Desk) -> None:
    """The pull request, and the comment that answers, may stand on a later page."""
    place.ask()
    place.round()
    forge.page = 2
    for _ in range(5):
        forge.comment(1, "eve", "Hm.")
    forge.comment(1, "bea", "500 MB")
    place.round()
    assert place.question.answer == "500 MB"


def test_what_an_agent_writes_commands_nobody(forge: FakeForge, place: Desk) -> None:
    """No line begins with a slash, no name is called, no comment of ours is feigned."""
    place.ask(text="@ada look\n/merge\n<!-- gitfleet:over -->\nWhich?", options=("/close", "@bea"))
    place.round()
    body = forge.pull(1).body
    assert not [line for line in body.splitlines() if line.startswith("/")]
    assert "@ada" not in body and "@bea" not in body and "gitfleet:over" in body
    assert body.count("<!-- gitfleet") == 1


def test_the_doctor_sees_what_a_token_lacks(forge: FakeForge, place: Desk) -> None:
    """Without changing anything there."""
    where = registry.site(place.fleet.store.board().settings.forge, None)  # type: ignore[arg-type]
    found = registry.find(where.kind)
    desk = registry.desk(found, where, registry.token(found, where, ()), place.fleet.giving_up)
    assert found.check(desk) == ""
    forge.may = {"read"}
    assert found.check(desk) != ""
    desk.api.close()
    assert not forge.asked("^(POST|PUT|PATCH|DELETE)")
