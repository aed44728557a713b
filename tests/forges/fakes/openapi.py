"""GitHub's own description of its API (npm: @octokit/openapi), and what does not fit it."""

from __future__ import annotations

import functools
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema
import referencing
from referencing.jsonschema import DRAFT202012

VARIABLE: Final = "GITHUB_OPENAPI"  # the path of generated/api.github.com.json
_PATH: Final = os.environ.get(VARIABLE, "")
_BASE: Final = "urn:github"


def _unless_null(keyword: str) -> Any:
    """A keyword as OpenAPI 3.0 means it: beside `nullable: true` it allows null."""
    plain = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not (instance is None and schema.get("nullable")):
            yield from plain(validator, value, instance, schema) or ()

    return check


_KEYWORDS: Final = ("type", "enum", "$ref", "allOf", "anyOf", "oneOf")
_Validator: Final = jsonschema.validators.extend(  # type: ignore[no-untyped-call] # has no types
    jsonschema.Draft202012Validator, {keyword: _unless_null(keyword) for keyword in _KEYWORDS}
)


class Description:
    """The description, and how a request and its answer differ from it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        resource = DRAFT202012.create_resource(document)
        self._registry: Any = referencing.Registry().with_resource(_BASE, resource)
        self._paths = [
            (re.compile(re.sub(r"\\{[^/]+?\\}", "[^/]+", re.escape(path))), path)
            for path in document["paths"]
        ]

    def complaints(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        status: int,
        answer: Any,
    ) -> Iterator[str]:
        """What is not as described: the route, parameters, bodies, the status."""
        what = f"{method} {path}"
        found = self._operation(method, path)
        if found is None:
            yield f"{what}: not described"
            return
        pointer, operation = found
        yield from (f"{what}: {one}" for one in self._of_query(pointer, operation, query))
        yield from (f"{what}: {one}" for one in self._of_body(pointer, operation, body))
        described = operation["responses"].get(str(status))
        if described is None:
            # Every route may say that the token is wrong or lacks a right.
            if status not in (401, 403, 404):
                yield f"{what}: status {status} is not described"
            return
        if "content" in described and status < 300:
            at = f"{pointer}/responses/{status}/content/application~1json/schema"
            yield from (f"{what}: answer: {one}" for one in self._wrong(at, answer))

    def _operation(self, method: str, path: str) -> tuple[str, Mapping[str, Any]] | None:
        for pattern, template in self._paths:
            operation = self._document["paths"][template].get(method.lower())
            if operation is not None and pattern.fullmatch(path):
                escaped = template.replace("~", "~0").replace("/", "~1")
                return f"/paths/{escaped}/{method.lower()}", operation
        return None

    def _of_query(
        self, pointer: str, operation: Mapping[str, Any], query: Mapping[str, str]
    ) -> Iterator[str]:
        known = {}
        for number, given in enumerate(operation.get("parameters", [])):
            at = f"{pointer}/parameters/{number}"
            one = given
            if "$ref" in given:
                at = given["$ref"].removeprefix("#")
                one = self._document["components"]["parameters"][at.rpartition("/")[2]]
            known[one["name"]] = (f"{at}/schema", one)
        for name, text in query.items():
            if name not in known:
                yield f"the parameter {name} is not described"
                continue
            at, one = known[name]
            value = int(text) if one["schema"].get("type") == "integer" else text
            yield from (f"{name}: {wrong}" for wrong in self._wrong(at, value))

    def _of_body(self, pointer: str, operation: Mapping[str, Any], body: Any) -> Iterator[str]:
        wanted = operation.get("requestBody")
        if wanted is None:
            if body is not None:
                yield "no body is described"
            return
        schema = wanted["content"]["application/json"]["schema"]
        for name in body or {}:
            if name not in schema.get("properties", {}):
                yield f"the field {name} is not described"
        at = f"{pointer}/requestBody/content/application~1json/schema"
        yield from (f"body: {one}" for one in self._wrong(at, body))

    def _wrong(self, pointer: str, value: Any) -> Iterator[str]:
        schema = {"$ref": f"{_BASE}#{pointer}"}
        for error in _Validator(schema, registry=self._registry).iter_errors(value):
            yield f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"


@functools.cache
def load() -> Description | None:
    """The description, where the environment tells its path."""
    return Description(json.loads(Path(_PATH).read_text())) if _PATH else None
