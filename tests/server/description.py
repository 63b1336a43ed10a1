"""The OpenAPI document, as tests read it: every operation, and how it is called rightly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from typing import Any, NamedTuple

DOCUMENT: dict[str, Any] = json.loads(
    (resources.files("licet.server") / "openapi.json").read_bytes()
)
METHODS = frozenset("get put post delete patch".split())


class Operation(NamedTuple):
    """One operation of the document.

    Attributes:
        id: its `operationId`.
        method: in capitals.
        path: with names in braces.
        door: the kind of key that opens it, None where there is none.
        media_type: of its body, None where it takes none.
        example: of its body.
        statuses: that it may be answered with.
    """

    id: str
    method: str
    path: str
    door: str | None
    media_type: str | None
    example: Any
    statuses: frozenset[int]

    def at(self, names: Mapping[str, str]) -> str:
        """Return the path with a value for each name."""
        return self.path.format_map(names)

    def check(self, answer: Any) -> None:
        """See to it that an answer is one that the document describes.

        Its status, its media type and the fields that it has to have; what is in it where there is
        something to judge schemas with.
        """
        operation = DOCUMENT["paths"][self.path][self.method.lower()]
        described = _resolved(operation["responses"][str(answer.status_code)])
        for name, field in described.get("headers", {}).items():
            field, value = _resolved(field), answer.headers.get(name)
            assert value is not None or not field.get("required"), name
            if value is not None and field["schema"]["type"] == "string":
                validate(field["schema"], value)
        if "content" not in described:
            assert answer.content == b""
            return
        media_type = answer.headers["content-type"]
        schema = described["content"][media_type]["schema"]
        validate(schema, answer.json() if media_type.endswith("json") else answer.text)


def validate(schema: Mapping[str, Any], value: Any) -> None:
    """See to it that a value is as a schema of the document says, where that can be judged."""
    if find_spec("jsonschema_rs"):
        import jsonschema_rs

        jsonschema_rs.validate({**schema, "components": DOCUMENT["components"]}, value)


def _resolved(described: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in described:
        return described
    _, _, kind, name = described["$ref"].split("/")
    found: Mapping[str, Any] = DOCUMENT["components"][kind][name]
    return found


def operations() -> list[Operation]:
    """Return every operation."""
    return [
        _operation(path, method, described)
        for path, item in DOCUMENT["paths"].items()
        for method, described in item.items()
        if method in METHODS
    ]


def _operation(path: str, method: str, described: Mapping[str, Any]) -> Operation:
    doors = [name for requirement in described["security"] for name in requirement]
    contents = described.get("requestBody", {}).get("content", {})
    media_type, content = next(iter(contents.items()), (None, {}))
    return Operation(
        described["operationId"],
        method.upper(),
        path,
        doors[0] if doors else None,
        media_type,
        content.get("example"),
        frozenset(map(int, described["responses"])),
    )
