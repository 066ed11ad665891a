"""What a tool is at this door: its contract, its compact input schema, and errors that a model can act on."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Final, Generic, TypeAlias, TypeVar

from mcp import types
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.scope import Scope

SHOWN_CHARS: Final = 40
SHOWN_NAMES: Final = 4
SHOWN_DIGITS: Final = 20

Arguments = TypeVar("Arguments", bound=BaseModel)

Strings: TypeAlias = Annotated[list[str], Field(fail_fast=True)]
"""A list of which the first wrong entry is named: a message of millions of entries must not be answered by as many."""


class StrictArguments(BaseModel):
    """Arguments exactly as they were sent: nothing is coerced, nothing unknown is accepted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class ToolDefinition(Generic[Arguments]):
    """One tool of the server: what a model reads about it, and the function that runs it.

    `result` is a TypedDict; its JSON schema is the output schema. `call` answers with one, ready to be sent.
    """

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    result: type[Any]
    annotations: types.ToolAnnotations
    call: Callable[[App, Scope, Arguments], Awaitable[Mapping[str, Any]]]

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The arguments' JSON schema without what a model does not need."""
        schema = self.arguments.model_json_schema()
        properties = {name: _compact(field) for name, field in schema.get("properties", {}).items()}
        required = {"required": schema["required"]} if schema.get("required") else {}
        return {"type": "object", "properties": properties, **required, "additionalProperties": False}

    @cached_property
    def listing(self) -> types.Tool:
        """The tool as `tools/list` shows it."""
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.input_schema,
            output_schema=TypeAdapter(self.result).json_schema(),
            annotations=self.annotations,
        )

    def parse(self, given: Mapping[str, Any]) -> Arguments:
        """Return the arguments; raise `Invalid` naming everything that is wrong. null means "not given"."""
        properties, required = self.input_schema["properties"], self.input_schema.get("required", ())
        present = {name: value for name, value in given.items() if value is not None or name in required}
        strangers = [name for name in given if name not in properties]
        try:
            arguments = self.arguments.model_validate({name: present[name] for name in present.keys() & properties})
        except ValidationError as error:
            problems = list(dict.fromkeys(_problem(properties, problem) for problem in error.errors(include_url=False)))
            raise Invalid(" ".join(problems + unknown("argument", strangers, properties))) from None
        if strangers:
            raise Invalid(" ".join(unknown("argument", strangers, properties)))
        return arguments


def whole(value: object) -> object:
    """Take 5.0 for 5, as JSON Schema does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def unknown(noun: str, names: Sequence[str], known: Iterable[str]) -> list[str]:
    """Say which names are unknown, what each may have meant, and which there are; nothing when all are known."""
    if not names:
        return []
    choices = list(known)
    sentences = [f"Unknown {noun} {_quoted(name)}.{_guess(name, choices)}" for name in names[:SHOWN_NAMES]]
    if len(names) > SHOWN_NAMES:
        sentences.append(f"{len(names) - SHOWN_NAMES:,} more are unknown.")
    return [*sentences, f"{noun.capitalize()}s: {', '.join(choices)}."]


def expected(schema: Mapping[str, Any]) -> str:
    """Describe in words what a property's schema admits."""
    if "enum" in schema:
        return "one of " + ", ".join(map(json.dumps, schema["enum"]))
    if schema.get("format") == "date-time":
        return "a time with a zone such as 2026-05-01T12:00:00Z"
    if schema.get("format") == "uuid":
        return "a memory_id, as a store or a query returned it"
    if schema["type"] == "array":
        return f"a list of {_count(schema)}strings"
    least, most = schema.get("minimum"), schema.get("maximum")
    span = "" if most is None else f" from {least:,} to {most:,}"
    return {"string": "a string", "integer": "an integer", "number": "a number", "object": "an object"}[
        schema["type"]
    ] + span


def shown(value: object) -> str:
    """Describe a value for an error: its kind, and the value itself only when it is short."""
    if isinstance(value, str):
        return _quoted(value) if len(value) <= SHOWN_CHARS else f"a string of {len(value):,} characters"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value):,}"
    if isinstance(value, int) and abs(value) >= 10**SHOWN_DIGITS:
        return "a number of many digits"
    return json.dumps(value, default=lambda other: type(other).__name__)


def _quoted(text: str) -> str:
    """Quote a caller's text in plain ASCII, so that nothing in it can spoil the message."""
    cut = text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
    return "'" + json.dumps(cut)[1:-1] + "'"


def _guess(name: str, choices: Sequence[str]) -> str:
    near = get_close_matches(name[:SHOWN_CHARS].lower(), choices, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def _problem(properties: Mapping[str, Any], problem: ErrorDetails) -> str:
    field, *place = map(str, problem["loc"])
    wanted = expected(properties[field])
    if problem["type"] == "missing":
        return f"{field} is required: {wanted}."
    got = f"entry {place[0]} is" if place else "got"
    return f"{field} must be {wanted}; {got} {shown(problem['input'])}."


def _count(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minItems"), schema.get("maxItems")
    return f"{least} to {most} " if least is not None and most is not None else ""


def _compact(field: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out titles and the null branch of optional parameters; a default of null goes without saying."""
    short = {key: value for key, value in field.items() if key not in {"title", "anyOf", "additionalProperties"}}
    for branch in field.get("anyOf", ()):
        if branch.get("type") != "null":
            short = _compact(branch) | short
    if short.get("default", ...) is None:
        del short["default"]
    return short
