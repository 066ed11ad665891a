"""The parameters of a function, from the request_schema of a tool, as strict endpoints accept them. Pure.

OpenAI refuses a request if the schema of one of its functions has a root that is no object or that holds `oneOf`,
`anyOf`, `allOf`, `enum`, `const` or `not` ("schema must have type 'object' and not have ... at the top level").
Anthropic's endpoint does the same. Older Ollama also needs `properties`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from memos_mcp.orchestrator.inlined_schemas import UnfitSchema, inlined
from memos_mcp.orchestrator.merged_schemas import NOTHING, any_object, merged, types_of
from memos_mcp.orchestrator.payload import replace_surrogates

_REDUCED: Final = ("type", "description", "properties", "required", "items", "enum")
_AT_ROOT: Final = ("title", "description", "properties", "required", "additionalProperties")


def function_parameters(schema: Mapping[str, Any] | None, *, reduced: bool = False) -> dict[str, Any]:
    """Return the schema as an object with `properties` and without a combiner or reference at the root.

    It never accepts less than the schema does. `reduced` keeps only types, descriptions, properties, items and enums
    of text: for endpoints that refuse more (`pattern` in llama.cpp, several types in Gemini). Raises `UnfitSchema` if
    the schema is not that of an object, or refers to what it does not hold.
    """
    whole = _object_root(inlined({} if schema is None else schema))
    try:
        sent = json.dumps(_reduced(whole) if reduced else whole, ensure_ascii=False)
    except RecursionError:  # a value, such as a default, is nested that deeply
        raise UnfitSchema("it is nested too deeply") from None
    parameters: dict[str, Any] = json.loads(replace_surrogates(sent))
    return parameters


def _object_root(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Fold the alternatives at the root into one object, and name what each of them needs in its description."""
    if schema == NOTHING:
        raise UnfitSchema("it accepts nothing")
    if not _may_be_object(schema):
        raise UnfitSchema("its root is not an object; wrap it in an object with one property")
    root = {name: schema[name] for name in _AT_ROOT if name in schema}
    if "anyOf" in schema:
        members = [member for member in schema["anyOf"] if _may_be_object(member)]
        if not members:
            raise UnfitSchema("none of the alternatives at its root is an object")
        members = [_object_root(member) for member in members]
        root = merged(root, any_object(members)) | _described(root, members)
    properties = root.get("properties", {})
    missing: dict[str, Any] = {name: {} for name in root.get("required", ()) if name not in properties}
    return {**root, "type": "object", "properties": {**properties, **missing}}


def _may_be_object(schema: Mapping[str, Any]) -> bool:
    return schema != NOTHING and ("type" not in schema or "object" in types_of(schema))


def _described(root: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    needs = list(dict.fromkeys(", ".join(member.get("required", ())) for member in members))
    if len(needs) == 1 or not all(needs):
        return {}
    text = f"Give one of these combinations: {'; or '.join(needs)}."
    return {"description": f"{root['description']} {text}" if "description" in root else text}


def _reduced(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what every endpoint reads; of alternatives, the first that is not null."""
    if "anyOf" in schema and "type" not in schema:
        first: Mapping[str, Any] = next((one for one in schema["anyOf"] if types_of(one) != ["null"]), {})
        schema = {**first, **{name: schema[name] for name in ("description",) if name in schema}}
    types = [one for one in types_of(schema) if one != "null"]
    if not types:
        return {}
    own = {name: schema[name] for name in _REDUCED if name in schema}
    own["type"] = types[0]
    if "properties" in own:
        own["properties"] = {name: _reduced(child) for name, child in own["properties"].items()}
    if types[0] == "array":
        own["items"] = _reduced(schema.get("items", {}))
    else:
        own.pop("items", None)
    if not all(isinstance(value, str) for value in own.get("enum", ())):
        del own["enum"]
    return own
