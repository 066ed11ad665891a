"""Tools as the functions that an endpoint is offered; those that it cannot be given are named with the reason. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from memos_mcp.orchestrator.function_schemas import function_parameters
from memos_mcp.orchestrator.inlined_schemas import UnfitSchema
from memos_mcp.orchestrator.payload import KnownTool, replace_surrogates

DESCRIPTION_CHARS: Final = 1_024
"""The limit of OpenAI for the description of a function; the payload of a task has the entire one."""


@dataclass(frozen=True, slots=True)
class OfferedFunctions:
    """The definitions in order, the parameters of each by tool_id, and the reason for each tool without one."""

    definitions: Sequence[Mapping[str, Any]]
    parameters: Mapping[str, Mapping[str, Any]]
    left_out: Mapping[str, str]

    def tool_id(self, function: str | int | None, names: Mapping[str, str]) -> str | None:
        """Return the tool of the function that an endpoint refuses, named or counted; None if it is none of them."""
        offered = list(self.parameters)
        if isinstance(function, int):
            return offered[function] if function < len(offered) else None
        return next((tool_id for tool_id in offered if names[tool_id] == function), None)


def offered_functions(
    tools: Sequence[KnownTool],
    names: Mapping[str, str],
    *,
    reduced: Collection[str] = (),
    refused: Mapping[str, str] | None = None,
) -> OfferedFunctions:
    """Define a function for each tool but the `refused` ones; those in `reduced` get a reduced schema."""
    definitions: list[Mapping[str, Any]] = []
    parameters: dict[str, Mapping[str, Any]] = {}
    left_out = dict(refused or {})
    for tool in tools:
        if tool.tool_id in left_out or tool.tool_id in parameters:
            continue
        try:
            parameters[tool.tool_id] = function_parameters(tool.request_schema)
            sent = function_parameters(tool.request_schema, reduced=True) if tool.tool_id in reduced else None
        except UnfitSchema as flaw:
            left_out[tool.tool_id] = f"its request_schema cannot be offered to a model: {flaw}"
            continue
        description = replace_surrogates(f"{tool.name}: {tool.description}")
        if len(description) > DESCRIPTION_CHARS:
            description = f"{description[: DESCRIPTION_CHARS - 2]} …"
        function = {
            "name": names[tool.tool_id],
            "description": description,
            "parameters": parameters[tool.tool_id] if sent is None else sent,
        }
        definitions.append({"type": "function", "function": function})
    return OfferedFunctions(definitions, parameters, left_out)
