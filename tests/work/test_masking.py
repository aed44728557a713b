"""What is secret here does not come onto the board."""

from __future__ import annotations

import pytest

from gitfleet.work.masking import masked

SECRET = "s3cr3t-0123456789"


@pytest.mark.parametrize(
    "name",
    ["GITHUB_TOKEN", "ANTHROPIC_API_KEY", "DB_PASSWORD", "passwd", "aws_secret_access_key", "KEY"],
)
def test_the_values_of_secret_variables_are_masked(name: str) -> None:
    """By the names that such variables have."""
    assert masked(f"bad key {SECRET}!", {name: SECRET}) == "bad key ***!"


def test_other_values_stay() -> None:
    """A word that happens to be a value, and what is too short to be a secret."""
    env = {"HOME": "/home/someone", "MONKEY": "see-monkey-do", "MY_TOKEN": "main"}
    assert masked("main in /home/someone see-monkey-do", env) == (
        "main in /home/someone see-monkey-do"
    )


def test_a_secret_that_holds_another_is_masked_whole() -> None:
    """The longer one first."""
    env = {"A_TOKEN": "abcdefgh", "B_TOKEN": "abcdefgh-and-more"}
    assert masked("abcdefgh-and-more abcdefgh", env) == "*** ***"


def test_credentials_in_addresses_are_masked() -> None:
    """As everywhere."""
    assert masked("to https://me:pw@example.org/x", {}) == "to https://***@example.org/x"
