"""The demo's small project: a Python package with tests, one of which fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FILES: Final[Mapping[str, str]] = {
    ".gitignore": "__pycache__/\n",
    "README.md": "# words\n\nSmall text functions.\n",
    "CHANGELOG.md": "# Changelog\n\n## Next\n\n",
    "words/__init__.py": "",
    "words/text.py": '''\
"""Text for other places."""


def slug(title: str) -> str:
    """A title as part of an address: `Hello World` becomes `hello-world`."""
    return title.lower().replace(" ", "_")


def shorten(text: str, width: int) -> str:
    """At most `width` characters of a text, and a sign where some are left out."""
    return text if len(text) <= width else text[: width - 1] + "…"
''',
    "tests/__init__.py": "",
    "tests/test_text.py": """\
import unittest

from words.text import shorten, slug


class TextTest(unittest.TestCase):
    def test_slug(self) -> None:
        self.assertEqual(slug("Hello World"), "hello-world")

    def test_shorten(self) -> None:
        self.assertEqual(shorten("fleet", 5), "fleet")
        self.assertEqual(shorten("fleets", 5), "flee…")
""",
}
