"""The demo's tasks, as the files a person would write, and what must have become of each.

Every task is done by the coder `shell`, so that the demo needs no model and no account; what each
script pretends (a slow worker, a mirror that is down) is what real ones do.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

FIX_SLUG: Final = """\
---
title: Join the words of a slug with dashes
priority: 0
---
`tests/test_text.py` fails: `slug` puts underscores where dashes should be. Mention it in the
changelog, too.

This and `count-words` meet: each waits until the other has started, so neither can end unless both
run at the same time.

```sh
touch "$DEMO_MEET/fix-slug"
until [ -e "$DEMO_MEET/count-words" ]; do sleep 0.05; done
sed -i 's/" ", "_"/" ", "-"/' words/text.py
sed -i 's/^## Next$/&\\n\\n- A slug has dashes now./' CHANGELOG.md
```
"""

COUNT_WORDS: Final = """\
---
title: Count the words of a text
---
A function `count` in `words/count.py`, with a test.

```sh
touch "$DEMO_MEET/count-words"
until [ -e "$DEMO_MEET/fix-slug" ]; do sleep 0.05; done
cat > words/count.py <<'END'
\"""Numbers about a text.\"""


def count(text: str) -> int:
    \"""How many words a text has.\"""
    return len(text.split())
END
cat > tests/test_count.py <<'END'
import unittest

from words.count import count


class CountTest(unittest.TestCase):
    def test_count(self) -> None:
        self.assertEqual(count("one  two\\nthree"), 3)
END
```
"""

ADD_SUMMARY: Final = """\
---
title: A summary made of both
depends_on: [fix-slug, count-words]
---
It needs the work of the two others, so it starts only when both have landed.

```sh
cat > words/summary.py <<'END'
\"""One line about a text.\"""

from words.count import count
from words.text import slug


def summary(title: str, text: str) -> str:
    \"""Where a text is, and how long it is.\"""
    return f"{slug(title)}: {count(text)} words"
END
cat > tests/test_summary.py <<'END'
import unittest

from words.summary import summary


class SummaryTest(unittest.TestCase):
    def test_summary(self) -> None:
        self.assertEqual(summary("My Fleet", "a b c"), "my-fleet: 3 words")
END
```
"""

ADD_LICENSE: Final = """\
---
title: Add a licence
---
The first attempt fails, as networks do. It is retried after a pause.

```sh
if [ "$GITFLEET_ATTEMPT" = 1 ]; then
    echo "the mirror with the licence texts does not answer" >&2
    exit 1
fi
echo "Do what you like with this." > LICENSE
```
"""

NAME_PYTHON: Final = """\
---
title: State the Python version
---
A line in the changelog, where `fix-slug` writes one, too. The first attempt takes so long that
the other lands before it: a conflict. The script then runs again on the new tip.

```sh
if [ "$GITFLEET_ATTEMPT" = 1 ]; then
    until [ "$(git rev-parse main)" != "$GITFLEET_BASE" ]; do sleep 0.05; done
fi
sed -i 's/^## Next$/&\\n\\n- Python 3.11 or newer is needed./' CHANGELOG.md
```
"""

READING_TIME: Final = """\
---
title: Estimate the reading time
---
A function `minutes` in `words/reading.py`. It passes the tests, but a debug `print` was left in it,
and the reviewer rejects that.

```sh
cat > words/reading.py <<'END'
\"""How long a text takes.\"""


def minutes(text: str) -> int:
    \"""Minutes to read a text, at 200 words a minute and at least one.\"""
    print("debug:", text)
    return max(1, len(text.split()) // 200)
END
```
"""

TASKS: Final[Mapping[str, str]] = {
    "fix-slug": FIX_SLUG,
    "count-words": COUNT_WORDS,
    "add-summary": ADD_SUMMARY,
    "add-license": ADD_LICENSE,
    "name-python": NAME_PYTHON,
    "reading-time": READING_TIME,
}
REPAIR: Final = "reading-time-fix-1"

_SETTINGS: Final = """\
# Written by the demo. `gitfleet help board` explains every key.
format: 2
target: main
concurrency: 5                  # attempts at once
checks:                         # what must pass on every tree that lands
  - {check}
backoff: {{initial: 1s}}              # the pause after a failed attempt
timeouts: {{attempt: 60s}}        # none of these scripts takes longer
roles:
  work: {{coder: shell}}          # runs the fenced sh block of a task
  validate: {{coder: reviewer}}   # reviews what passed the checks
coders:
  reviewer:                     # any program can be a coder
    argv: {argv}
"""


def settings(python: str, reviewer: Path) -> str:
    """The text of fleet.yaml; JSON strings are YAML strings, whatever a path contains."""
    check = f"{shlex.quote(python)} -m unittest -q"
    argv = [python, "-I", str(reviewer)]
    return _SETTINGS.format(
        check=json.dumps(check, ensure_ascii=False), argv=json.dumps(argv, ensure_ascii=False)
    )


class Promise(Struct, frozen=True):
    """The expected result of a task, beyond that it is done."""

    task: str
    outcomes: tuple[str, ...] = ()  # its attempts' outcomes in order, perhaps with others between
    after: tuple[str, ...] = ()  # tasks that must have landed before it started
    alongside: tuple[str, ...] = ()  # tasks that must have run at the same time
    closed_by: str = ""  # it did not land itself; this task's landing closed it


PROMISES: Final = (
    Promise("fix-slug", ("submitted", "accepted"), alongside=("count-words",)),
    Promise("count-words", ("submitted", "accepted"), alongside=("fix-slug",)),
    Promise("add-summary", ("submitted", "accepted"), after=("fix-slug", "count-words")),
    Promise("add-license", ("failed", "submitted", "accepted")),
    Promise("name-python", ("submitted", "conflict", "submitted", "accepted")),
    Promise("reading-time", ("submitted", "rejected"), closed_by=REPAIR),
    Promise(REPAIR, ("submitted", "accepted")),
)

# The expected content of the target at the end: a file and a line in it.
LINES: Final = (
    ("words/text.py", '    return title.lower().replace(" ", "-")'),
    ("words/count.py", "    return len(text.split())"),
    ("words/summary.py", '    return f"{slug(title)}: {count(text)} words"'),
    ("LICENSE", "Do what you like with this."),
    ("CHANGELOG.md", "- A slug has dashes now."),
    ("CHANGELOG.md", "- Python 3.11 or newer is needed."),
    ("words/reading.py", "    return max(1, len(text.split()) // 200)"),
)
ABSENT: Final = (("words/reading.py", '    print("debug:", text)'),)
