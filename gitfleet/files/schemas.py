"""The schemas of the board's files, drawn from the model types; and errors a person can act on.

`schemas/*.json` at the top of the repository are what editors complete from. They are generated
(`python -m gitfleet.files.schemas schemas`), and a test compares them with the types.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from gitfleet.model.claim import Claim
from gitfleet.model.config import FORMAT, Machine, Settings
from gitfleet.model.durations import Moment
from gitfleet.model.event import Attempt, Closed, Decision, Landed
from gitfleet.model.question import Asked, Question
from gitfleet.model.task import Task
from gitfleet.model.verdict import Verdict

# Fields of the model that are in a file's body or name, not among its keys.
HIDDEN: Final[Mapping[type, frozenset[str]]] = {
    Task: frozenset({"body"}),
    Question: frozenset({"name", "text", "answer"}),
    Asked: frozenset({"text"}),
}
SCHEMAS: Final[Mapping[str, type]] = {
    "task": Task,
    "fleet": Settings,
    "machine": Machine,
    "question": Question,
    "asked": Asked,
    "claim": Claim,
    "attempt": Attempt,
    "decision": Decision,
    "landed": Landed,
    "closed": Closed,
    "verdict": Verdict,
}
# Addresses in these keys contain tokens: messages leave them out.
_UNSHOWN: Final[Mapping[type, tuple[tuple[str, str], ...]]] = {
    Machine: (("notify", "urls"), ("notify", "services"))
}
_MOST: Final = 50  # errors considered per file
_BASE: Final = "urn:git-fleet:schema"


@functools.cache
def schema_of(kind: type) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a model type's file."""
    name = next(name for name, known in SCHEMAS.items() if known is kind)
    made = msgspec.json.schema(kind)
    definitions = made["$defs"]
    top = definitions.pop(kind.__name__)
    for hidden in HIDDEN.get(kind, ()):
        del top["properties"][hidden]
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{_BASE}:{name}",
        **top,
        "patternProperties": {"^x-": {"description": "Yours: gitfleet keeps it and ignores it."}},
    }
    schema["title"] = f"gitfleet: {name}"
    if definitions:
        schema["$defs"] = definitions
    for one in (schema, *definitions.values()):
        if "coders" in one.get("properties", {}) and "coder" in one["properties"]:
            one["allOf"] = [_apart("coder"), _apart("model")]
    return schema


def _apart(key: str) -> dict[str, Any]:
    """The rule of `check_choice`: a file names one coder (and its model) or a list of them."""
    both = {key: {"type": "string"}, "coders": {"type": "array", "minItems": 1}}
    return {"not": {"type": "object", "required": list(both), "properties": both}}


def fields_of(kind: type) -> frozenset[str]:
    """The keys that a file of this type may have, without `x-…`."""
    return _fields_of(kind)


@functools.cache
def _fields_of(kind: type) -> frozenset[str]:
    names = frozenset(field.name for field in msgspec.structs.fields(kind))
    return names - HIDDEN.get(kind, frozenset())


class Fault(NamedTuple):
    """One violation of a schema: where, what, and the remedy."""

    path: tuple[str | int, ...]
    what: str
    remedy: str = ""
    of_key: bool = False  # the key is wrong, not its value


def validator(kind: type) -> Any:
    """A jsonschema validator of a model type's file, including our time format."""
    # Imported here on purpose: it takes longer than everything else in a verb, and only a broken
    # file needs it.
    import jsonschema  # noqa: PLC0415

    formats = jsonschema.FormatChecker(formats=())
    formats.checks("date-time")(_is_moment)
    return jsonschema.Draft202012Validator(schema_of(kind), format_checker=formats)


def _is_moment(text: object) -> bool:
    try:
        return not isinstance(text, str) or bool(msgspec.convert(text, Moment))
    except msgspec.ValidationError:
        return False


def explain(kind: type, data: Any) -> Iterator[Fault]:
    """The violations of the schema in `data`, up to a limit."""
    errors = itertools.islice(validator(kind).iter_errors(data), _MOST)
    for error in sorted(errors, key=lambda e: [str(p) for p in e.path]):
        for fault in _tell(error):
            # Show the value only if it contains no secret.
            shown = fault.of_key or not _unshown(kind, fault.path)
            yield fault if shown else fault._replace(remedy="")


