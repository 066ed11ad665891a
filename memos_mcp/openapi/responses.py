"""Finds the schema of an operation's successful answers."""

from collections.abc import Iterator, Mapping
from typing import Any

from memos_mcp.openapi.findings import Findings, Unmappable
from memos_mcp.openapi.references import Definitions, Unresolvable, shown
from memos_mcp.openapi.schema_sizes import fitted_response
from memos_mcp.openapi.schemas import self_contained
from memos_mcp.openapi.valid_schemas import without_unusable_patterns


def response_schema(
    operation: Mapping[str, Any], definitions: Definitions, findings: Findings
) -> dict[str, Any] | None:
    """Return the schema of the JSON that a success answers with; None where no success has one."""
    schemas = list(_schemas(operation, definitions, findings))
    different = [schema for number, schema in enumerate(schemas) if schema not in schemas[:number]]
    if not different:
        return None
    raw = different[0] if len(different) == 1 else {"anyOf": different}
    try:
        written = without_unusable_patterns(self_contained(raw, definitions, findings), findings)
        return fitted_response(written, findings)
    except Unmappable as reason:
        findings.changed(f"The response schema is left out. {reason}")
        return None


def _schemas(operation: Mapping[str, Any], definitions: Definitions, findings: Findings) -> Iterator[Mapping[str, Any]]:
    responses = operation.get("responses")
    for status, node in sorted(responses.items()) if isinstance(responses, Mapping) else ():
        if not str(status).startswith("2"):
            continue
        try:
            response = definitions.follow(node)
        except Unresolvable as error:
            findings.changed(f"The response {status} refers to {shown(str(node.get('$ref')))}, which {error}.")
            continue
        content = response.get("content") if isinstance(response, Mapping) else None
        for type_, media in content.items() if isinstance(content, Mapping) else ():
            bare = str(type_).split(";")[0].strip().lower()
            schema = media.get("schema") if isinstance(media, Mapping) else None
            if bare.endswith(("+json", "/json")) and isinstance(schema, Mapping) and schema:
                yield schema
