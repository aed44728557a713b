"""The coder `shell`: a fenced block of the task, run as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitfleet.coders import shell
from gitfleet.coders.base import Cannot
from tests.coders.kit import job


@pytest.mark.parametrize(
    ("body", "script"),
    [
        ("Text.\n\n```sh\necho 1\n```\nMore.\n", "echo 1\n"),
        ("```bash\necho 1\n```\n", "echo 1\n"),
        ("~~~ shell\necho 1\n~~~\n", "echo 1\n"),
        ("````sh\n```\necho 1\n````\n", "```\necho 1\n"),
        ("```python\nprint()\n```\n```sh\nfirst\n```\n```sh\nsecond\n```\n", "first\n"),
        ("```sh\n```\n", ""),
        ("```\necho 1\n```\n", None),
        ("> ```sh\n> rm -rf /\n> ```\n", None),
        ("    ```sh\n    rm -rf /\n    ```\n", None),
        ("```sh\nno end\n", None),
        ("", None),
    ],
)
def test_the_first_fenced_sh_block_is_the_script(body: str, script: str | None) -> None:
    """What is quoted or indented is text of others, and is never run."""
    assert shell.script_of(body) == script


def test_the_script_is_a_file_and_never_an_argument(tmp_path: Path) -> None:
    """Whatever stands in a script, no shell sees it but as the file it runs; the first failing
    command ends it."""
    launch = shell.launch(job(tmp_path, body="```sh\necho \"$(x)\" '; rm'\n```\n"))
    assert launch.argv[:2] == ("sh", "-e") and len(launch.argv) == 3
    assert Path(launch.argv[2]).read_text() == "echo \"$(x)\" '; rm'\n"
    assert launch.stdin is None


def test_a_task_without_a_block_cannot_be_started(tmp_path: Path) -> None:
    """`misconfigured`, with what is missing."""
    with pytest.raises(Cannot, match="```sh"):
        shell.launch(job(tmp_path, body="Do it somehow."))


def test_every_attempt_of_a_script_begins_afresh() -> None:
    """A script is not made to go on where another run of it stopped."""
    assert shell.CODER.fresh
