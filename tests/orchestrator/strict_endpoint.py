"""An endpoint that takes nothing that a strict one refuses: OpenAI's rules for functions, Mistral's for messages."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.orchestrator.services import Model

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
AT_ROOT = {"oneOf", "anyOf", "allOf", "enum", "const", "not", "$ref", "if"}
TYPES = {"object", "array", "string", "number", "integer", "boolean", "null"}


@dataclass
class StrictModel(Model):
    """A scripted model behind an endpoint that answers 400 to what breaks a rule."""

    async def _answer(self, request: Request) -> Response:
        asked = await request.json()
        fault = next(faults(asked), None)
        if fault is not None:
            self.asked.append(asked)
            return JSONResponse({"error": {"message": fault, "type": "invalid_request_error"}}, 400)
        return await super()._answer(request)


def faults(asked: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a strict endpoint refuses in a request."""
    functions = [tool["function"] for tool in asked.get("tools", [])]
    if "tools" in asked and not functions:
        yield "[] is too short - 'tools'"
    names = [function["name"] for function in functions]
    if len(set(names)) < len(names):
        yield "Function names must be unique"
    for function in functions:
        if not NAME.fullmatch(function["name"]):
            yield "Invalid 'tools[0].function.name': string does not match pattern '^[a-zA-Z0-9_-]+$'"
        if len(function["description"]) > 1_024:
            yield "string too long: function.description"
        for fault in root_faults(function["parameters"]):
            yield f"Invalid schema for function '{function['name']}': {fault}"
    yield from message_faults(asked["messages"])


def root_faults(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict) or schema.get("type") != "object":
        yield "schema must have type 'object'"
    elif AT_ROOT & set(schema):
        yield "schema must not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level"
    elif not isinstance(schema.get("properties"), dict):
        yield "object schema missing properties"
    else:
        yield from schema_faults(schema)


def schema_faults(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield f"cannot unmarshal {type(schema).__name__} into Go struct field"
        return
    types = schema.get("type", [])
    if not set(types if isinstance(types, list) else [types]) <= TYPES:
        yield f"{types!r} is not a type"
    if any(key.startswith(("x-", "$")) or key in {"nullable", "not", "oneOf", "allOf", "example"} for key in schema):
        yield f"unknown keyword among {sorted(schema)}"
    if not isinstance(schema.get("description", ""), str) or not isinstance(schema.get("required", []), list):
        yield "cannot unmarshal into Go struct field"
    if "array" in types and "items" not in schema:
        yield "array schema missing items"
    children = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    for child in [*children, *([schema["items"]] if "items" in schema else [])]:
        yield from schema_faults(child)


def message_faults(messages: list[dict[str, Any]]) -> Iterator[str]:
    seen: list[str] = []
    pending: list[str] = []
    for before, message in pairwise([{"role": ""}, *messages]):
        role, calls = message["role"], message.get("tool_calls", [])
        if not isinstance(message["content"], str) or not (message["content"] or calls):
            yield "a message must have content or tool_calls"
        if role == "user" and before["role"] in {"tool", "user"}:
            yield f"Unexpected role 'user' after role '{before['role']}'"
        if role == "tool" and message.get("tool_call_id") in pending:
            pending.remove(message["tool_call_id"])
        elif role == "tool" or pending:
            yield "'tool_calls' must be followed by a tool message for each 'tool_call_id'"
        yield from call_faults(calls, seen)
        pending += [call["id"] for call in calls]


def call_faults(calls: list[dict[str, Any]], seen: list[str]) -> Iterator[str]:
    for call in calls:
        if not call["id"] or call["id"] in seen:
            yield "ids of calls must be unique and not empty"
        if not NAME.fullmatch(call["function"]["name"]):
            yield "Invalid 'messages[2].tool_calls[0].function.name'"
        if not isinstance(json.loads(call["function"]["arguments"]), dict):
            yield "arguments must be a JSON object"
        seen.append(call["id"])
