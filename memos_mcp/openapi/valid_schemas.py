"""Makes a schema usable: what no validator could work with is taken out of it, and reported."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from memos_mcp.domain.json_schema import NAMED_SCHEMAS, parts
from memos_mcp.openapi.findings import Findings, Unmappable

MAX_ROUNDS: Final = 8
SHOWN_CHARS: Final = 80

_META_SCHEMA: Final = Draft202012Validator(Draft202012Validator.META_SCHEMA)


def made_valid(schema: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """Take out of a schema, in place, the keywords that are not JSON Schema; report each, and return the schema.

    Validating a schema takes longer than mapping an operation, so this is for those that were refused.
    """
    for _ in range(MAX_ROUNDS):
        errors = list(_META_SCHEMA.iter_errors(schema))
        if not errors:
            return schema
        for error in errors:
            _remove(schema, error, findings)
    raise Unmappable("Its schema is not JSON Schema.")


def _remove(schema: dict[str, Any], error: ValidationError, findings: Findings) -> None:
    path = list(error.absolute_path)
    while path and isinstance(path[-1], int):  # the entry of a list: the keyword is taken out whole
        path.pop()
    if not path:
        raise Unmappable("Its schema is not JSON Schema.")
    *parents, keyword = path
    parent: Any = schema
    for step in parents:
        try:
            parent = parent[step]
        except (KeyError, IndexError, TypeError):
            return  # it was taken out for another error
    if not isinstance(parent, dict) or keyword not in parent:
        return
    where = "/".join(map(str, path))[-SHOWN_CHARS:]
    if parents and parents[-1] in NAMED_SCHEMAS:
        parent[str(keyword)] = {}
        findings.changed(f"{where} is no schema ({error.message[:SHOWN_CHARS]}); any value is accepted there.")
    else:
        del parent[str(keyword)]
        findings.changed(f"{where} is not JSON Schema ({error.message[:SHOWN_CHARS]}) and was left out.")


def without_unusable_patterns(schema: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """Take out, in place, the regular expressions that only ECMAScript knows: no value can be checked against them."""
    for part in cast("Iterator[dict[str, Any]]", parts(schema)):  # a JSON schema has no other mappings
        if isinstance(pattern := part.get("pattern"), str) and not _compiles(pattern):
            del part["pattern"]
            findings.changed(f"The pattern {pattern[:SHOWN_CHARS]!r} cannot be checked and was left out.")
        if isinstance(named := part.get("patternProperties"), Mapping):
            for unusable in [name for name in named if not _compiles(name)]:
                del part["patternProperties"][unusable]
                findings.changed(f"The pattern {unusable[:SHOWN_CHARS]!r} cannot be checked and was left out.")
    return schema


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True
