"""Convert bytes to model values and back; for any bytes the result is a value or problems."""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

from gitfleet.errors import FleetError
from gitfleet.files import layout, schemas, yaml
from gitfleet.model.board import Problem
from gitfleet.model.claim import Claim
from gitfleet.model.config import FORMAT, Machine, Settings
from gitfleet.model.event import CONTENT_OF, Event
from gitfleet.model.ids import ID_HINT, is_id, slug
from gitfleet.model.question import Asked, Question
from gitfleet.model.task import Task
from gitfleet.model.verdict import Verdict

T = TypeVar("T")
Read = tuple[T | None, tuple[Problem, ...]]

_FENCE: Final = re.compile(r"---[ \t]*(?:\n|\Z)")
_MOST_PROBLEMS: Final = 20  # of one file; people do not read more at once
_MOST_LOOKED_AT: Final = 200  # considered for that choice; finding the intended meaning takes time
_QUESTION: Final = "## Question"
_ANSWER: Final = "## Answer"
RENAME: Final = "rename it, or run `gitfleet lint --fix`"
_LONGEST_QUESTION: Final = 20_000  # characters; people do not answer a book


def decode(data: bytes, path: str) -> tuple[str, tuple[Problem, ...]]:
    """The text of a file: UTF-8; a byte order mark and CRLF are accepted."""
    if len(data) > layout.LARGEST:
        what = f"larger than {layout.LARGEST // 1024} KiB"
        return "", (Problem(path, 1, 1, what, "move most of it to a file in the project"),)
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        start = data.rfind(b"\n", 0, error.start) + 1
        column = len(data[start : error.start].decode()) + 1
        return "", (Problem(path, line, column, "not UTF-8 text", "save the file as UTF-8"),)
    return text.replace("\r\n", "\n").replace("\r", "\n"), ()


class AnyFormat(NamedTuple, Generic[T]):
    """The content of a file of any board format."""

    value: T | None
    problems: tuple[Problem, ...]
    former: tuple[Problem, ...] = ()  # keys under former names: an error since format 2

    @property
    def newest(self) -> Read[T]:
        """The same for a board of the newest format."""
        if not self.former:
            return self.value, self.problems
        return None, tuple(sorted((*self.problems, *self.former), key=_place))


def read_yaml(text: str, kind: type[T], path: str, *, first_line: int = 1) -> Read[T]:
    """A YAML mapping as a model type."""
    return _any_format(text, kind, path, first_line).newest


def _any_format(text: str, kind: type[T], path: str, first_line: int = 1) -> AnyFormat[T]:
    document, problems = _document(text, kind, path, first_line)
    if document is None:
        return AnyFormat(None, problems)
    former = tuple(
        Problem(path, *document.keys[at], f"`{key.name}` is now `{at[-1]}`", RENAME)
        for at, key in document.former.items()
    )
    known = schemas.fields_of(kind)
    own = _own(document)
    try:
        if own.keys() <= known:
            return AnyFormat(msgspec.convert(own, kind), (), former)
        why = "unknown keys"
    except (msgspec.ValidationError, OverflowError, ValueError) as error:
        why = str(error)
    return AnyFormat(None, _problems(document, kind, path, why), former)


def _document(text: str, kind: type, path: str, first_line: int) -> Read[yaml.Document]:
    try:
        document = yaml.load(text, kind, first_line=first_line)
    except yaml.YamlError as error:
        return None, (Problem(path, *error.mark, error.what, error.remedy),)
    if not isinstance(document.data, dict):
        mark = document.marks[()]
        return None, (Problem(path, *mark, "not a mapping", "write lines like `key: value`"),)
    return document, ()


def _own(document: yaml.Document) -> dict[str, Any]:
    return {key: value for key, value in document.data.items() if not key.startswith("x-")}


