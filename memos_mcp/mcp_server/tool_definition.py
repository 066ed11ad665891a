"""Defines a tool of the MCP server: its contract, its compact input schema, and errors that a model can act on."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from memos_mcp.app import App
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.scope import Right, Scope
from memos_mcp.mcp_server.argument_forms import Understood, understand

if TYPE_CHECKING:  # the SDK takes long to import, and commands that only parse arguments need none of it
    from mcp import types

SHOWN_CHARS: Final = 40
SHOWN_NAMES: Final = 4
SHOWN_DIGITS: Final = 20

_TYPES: Final = {
    "string": "a string", "integer": "an integer", "number": "a number", "object": "an object",
    "boolean": "true or false",
}  # fmt: skip

Arguments = TypeVar("Arguments", bound=BaseModel)

Strings: TypeAlias = Annotated[list[str], Field(fail_fast=True)]
"""A list of strings. Only the first wrong entry is reported, so that millions of them do not make a huge answer."""


class StrictArguments(BaseModel):
    """Arguments exactly as the client sent them: nothing is coerced, unknown names are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class ArgumentReader(Generic[Arguments]):
    """Reads the arguments that a client sent, by their compact JSON schema."""

    arguments: type[Arguments]

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments, without the parts that a model does not need.

        Unknown arguments are refused by `parse`, which suggests a name; the schema does not repeat that.
        """
        schema = self.arguments.model_json_schema()
        properties = {name: _compact(field) for name, field in schema.get("properties", {}).items()}
        required = {"required": schema["required"]} if schema.get("required") else {}
        return {"type": "object", "properties": properties, **required}

    def understand(self, given: Mapping[str, Any]) -> Understood:
        """Return the arguments in the schema's forms, as far as they can be read in one way only."""
        return understand(given, self.input_schema["properties"], self.input_schema.get("required", ()))

    def parse(self, given: Mapping[str, Any]) -> Arguments:
        """Return the arguments; null means "not given". Raises `Invalid`, which names everything that is wrong."""
        properties, required = self.input_schema["properties"], self.input_schema.get("required", ())
        present = {name: value for name, value in given.items() if value is not None or name in required}
        unexpected = [name for name in given if name not in properties]
        try:
            arguments = self.arguments.model_validate({name: present[name] for name in present.keys() & properties})
        except ValidationError as error:
            problems = list(dict.fromkeys(_problem(properties, problem) for problem in error.errors(include_url=False)))
            raise Invalid(" ".join(problems + unknown("argument", unexpected, properties))) from None
        if unexpected:
            raise Invalid(" ".join(unknown("argument", unexpected, properties)))
        return arguments


@dataclass(frozen=True, slots=True)
class Effects:
    """What a tool may change, as `tools/list` hints: None says nothing, as of a tool that only reads."""

    read_only: bool = False
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool = False


READS: Final = Effects(read_only=True)


@dataclass(frozen=True, kw_only=True)
class ToolDefinition(ArgumentReader[Arguments]):
    """One tool of the server: what a model reads about it, the right to call it, and the function that runs it.

    `result` is a TypedDict whose JSON schema is the output schema; `call` returns one, ready to be sent.
    """

    name: str
    right: Right
    title: str
    description: str
    result: type[Any]
    effects: Effects
    call: Callable[[App, Scope, Arguments], Awaitable[Mapping[str, Any]]]

    @cached_property
    def listing(self) -> "types.Tool":
        """The tool as `tools/list` shows it."""
        from mcp import types

        hints = {f"{name}_hint": value for name, value in asdict(self.effects).items() if value is not None}
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.input_schema,
            output_schema=TypeAdapter(self.result).json_schema(),
            annotations=types.ToolAnnotations(**hints),
        )


def whole(value: object) -> object:
    """Convert 5.0 to 5: JSON Schema counts both as integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def unknown(noun: str, names: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return sentences with the unknown names, a guess for each and the known names; none if `names` is empty."""
    if not names:
        return []
    choices = list(known)
    sentences = [f"Unknown {noun} {_quoted(name)}.{_guess(name, choices)}" for name in names[:SHOWN_NAMES]]
    if len(names) > SHOWN_NAMES:
        sentences.append(f"{len(names) - SHOWN_NAMES:,} more are unknown.")
    return [*sentences, f"{noun.capitalize()}s: {', '.join(choices)}."]


def expected(schema: Mapping[str, Any]) -> str:
    """Describe in words the values that a property's schema allows."""
    if "enum" in schema:
        return "one of " + ", ".join(map(json.dumps, schema["enum"]))
    if schema.get("format") == "date-time":
        return "a time with a zone such as 2026-05-01T12:00:00Z"
    if schema.get("format") == "uuid":
        return "a memory_id, as a store or a query returned it"
    if schema["type"] == "array":
        return f"a list of {_count(schema)}{_entries(schema['items'])}"
    low, high = schema.get("minimum"), schema.get("maximum")
    span = "" if high is None else f" from {low:,} to {high:,}"
    return _TYPES[schema["type"]] + span


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
    """Quote a caller's text in ASCII, so that no character in it can break the message."""
    cut = text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
    return "'" + json.dumps(cut)[1:-1] + "'"


def _guess(name: str, choices: Sequence[str]) -> str:
    similar = get_close_matches(name[:SHOWN_CHARS].lower(), choices, n=1)
    return f" Did you mean '{similar[0]}'?" if similar else ""


def _problem(properties: Mapping[str, Any], problem: ErrorDetails) -> str:
    field, *index = map(str, problem["loc"])
    wanted = expected(properties[field])
    if problem["type"] == "missing":
        return f"{field} is required: {wanted}."
    got = f"entry {index[0]} is" if index else "got"
    return f"{field} must be {wanted}; {got} {shown(problem['input'])}."


def _count(schema: Mapping[str, Any]) -> str:
    high = schema.get("maxItems")
    return "" if high is None else f"{schema.get('minItems', 1)} to {high} "


def _entries(items: Mapping[str, Any]) -> str:
    if items.get("format") == "uuid":
        return "memory_ids, as a store or a query returned them"
    return ", ".join(map(json.dumps, items["enum"])) if "enum" in items else 'strings such as ["a", "b"]'


def _compact(field: Mapping[str, Any]) -> dict[str, Any]:
    """Drop titles, the null branch of optional parameters, and what is implied: one entry, default null or false."""
    short = {key: value for key, value in field.items() if key not in {"title", "anyOf", "additionalProperties"}}
    if short.get("minItems") == 1:
        del short["minItems"]
    for branch in field.get("anyOf", ()):
        if branch.get("type") != "null":
            short = _compact(branch) | short
    if any(short.get("default", ...) is implied for implied in (None, False)):
        del short["default"]
    return short
