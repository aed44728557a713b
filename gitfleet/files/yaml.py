"""YAML that comes from anyone: parsed strictly, to the shape a model type expects.

People write `priority: 1` and `depends_on: [0777, no]`; the first is a number, the others are
names, whatever YAML 1.1 would make of them. So scalars are read as text and turned into what the
type at that place wants. Anchors, aliases, tags, merge keys, several documents and deep nesting
have no use on a board and are refused: they are how a small file becomes a large one.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec.inspect as shapes
import yaml

from gitfleet.files import renamed

DEEPEST: Final = 12
_MANY: Final = 100  # characters that may open a level; fewer cannot nest deep enough to do harm
_LOADER: Final[Any] = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_DUMPER: Final[Any] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
# A float written in full has up to twenty digits after its point: 0.0012345678901234567.
_FLOAT: Final = re.compile(r"[-+]?[0-9]{1,18}(\.[0-9]{0,40})?([eE][-+]?[0-9]{1,3})?\Z")
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufeff\ufffe\uffff]")
_CONFLICT: Final = re.compile(r"^(<{7}|={7}|>{7})(?: |$)", re.MULTILINE)

Path = tuple[str | int, ...]


class Position(NamedTuple):
    """A position in a text; both count from 1."""

    line: int
    column: int


class YamlError(Exception):
    """A text that is not valid YAML of our kind: what is wrong, where, and the remedy."""

    def __init__(self, what: str, mark: Position, remedy: str = "") -> None:
        self.what, self.mark, self.remedy = what, mark, remedy
        super().__init__(what)


class Shape(NamedTuple):
    """The type that a position in a document may have."""

    scalars: frozenset[str]
    item: Shape | None = None
    fields: Mapping[str, Shape] | None = None
    value: Shape | None = None
    renamed: Mapping[str, str] = {}  # a former name of a field -> its name


_ANYTHING: Final = Shape(frozenset({"int", "float", "bool", "none", "str"}))
_NAMES: Final[Mapping[type, str]] = {
    shapes.StrType: "str",
    shapes.EnumType: "str",
    shapes.DateTimeType: "str",
    shapes.IntType: "int",
    shapes.FloatType: "float",
    shapes.BoolType: "bool",
    shapes.NoneType: "none",
}


@functools.cache
def shape_of(kind: type) -> Shape:
    """The shape of a model type's document."""
    return _shape(shapes.type_info(kind))


def _shape(info: shapes.Type) -> Shape:
    match info:
        case shapes.Metadata(type=inner):
            return _shape(inner)
        case shapes.UnionType(types=members):
            parts = [_shape(member) for member in members]
            return Shape(
                frozenset().union(*(part.scalars for part in parts)),
                next((part.item for part in parts if part.item), None),
                next((part.fields for part in parts if part.fields is not None), None),
                next((part.value for part in parts if part.value), None),
                next((part.renamed for part in parts if part.renamed), {}),
            )
        case shapes.VarTupleType(item_type=item) | shapes.ListType(item_type=item):
            return Shape(frozenset(), item=_shape(item))
        case shapes.StructType(cls=kind, fields=fields):
            return Shape(
                frozenset(),
                fields={f.encode_name: _shape(f.type) for f in fields},
                renamed=renamed.KEYS.get(kind, {}),
            )
        case shapes.DictType(value_type=value):
            return Shape(frozenset(), value=_shape(value))
        case shapes.AnyType():
            return _ANYTHING
    return Shape(frozenset({_NAMES[type(info)]}))


class Former(NamedTuple):
    """A key that the text has under a former name."""

    name: str
    start: int  # the key with its quotes is text[start:end]
    end: int


class Document(NamedTuple):
    """A parsed text: the data under the present names, and the position of each part."""

    data: Any
    marks: Mapping[Path, Position]  # of values; of the key if the value is on other lines
    keys: Mapping[Path, Position]
    former: Mapping[Path, Former]  # keys that the text has under another name


