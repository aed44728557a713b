"""Retired words do not come back: docs/glossary.md has one word for each thing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
GLOSSARY: Final = ROOT / "docs" / "glossary.md"
# Words of its last column that have another meaning, for which the code may use them.
OTHER_MEANING: Final = {
    "bot": "a forge's account for programs",
    "judge": "a coder's own decision about its end, and rules that judge a commit",
    "line": "a line of text",
    "lock": "a lock of git, of a thread, or on a file",
    "order": "a sequence",
    "proof": "evidence that a tree passes",
    "record": "a file that a crash leaves behind, or one of git's",
    "release": "to release a lock",
    "reply": "an answer of a server",
    "rest": "what is left",
    "scope": "the outcome out-of-scope, and the files that lint checks",
    "shared": "used by several",
    "swap": "compare-and-swap of a ref",
    "try": "one of several",
    "way": "to be in, or give, way",
}
# More words with a standard one, as a part of any name in the code.
# fmt: off
MORE: Final = frozenset(
    {
        "adrift", "askbranch", "beside", "courtesy", "grip", "letters", "limbo", "mender",
        "notable", "offers", "publisher", "pullrequest", "rereading", "retelling", "standings",
        "uninstall", "upkeep",
    }
)
# fmt: on
# In the text of a document.
IN_TEXT: Final = re.compile(
    r"\b(afresh|letter box|inbox letters?|the shim|on paper|gone on with|mender|vigil|vitals"
    r"|standings|the how-manieth|gitfleet release|gitfleet uninstall|pip install gitfleet)\b"
)
# In a message: any string with a space in it that is no docstring.
IN_MESSAGES: Final = re.compile(
    r"\b(nobody|somebody|whoever|afresh|anew|mend(?:s|ed)?|begun|tells|on paper|go(?:es|ne)? on"
    r"|as they were|as (?:it|they) stands?|stands? (?:in|here|there|below|under)|and this is none"
    r"|unproved|waits for you|judged?|is no (?:file|list|name|plain|version|worktree))\b",
    re.IGNORECASE,
)
# Old keys and verbs are named where an upgrade is explained, and in a history.
EXEMPT: Final = frozenset({"glossary.md"})


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def _parts(name: str) -> set[str]:
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def _retired() -> frozenset[str]:
    """The last column of the glossary, without words that have another meaning."""
    rows = re.findall(r"^\|[^|]+\|[^|]+\|([^|]*)\|$", GLOSSARY.read_text(), re.M)
    words = {word.strip() for row in rows[2:] for word in row.split(",")}
    assert OTHER_MEANING.keys() <= words
    return frozenset(words - OTHER_MEANING.keys() - {""}) | MORE


def test_no_name_in_the_code_has_a_retired_word() -> None:
    """Neither a module nor a class, a function, a field or a variable."""
    retired = _retired()
    assert {"pick", "vigil", "standing"} <= retired
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "gitfleet").rglob("*.py")
        for name in (path.stem, *_names(ast.parse(path.read_text())))
        if _parts(name) & retired
    }
    assert not found


def _messages(tree: ast.Module) -> Iterator[str]:
    """The strings of a module that people may see: all but docstrings and single words."""
    docstrings = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if id(node) not in docstrings and " " in node.value:
            yield node.value


def test_no_message_has_a_retired_phrase() -> None:
    """Errors, remedies, reasons, the log, prompts and commit messages are plain English."""
    texts = {
        path: list(_messages(ast.parse(path.read_text())))
        for path in (ROOT / "gitfleet").rglob("*.py")
    }
    texts |= {path: [path.read_text()] for path in (ROOT / "gitfleet" / "_assets").rglob("*.md")}
    found = {
        f"{path.relative_to(ROOT)}: {phrase[0]}"
        for path, said in texts.items()
        for text in said
        for phrase in IN_MESSAGES.finditer(text)
    }
    assert not found


@pytest.mark.parametrize(
    "page", sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
)
def test_no_document_has_a_retired_word(page: Path) -> None:
    """So that a reader finds in the code the word that a page uses."""
    if page.name not in EXEMPT:
        assert not IN_TEXT.findall(page.read_text())


def test_the_glossary_has_one_line_for_each_word() -> None:
    """Some forty words, in alphabetical order, each once."""
    rows = re.findall(r"^\| ([a-z][^|]*?) \|", GLOSSARY.read_text(), re.M)
    words = [row for row in rows if row != "word"]
    assert words == sorted(set(words)) and 35 <= len(words) <= 50
