"""Documents that are nearly right: whatever is wrong, the rest is mapped, and every tool can be registered."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.errors import Invalid
from memos_mcp.openapi.api_tools import Choices, tools_of
from memos_mcp.tool_calling.called_tool import CalledTool

WORDS = """
$ref type properties items required allOf anyOf enum nullable exclusiveMinimum minimum pattern additionalProperties
description example default discriminator x-in $defs $id format readOnly not const
"""
KEYWORDS = st.sampled_from(WORDS.split())
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        ["object", "array", "string", "integer", "#/components/schemas/A", "#/components/schemas/B", "[", "#"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
SCHEMA = st.dictionaries(KEYWORDS, ODD, max_size=4) | ODD
PARAMETER = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["id", "q", "a b", "é", "body"]) | ODD,
        "in": st.sampled_from(["path", "query", "header"]) | ODD,
    },
    optional={
        "schema": SCHEMA,
        "required": st.booleans() | ODD,
        "style": st.sampled_from(["form", "deepObject", "simple", "matrix", "label"]) | ODD,
        "explode": st.booleans() | ODD,
        "content": ODD,
        "description": ODD,
    },
)
CONTENT = st.dictionaries(
    st.sampled_from(
        ["application/json", "application/a+json", "multipart/form-data", "application/x-www-form-urlencoded"]
    )
    | st.text(max_size=3),
    st.fixed_dictionaries({"schema": SCHEMA}, optional={"encoding": ODD}) | ODD,
    max_size=2,
)
OPERATION = st.fixed_dictionaries(
    {},
    optional={
        "operationId": st.text(max_size=8) | ODD,
        "summary": ODD,
        "description": ODD,
        "tags": ODD,
        "parameters": st.lists(PARAMETER | ODD, max_size=3) | ODD,
        "requestBody": st.fixed_dictionaries({"content": CONTENT}, optional={"required": st.booleans()}) | ODD,
        "responses": st.dictionaries(st.sampled_from(["200", "2XX", "default"]), ODD, max_size=2) | ODD,
        "security": ODD,
        "servers": ODD,
    },
)
METHOD = st.sampled_from(["get", "post", "delete", "head", "parameters", "$ref", "options"])
PATH = st.sampled_from(["/a", "/a/{id}", "/{a b}/{é}", "/{", "", "//", "/a?b=c"]) | st.text(max_size=6)
API = st.fixed_dictionaries(
    {
        "openapi": st.sampled_from(["3.0.3", "3.1.0"]),
        "paths": st.dictionaries(PATH, st.dictionaries(METHOD, OPERATION | ODD, max_size=3) | ODD, max_size=3),
    },
    optional={
        "info": ODD,
        "servers": st.just([{"url": "https://shop.test"}]) | ODD,
        "components": st.fixed_dictionaries({"schemas": st.fixed_dictionaries({"A": SCHEMA, "B": SCHEMA})}) | ODD,
        "security": ODD,
        "webhooks": ODD,
    },
)


@given(API)
def test_a_description_with_anything_in_it_is_mapped_or_reported(written: dict[str, Any]) -> None:
    api = tools_of(json.dumps(written).encode(), "odd.json", Choices(base_url="https://shop.test"))
    for tool in api.tools.values():
        tool.check()
        CalledTool(tool.tool_id, tool.endpoint_url, tool.called_by, tool.request_schema)
    described = [item for item in written["paths"].values() if isinstance(item, dict)]
    assert len(api.tools) <= api.operations
    assert described or not api.tools


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(Invalid, match=r"^odd\.yaml is "):
        tools_of(data, "odd.yaml", Choices())
