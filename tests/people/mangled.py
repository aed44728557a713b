"""A thousand ways to write a task file wrong; the same ones each time.

Each is (path, content, kind); those of kind "fine" are valid, since what they mean is plain.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

GOOD = b"""---
title: Mend the door
depends_on: [hinge]
priority: 1
labels: [house, "wood"]
checks: ["test -f door"]
paths: ["door/**"]
runs_on: [gpu]
not_before: 2026-12-01T09:00:00Z
timeout: 45m
budget: {usd: 2.0, tokens: 500000}
hold: true
---
# What to do

Mend it.

```sh
touch door
```
"""
FULL = 256 * 1024


class Mangled(NamedTuple):
    """A file, and how it was mangled."""

    path: str
    data: bytes
    kind: str


def front(text: str | bytes, body: bytes = b"") -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return b"---\ntitle: T\nhold: true\n" + raw + b"\n---\n" + body


def _bomb(depth: int, width: int) -> str:
    lines = ["x-a0: &a0 [lol, lol]"]
    for n in range(1, depth):
        lines.append(f"x-a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * width) + "]")
    return "\n".join(lines)


def contents() -> Iterator[tuple[str, bytes]]:
    """What stands in a file of a good name."""
    yield "fine", b"\xef\xbb\xbf" + GOOD
    yield "fine", GOOD.replace(b"\n", b"\r\n")
    yield "fine", b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\r\n")
    yield "fine", GOOD.replace(b"\n", b"\r")
    yield "fine", front("x-mine: [1, 2]")
    yield "fine", front("", b"x" * 200_000)
    yield "fine", front("depends_on: [no, 0777, 1_000]")
    end = GOOD.index(b"---\n#")
    for cut in range(end + 3):
        yield "truncated", GOOD[:cut]
    for data in (
        b"",
        b"\n" * 1000,
        b"---\n",
        b"---\n---\n",
        b"---\n---",
        b"\xef\xbb\xbf",
        b"---\r---\r",
    ):
        yield "empty", data
    chance = random.Random(7)
    for size in (1, 10, 1000, FULL - 1):
        yield "binary", bytes(chance.randrange(256) for _ in range(size))
        yield "binary", b"---\n" + bytes(chance.randrange(256) for _ in range(size)) + b"\n---\n"
    for code in (*range(9), 11, 12, *range(14, 32), 0x7F):
        yield "control", front(b"x-a: b" + bytes([code]) + b"c")
    for bad in (
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
        "ü".encode("latin-1"),
    ):
        yield "utf-8", front(b"x-a: " + bad)
    for coding in ("utf-16", "utf-16-le", "utf-32"):
        yield "utf-16", GOOD.decode().encode(coding)
    for size in (FULL + 1, 10_000_000):
        yield "large", front("", b"x" * size)
        yield "large", front("x-a: " + "y" * size)
    for text in (
        "x-a: &a b",
        "x-a: &a b\nx-b: *a",
        "x-a: *nowhere",
        "<<: {title: U}",
        "x-a: &a [*a]",
    ):
        yield "anchor", front(text)
    for depth, width in ((3, 2), (10, 10), (50, 9), (9, 2000)):
        yield "bomb", front(_bomb(depth, width))
    for tag in (
        "!!python/object/apply:os.system [id]",
        "!!binary YQ==",
        "!x y",
        "!!str 1",
        "!<tag> z",
    ):
        yield "tag", front(f"x-a: {tag}")
    for twice in ("title: U", "priority: 1\npriority: 1", 'x-a: 1\n"x-a": 2', "x-m: {a: 1, a: 2}"):
        yield "twice", front(twice)
    for depth in (11, 13, 100, 5_000, 60_000):
        yield "deep", front("x-a: " + "[" * depth + "]" * depth)
        yield "deep", front("x-a: " + "{a: " * depth + "1" + "}" * depth)
        yield "deep", front("x-a: " + "[" * depth)
    yield "deep", front("x-a:\n" + "".join(" " * n + "- \n" for n in range(600)))
    yield "deep", front("- " * 60_000)
    yield "deep", front("? " * 60_000)
    for text in ("a\n---\nb: c", "%YAML 9.9\n---\ntitle: U", "...", "x-a: b\n...\nx-c: d"):
        yield "documents", front(text)
    for text in (
        "[a, b]",
        "just words",
        "- a\n- b",
        "? [a]\n: b",
        "{",
        "a: b: c",
        "a:\n\tb: c",
        '"',
    ):
        yield "syntax", front(text)
    for word in ("<<<<<<< HEAD\nx-a: 1\n=======\nx-a: 2\n>>>>>>> other",):
        yield "conflict", front(word)
    wrong = (
        "{}",
        "[]",
        "[[a]]",
        "yes",
        "1e999",
        "-1",
        "99999999999999999999",
        "null",
        "''",
        "'\\'",
    )
    keys = "title depends_on priority labels role checks paths base parent runs_on not_before"
    for key in f"{keys} timeout max_attempts budget hold fixes nonsense".split():
        for value in wrong:
            lines = f"---\ntitle: T\n{key}: {value}\n---\n"
            if key == "title":
                lines = f"---\ntitle: {value}\n---\n"
            yield "value", lines.encode()
    for key in ("titel", "dependson", "prio", "constructor", "__class__", "x", "-", "ü" * 500):
        yield "unknown", front(f"{key}: 1")
    for ident in ("../../etc/passwd", "a/b", ".", "..", "CON", "con", "a b", "-rf", "a" * 65, "é"):
        yield "id", front(f"depends_on: ['{ident}']")
    many = 250_000
    yield "many", front("".join(f"k{n}: 1\n" for n in range(many // 12)))
    yield "many", front("depends_on: [" + "A, " * (many // 3) + "A]")
    yield "many", front("labels: [" + "a, " * (many // 3) + "a]")
    yield "many", front("x-a: [" + "a, " * (many // 3) + "a]")
    yield "many", front("x-a: {" + ", ".join(f"k{n}: v" for n in range(many // 12)) + "}")
    yield "many", front("checks: [" + "'" * (many // 4 * 2) + "]")
    yield "many", front("x-a: '" + "\\n" * (many // 3) + "'")
    yield "many", front("#" * many)
    yield "many", front("x-a: " + "-" * many)
    yield "many", front("x-b: " + "9" * many)
    yield "many", front("priority: " + "9" * many)
    yield "many", front("not_before: " + "9" * many)
    yield "many", front("timeout: " + "9" * many + "h")
    yield "many", front("base: " + "a/" * (many // 3))
    yield "many", b"---\n" + b"- " * (many // 2) + b"\n---\n"
    yield "many", b"---" + b" " * many + b"x\n"
    yield "many", b"---\n" + b"--- \t" * (many // 5) + b"\n"
    for seed in range(350):
        yield "noise", _noise(seed)


def _noise(seed: int) -> bytes:
    """A good file with some bytes changed, taken out or put in, in its front matter."""
    chance = random.Random(seed)
    data = bytearray(GOOD)
    end = GOOD.index(b"---\n#") + 4
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(end)
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at : at + chance.randint(1, 9)]
            case 2:
                data[at:at] = chance.choice(
                    [b"\n", b"  ", b"&a ", b"*a", b"!!x ", b"'", b"{", b"]", b"\t", b": "]
                )
            case _:
                data[at:at] = data[at : at + 20]
    return bytes(data)


_WORDS = """
con aux nul prn com1 lpt9 COM1 Con Upper UPPER a.b .hidden .. . ... -rf _x a, a+b a@b a~b a^b a:b
a?b a*b a<b a|b a;rm $(id) `id` a%00b refs@{1} a..b a.lock é ñandú 日本 a\\b ..\\..\\x a"b a/../b
sub/b sub/sub/b
"""
_ODD = ["a b", " a", "a ", "", "a\tb", "a\nb", "a\x1b[31mb", "\x7f", "\udcff", "\udcc3(", "a\u0301"]
NAMES = [*_WORDS.split(), *_ODD, "\u202etxt", "a\u200bb", "x" * 65, "x" * 200]


def names() -> Iterator[Mangled]:
    """Good content under a bad name."""
    for name in NAMES:
        yield Mangled(f"tasks/{name}.md", front(""), "name")


def one_in(thin: int) -> list[Mangled]:
    """Bad names, and bad contents under good names: one in `thin` of each kind, 1 for them all."""
    found = list(names())
    found += [
        Mangled(f"tasks/m{number:04d}.md", data, kind)
        for number, (kind, data) in enumerate(contents())
    ]
    met: Counter[str] = Counter()
    kept = []
    for one in found:
        if met[one.kind] % thin == 0:
            kept.append(one)
        met[one.kind] += 1
    return kept