def load(text: str, kind: type, *, first_line: int = 1) -> Document:
    """Parse `text`, the mapping of a `kind`; YamlError if that fails.

    `first_line` is the line of the file at which the text starts.
    """
    control = _CONTROL.search(text)
    if control:
        before = text[: control.start()]
        line = before.count("\n")
        column = control.start() - (before.rfind("\n") + 1)
        raise YamlError(
            f"a control character (0x{ord(control[0]):02x})",
            Position(first_line + line, column + 1),
            "remove it; this file is to be plain UTF-8 text",
        )
    try:
        _screen(text, first_line)
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Position(first_line + at.line, at.column + 1) if at else Position(first_line, 1)
        conflict = _CONFLICT.search(text)
        if conflict:
            mark = Position(first_line + text.count("\n", 0, conflict.start()), 1)
            what = "the markers of a conflict that git left here"
            raise YamlError(what, mark, "keep one of the sides and remove the markers") from None
        raise YamlError(_say(error), mark, _remedy(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlError(str(error).splitlines()[0], Position(first_line, 1)) from None
    builder = _Builder(first_line)
    if node is None:
        return Document({}, {(): Position(first_line, 1)}, {}, {})
    data = builder.build(node, shape_of(kind), (), 0)
    return Document(data, builder.marks, builder.keys, builder.former)


def _say(error: yaml.MarkedYAMLError) -> str:
    said = [part for part in (error.context, error.problem) if part]
    return "not valid YAML: " + ", ".join(said)


def _remedy(error: yaml.MarkedYAMLError) -> str:
    if "mapping values are not allowed" in (error.problem or ""):
        return "put a value with a colon in quotes"
    return "see https://yaml.org for the syntax"


def _screen(text: str, first_line: int) -> None:
    """Refuse unwanted YAML features before anything is composed.

    The composer recurses without a limit and lets an alias stand for a copy. Few files contain any
    sign of these features.
    """
    if sum(map(text.count, "[{-?:")) < _MANY and not any(sign in text for sign in "&*!%"):
        return
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        at: Any = event.start_mark
        mark = Position(first_line + at.line, at.column + 1)
        tag = getattr(event, "tag", None)
        if isinstance(event, yaml.AliasEvent):
            raise YamlError("an alias (*name)", mark, "write the value out; aliases are not read")
        if getattr(event, "anchor", None):
            raise YamlError("an anchor (&name)", mark, "remove it; anchors are not read")
        if tag:
            raise YamlError(f"a tag ({tag})", mark, "remove it; tags are not read")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise YamlError("nested too deeply", mark, "a board needs less depth")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    """Builds data from nodes, and records the position of each part."""

    def __init__(self, first_line: int) -> None:
        self.first_line = first_line
        self.marks: dict[Path, Position] = {}
        self.keys: dict[Path, Position] = {}
        self.former: dict[Path, Former] = {}

    def mark(self, node: Any) -> Position:
        return Position(self.first_line + node.start_mark.line, node.start_mark.column + 1)

    def build(self, node: Any, shape: Shape, path: Path, depth: int) -> Any:
        mark = self.mark(node)
        self.marks[path] = mark
        if depth >= DEEPEST and not isinstance(node, yaml.ScalarNode):
            raise YamlError("nested too deeply", mark, "a board needs less depth")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, shape)
        if isinstance(node, yaml.SequenceNode):
            item = shape.item or _ANYTHING
            return [
                self.build(child, item, (*path, index), depth + 1)
                for index, child in enumerate(node.value)
            ]
        return self._mapping(node, shape, path, depth)

    def _mapping(self, node: Any, shape: Shape, path: Path, depth: int) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, child in node.value:
            mark = self.mark(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError("a key that is not a word", mark, "write lines like `key: value`")
            key = shape.renamed.get(key_node.value, key_node.value)
            self.keys[(*path, key)] = mark
            if key in data:
                raise YamlError(self._twice((*path, key), key_node.value), mark, "keep one of them")
            if key != key_node.value:
                start, end = key_node.start_mark.index, key_node.end_mark.index
                self.former[(*path, key)] = Former(key_node.value, start, end)
            inner = (shape.fields or {}).get(key) or shape.value or _ANYTHING
            data[key] = self.build(child, inner, (*path, key), depth + 1)
            if child.start_mark.line != key_node.start_mark.line or child.value == "":
                self.marks[(*path, key)] = mark
        return data

    def _twice(self, path: Path, word: str) -> str:
        """The problem with a repeated key, perhaps under its other name."""
        first = self.former[path].name if path in self.former else path[-1]
        if first == word:
            return f"the key {word!r} is here twice"
        return f"the keys {first!r} and {word!r} are both here, and they mean the same"


def _scalar(node: Any, shape: Shape) -> Any:
    text: str = node.value
    kinds = shape.scalars
    if node.style is not None and node.style != "":
        return text
    result: Any = text
    if text in _NULL and (text == "" or "none" in kinds or not kinds):
        result = None
    elif "bool" in kinds and text in _TRUE | _FALSE:
        result = text in _TRUE
    elif "int" in kinds and _INT.match(text):
        result = int(text)
    elif "float" in kinds and _FLOAT.match(text):
        number = float(text)
        result = number if math.isfinite(number) else text
    return result


class _Dumper(_DUMPER):  # type: ignore[misc]  # the C dumper has no stubs
    """Writes multi-line text as a block, so that people can read it and git can compare it."""


def _text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text.rstrip("\n") and "\t" not in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def scalar(text: str) -> str:
    """`text` as the value of a key, quoted if YAML would read it as something else."""
    return dump({"": text}).decode().partition(": ")[2].rstrip("\n")


def dump(data: Mapping[str, Any]) -> bytes:
    """A mapping as YAML, keys in their order."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, indent=2
    )
    return text.encode()
