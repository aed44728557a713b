"""Masked text holds no part of a secret, however it is spelt and wherever a text is cut."""

from __future__ import annotations

import json

import pytest

from gitfleet.model.secrets import MASKED, Mask


@pytest.mark.parametrize("secret", ['pa/ss"wörd-99', "pass/word-99", 'pass"word-99'])
def test_a_secret_is_found_as_any_json_writer_spells_it(secret: str) -> None:
    """Some escape the slash, some all that is not ASCII."""
    mask = Mask([secret])
    for ascii_only in (True, False):
        spelt = json.dumps(secret, ensure_ascii=ascii_only)
        assert mask.text(spelt) == mask.text(spelt.replace("/", "\\/")) == f'"{MASKED}"'


def test_each_line_of_a_secret_of_two_is_one() -> None:
    """A tool prints its first line alone."""
    mask = Mask(["first-line-of-secret\nsecond-line-of-secret"])
    assert mask.text("got: first-line-of-secret") == f"got: {MASKED}"
    assert mask.text("second-line-of-secret.") == f"{MASKED}."


def test_data_is_masked_all_through() -> None:
    """In keys, lists, tuples and bytes; what is no text stays."""
    data = {"a hunter2-x": ["hunter2-x", ("hunter2-x", b"hunter2-x", 3)]}
    assert Mask(["hunter2-x"]).data(data) == {
        f"a {MASKED}": [MASKED, (MASKED, MASKED.encode(), 3)],
    }


@pytest.mark.parametrize("times", [20, 400])
def test_a_text_that_is_read_from_within_a_secret_does_not_begin_with_its_rest(times: int) -> None:
    """Even where the masked text is much shorter than what was read, or the secret very long."""
    secret = "s3cr3t-hunter2-" * times
    mask = Mask([secret])
    whole = secret * 100 + "x" * 3900
    assert "hunter2" not in mask.tail(whole[-(5000 + mask.reach + 7) :], 5000)


def test_a_short_text_keeps_its_beginning() -> None:
    """Nothing was cut off before it."""
    assert Mask(["s3cr3t-hunter2"]).tail("short s3cr3t-hunter2", 1000) == f"short {MASKED}"


def test_a_private_key_whose_beginning_was_cut_off_is_masked() -> None:
    """The end of a log may begin in the middle of it."""
    lines = "\n".join(["QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo" * 2] * 12)
    text = f"{lines}\nQUJD\n-----END RSA PRIVATE KEY-----\nafter\n"
    assert Mask().text(text) == f"{MASKED}\nafter\n"
    assert Mask().text(lines) == lines