def _place(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def _problems(document: yaml.Document, kind: type, path: str, why: str) -> tuple[Problem, ...]:
    found = [
        Problem(path, *_mark(document.keys if of_key else document.marks, at), what, remedy)
        for at, what, remedy, of_key in islice(
            schemas.explain(kind, document.data), _MOST_LOOKED_AT
        )
    ]
    if not found:
        found = [Problem(path, *_mark(document.marks, _at(why)), why)]
    # A misspelt key is also a missing one; only the misspelling is reported.
    found = sorted(set(found), key=lambda p: (p.line, p.column, p.what.endswith("is missing"), p))
    return tuple(found[:_MOST_PROBLEMS])


def _at(why: str) -> tuple[str | int, ...]:
    """The path in a message such as "… - at `$.budget.usd`"."""
    found = re.search(r"at `\$\.?([^`]*)`", why)
    return tuple(re.findall(r"[^.\[\]]+", found[1])) if found else ()


def _mark(marks: Mapping[yaml.Path, yaml.Position], path: tuple[str | int, ...]) -> yaml.Position:
    while path and path not in marks:
        path = path[:-1]
    return marks.get(path, yaml.Position(1, 1))


def split(text: str, path: str) -> tuple[str, str, tuple[Problem, ...]]:
    """Front matter and body of a Markdown file."""
    opening = _FENCE.match(text)
    if opening is None:
        what = "no front matter" if text.strip() else "the file is empty"
        remedy = "start it with a line ---, then `title: …`, then a line ---"
        return "", "", (Problem(path, 1, 1, what, remedy),)
    closing = re.compile(r"^---[ \t]*$", re.MULTILINE).search(text, opening.end())
    if closing is None:
        problem = Problem(path, 1, 1, "the front matter has no end", "end it with a line ---")
        return "", "", (problem,)
    body = text[closing.end() :].removeprefix("\n")
    return text[opening.end() : closing.start()], body, ()


def _parts(data: bytes, path: str) -> tuple[str, str, tuple[Problem, ...]]:
    """Front matter and body of a Markdown file's bytes."""
    text, problems = decode(data, path)
    return ("", "", problems) if problems else split(text, path)


def _read_markdown(data: bytes, kind: type[T], path: str) -> tuple[T | None, str, tuple[Any, ...]]:
    front, body, problems = _parts(data, path)
    if problems:
        return None, "", problems
    value, problems = read_yaml(front, kind, path, first_line=2)
    return value, body, problems


def read_task(data: bytes, path: str) -> Read[Task]:
    """A task file of a board of the newest format."""
    return read_task_of_any_format(data, path).newest


def read_task_of_any_format(data: bytes, path: str) -> AnyFormat[Task]:
    """A task file, its keys under the names of any format."""
    stem = layout.place(path).task
    if not is_id(stem):
        remedy = f"rename it, for example to {layout.task_path(slug(stem))}: {ID_HINT}"
        return AnyFormat(None, (Problem(path, 1, 1, f"{stem!r} is not a valid id", remedy),))
    front, body, problems = _parts(data, path)
    if problems:
        return AnyFormat(None, problems)
    found = _any_format(front, Task, path, 2)
    if found.value is None:
        return found
    return found._replace(value=msgspec.structs.replace(found.value, body=body))


def read_finished_task(data: bytes, path: str) -> Read[Task]:
    """A finished task's file, of any format: its readable parts and its problems.

    The file is final, so one bad key must not hide its title.
    """
    found = read_task_of_any_format(data, path)
    if found.value is not None or not found.problems:
        return found.value, found.problems
    front, body, problems = _parts(data, path)
    document = None if problems else _document(front, Task, path, 2)[0]
    task = _readable(_own(document)) if document is not None else None
    return (msgspec.structs.replace(task, body=body) if task else None), found.problems


def _readable(keys: Mapping[str, Any]) -> Task | None:
    """A task from those keys that are valid; None without a title."""
    title = {"title": keys.get("title")}
    good = {k: v for k, v in keys.items() if _task_of({**title, k: v}) is not None}
    return _task_of(good) or _task_of(title)


def _task_of(keys: Mapping[str, Any]) -> Task | None:
    if not keys.keys() <= schemas.fields_of(Task):
        return None
    try:
        return msgspec.convert(keys, Task)
    except (msgspec.ValidationError, OverflowError, ValueError):
        return None


def read_settings(data: bytes, path: str = layout.SETTINGS) -> Read[Settings]:
    """fleet.yaml. A newer format is a separate problem, whatever else the file contains."""
    text, problems = decode(data, path)
    if problems:
        return None, problems
    newer = re.search(r"^format:\s*([0-9]+)\s*(#.*)?$", text, re.MULTILINE)
    if newer and int(newer[1][:9]) > FORMAT:
        what = f"the board has format {newer[1]}, this gitfleet knows format {FORMAT}"
        return None, (Problem(path, 1, 1, what, "upgrade gitfleet"),)
    found = _any_format(text, Settings, path)
    if found.value is not None and found.value.old_format:
        return found.value, found.problems
    return found.newest


def read_machine(data: bytes, path: str) -> Read[Machine]:
    """The machine's own config.yaml."""
    text, problems = decode(data, path)
    return (None, problems) if problems else read_yaml(text, Machine, path)


def read_claim(data: bytes, path: str) -> Read[Claim]:
    """A claim."""
    text, problems = decode(data, path)
    return (None, problems) if problems else read_yaml(text, Claim, path)


def read_verdict(data: bytes, path: str) -> Read[Verdict]:
    """A validator's verdict, from its outbox."""
    text, problems = decode(data, path)
    return (None, problems) if problems else read_yaml(text, Verdict, path)


def read_event(data: bytes, path: str, task: str, name: str) -> Read[Event]:
    """An event: its file's name and its content."""
    named = layout.event_name(name)
    if named is None:
        what = "not the name of an event"
        return None, (Problem(path, 1, 1, what, "events are written by gitfleet; remove it"),)
    text, problems = decode(data, path)
    if problems:
        return None, problems
    content, problems = read_yaml(text, CONTENT_OF[named.kind], path)
    if content is None:
        return None, problems
    return Event(task, named.number, named.kind, named.suffix, content, named.word), ()


def read_question(data: bytes, path: str) -> Read[Question]:
    """A question, and its answer if there is one."""
    there = layout.place(path)
    question, body, problems = _read_markdown(data, Question, path)
    if question is None:
        return None, problems
    if question.task != there.task:
        what = f"the file's name is for {there.task}, its key task for {question.task}"
        return None, (Problem(path, 2, 1, what, "make them the same"),)
    text, answer = split_answer(body)
    return msgspec.structs.replace(question, name=there.name, text=text, answer=answer), ()


def read_asked(data: bytes, path: str) -> Read[Asked]:
    """A question from an outbox: its text, with front matter or without."""
    text, problems = decode(data, path)
    if problems:
        return None, problems
    asked: Asked | None = Asked()
    if _FENCE.match(text):
        asked, text, problems = _read_markdown(data, Asked, path)
    if asked is None:
        return None, problems
    said, _ = split_answer(text)
    why = ""
    if has_answer_line(text):
        why = f"a question cannot have a line `{_ANSWER}`"
    elif not said:
        why = "the question is empty"
    elif len(said) > _LONGEST_QUESTION:
        why = f"longer than {_LONGEST_QUESTION} characters"
    if why:
        return None, (Problem(path, 1, 1, why, "rephrase it"),)
    return msgspec.structs.replace(asked, text=said), ()


def has_answer_line(text: str) -> bool:
    """Whether a text has an answer heading, so that the rest would be taken for an answer."""
    return any(line.strip() == _ANSWER for line in text.splitlines())


def split_answer(body: str) -> tuple[str, str]:
    """Question and answer: the text below the first line `## Answer` is the answer."""
    lines = body.split("\n")
    at = next((i for i, line in enumerate(lines) if line.strip() == _ANSWER), len(lines))
    text = "\n".join(lines[:at]).strip()
    heading, _, below = text.partition("\n")
    if heading.strip() == _QUESTION:
        text = below.strip()
    answer = "\n".join(lines[at + 1 :])
    # Only up to the last end of a comment: otherwise each unclosed start costs a whole scan.
    end = answer.rfind("-->") + len("-->") if "-->" in answer else 0
    plain = re.sub(r"<!--.*?-->", "", answer[:end], flags=re.DOTALL)
    return text, (plain + answer[end:]).strip()


def write(value: msgspec.Struct) -> bytes:
    """A claim, an event's content or settings as YAML."""
    return yaml.dump(_plain(value))


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = _clean(msgspec.to_builtins(value))
    return plain


def _clean(value: Any) -> Any:
    """Coders may report values that no file can contain: half a character, or NaN dollars."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case list() | tuple():
            return [_clean(item) for item in value]
        case dict():
            kept = {_clean(key): _clean(item) for key, item in value.items()}
            return {
                key: item
                for key, item in kept.items()
                if not isinstance(item, float) or math.isfinite(item)
            }
    return value


def front_matter(keys: Mapping[str, Any]) -> bytes:
    """The part of a Markdown file between its two lines `---`, including them."""
    return b"---\n" + yaml.dump(keys) + b"---\n"


def write_task(task: Task) -> bytes:
    """A task file that gitfleet writes: front matter and body."""
    keys = _plain(task)
    body: str = keys.pop("body", "")
    return b"---\n" + yaml.dump(keys) + b"---\n" + body.encode("utf-8", "replace")


def write_question(question: Question) -> bytes:
    """A question's file; FleetError if its text would be taken for an answer."""
    if has_answer_line(question.text):
        raise FleetError(f"a question cannot have a line `{_ANSWER}`", remedy="Rephrase it.")
    keys = {k: v for k, v in _plain(question).items() if k not in ("name", "text", "answer")}
    text = f"{_QUESTION}\n{question.text}\n"
    if question.answer:
        text += f"\n{_ANSWER}\n{question.answer}\n"
    return b"---\n" + yaml.dump(keys) + b"---\n" + text.encode("utf-8", "replace")