def _meant(error: Any) -> Any:
    """The error in the intended one of several alternatives."""
    while error.validator in ("anyOf", "oneOf"):
        inner = [e for e in error.context or () if e.schema.get("type") != "null"]
        # An alternative of another type was not intended.
        inner.sort(key=lambda e: e.validator == "type" and not e.path)
        if not inner:
            break
        error = inner[0]
    return error


def _tell(error: Any) -> Iterator[Fault]:
    error = _meant(error)
    path = tuple(error.absolute_path)
    match error.validator:
        case "additionalProperties":
            yield from _unknown(path, error)
        case "not":
            key = error.validator_value["required"][0]
            what = f"both {key!r} and 'coders' are set"
            hint = f"keep one; in the list, write the model with its coder: {_IN_A_LIST}"
            yield Fault((*path, "coders"), what, hint, True)
        case "required":
            for key in error.validator_value:
                if key not in error.instance:
                    value = FORMAT if key == "format" else "…"
                    yield Fault(path, f"{key!r} is missing", f"add a line `{key}: {value}`")
        case "type":
            what = f"{_name(path)} must be {_types(error.validator_value)}"
            yield Fault(path, what, _wrapped(path, error) or _is(error))
        case "pattern":
            hint = error.schema.get("description", f"it must match {error.validator_value}")
            if "propertyNames" in error.absolute_schema_path:
                yield Fault(
                    (*path, error.instance),
                    f"not a valid name: {_short(error.instance)}",
                    hint,
                    True,
                )
                return
            yield Fault(path, f"{_name(path)} cannot be {_short(error.instance)}", hint)
        case "format":
            hint = "write it with its zone, like 2026-12-01T09:00:00Z"
            yield Fault(path, f"{_name(path)} cannot be {_short(error.instance)}", hint)
        case "enum":
            choice = ", ".join(map(str, error.validator_value))
            near = difflib.get_close_matches(str(error.instance), error.validator_value, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            what = f"{_name(path)} cannot be {_short(error.instance)}"
            yield Fault(path, what, f"{hint}one of: {choice}")
        case _:
            what = f"{_name(path)}{_other(error)}"
            yield Fault(path, what, error.schema.get("description", ""))


def _other(error: Any) -> str:
    match error.validator:
        case "minLength" | "minItems":
            return " is empty"
        case "maxLength":
            return f" is longer than {error.validator_value} characters"
    return f": {_clip(error.message)}"


def _unshown(kind: type, path: tuple[str | int, ...]) -> bool:
    """Whether the value there, or part of it, must never be shown."""
    return bool(path) and any(
        path[: len(secret)] == secret[: len(path)] for secret in _UNSHOWN.get(kind, ())
    )


def _unknown(path: tuple[str | int, ...], error: Any) -> Iterator[Fault]:
    known = sorted(error.schema.get("properties", {}))
    for key in error.instance:
        if key not in known and (path or not key.startswith("x-")):
            yield Fault((*path, key), f"unknown key {_clip(key)!r}", _hint(key, known), True)


def _hint(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key[:100], known, n=1)
    return f"did you mean {near[0]!r}?" if near else "remove it, or start its name with x-"


_IN_A_LIST: Final = "coders: [{coder: claude, model: opus}, opencode]"
_TYPES: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "empty",
}


def _types(wanted: str | list[str]) -> str:
    names = [wanted] if isinstance(wanted, str) else wanted
    return " or ".join(_TYPES.get(name, name) for name in names)


def _wrapped(path: tuple[str | int, ...], error: Any) -> str:
    """How to write one word where a list or a role's mapping is wanted; empty for other values."""
    word, wanted = error.instance, error.validator_value
    if not isinstance(word, str) or not path or not isinstance(path[-1], str):
        return ""
    if wanted == "array":
        return f"write `{path[-1]}: [{_short(word)}]`"
    if wanted == "object" and path[0] == "roles" and len(path) == 2:
        return f"write `{path[-1]}: {{coder: {_clip(word)}}}`"
    return ""


def _is(error: Any) -> str:
    return f"it is {_short(error.instance)}"


def _name(path: tuple[str | int, ...]) -> str:
    name = ".".join(str(part) for part in path if isinstance(part, str))
    return name or "this"


def _clip(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "…"


def _short(value: Any) -> str:
    if value is None:
        return "empty"
    return _clip(json.dumps(value, ensure_ascii=False, default=str))


def write_all(folder: Path) -> None:
    """Write every schema into `folder`."""
    for name, kind in SCHEMAS.items():
        text = json.dumps(schema_of(kind), indent=2, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
