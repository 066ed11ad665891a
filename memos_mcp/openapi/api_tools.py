"""Maps an OpenAPI description to tools, and reports what it could not map and why."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import MAX_NAME_CHARS
from memos_mcp.domain.tool import MAX_DESCRIPTION_CHARS, NewTool
from memos_mcp.openapi.api_text import parse_api
from memos_mcp.openapi.arguments import request_schema
from memos_mcp.openapi.findings import Finding, Findings, Unmappable
from memos_mcp.openapi.operations import Operation, operations_of
from memos_mcp.openapi.parameters import parameters_of
from memos_mcp.openapi.references import Definitions, ReadFile
from memos_mcp.openapi.request_bodies import body_of
from memos_mcp.openapi.responses import response_schema
from memos_mcp.openapi.schema_sizes import fitted_request
from memos_mcp.openapi.security import EVERY_SCHEME, Security
from memos_mcp.openapi.servers import encoded, server_of
from memos_mcp.openapi.valid_schemas import made_valid

_VERSIONS: Final = re.compile(r"3\.[012](\.|$)")
_UNSAFE: Final = re.compile(r"[^a-z0-9]+")
MAX_SOURCE_CHARS: Final = 60
SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Choices:
    """How a description is mapped.

    source: the name that its tools belong to, by default made of its title. credentials: the names of credentials by
    security scheme. address: where the description came from, if that is a URL.
    """

    source: str | None = None
    include: Sequence[str] = ()
    base_url: str | None = None
    credentials: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None
    read_file: ReadFile | None = None


@dataclass(frozen=True, slots=True)
class ApiTools:
    """The tools of a description. `chosen`: those that `include` names, or all."""

    source: str
    operations: int
    tools: Mapping[str, NewTool]
    chosen: frozenset[str]
    findings: Sequence[Finding]


def tools_of(data: bytes, name: str, choices: Choices) -> ApiTools:
    """Return the tools of the text of a description; raise `Invalid` when it is none, or a choice names nothing in it.

    Every tool passes `NewTool.check()`.
    """
    findings = Findings()
    root = parse_api(data, name, findings)
    _check_version(root, name)
    return _Mapping(root, choices, findings).mapped()


class _Mapping:
    def __init__(self, root: Mapping[str, Any], choices: Choices, findings: Findings) -> None:
        self._choices = choices
        self._findings = findings
        self._definitions = Definitions(root, findings, choices.read_file)
        self._root = root = self._definitions.root
        self._security = Security(root, choices.credentials, self._definitions)
        info = root.get("info")
        self._title = str(info.get("title") or "") if isinstance(info, Mapping) else ""
        self._source = choices.source or source_name(self._title)

    def mapped(self) -> ApiTools:
        """Return the tools of all operations."""
        _check_credentials(self._choices.credentials, self._security.schemes)
        found = operations_of(self._root, self._source, self._definitions, self._findings)
        operations = found.listed
        included = _included(operations, self._choices.include)
        tools: dict[str, NewTool] = {}
        for operation in operations:
            with self._findings.of(operation.label):
                try:
                    tools[operation.tool_id] = self._tool(operation)
                except Unmappable as reason:
                    self._findings.not_added(str(reason))
        if self._root.get("webhooks"):
            self._findings.noticed("Its webhooks are requests that the service sends, and no tools.")
        chosen = frozenset(tools) & included
        labels = {operation.label: operation.tool_id for operation in operations}
        findings = [entry for entry in self._findings.entries if labels.get(entry.operation or "") in {None, *included}]
        return ApiTools(self._source, found.total, tools, chosen, findings)

    def _tool(self, operation: Operation) -> NewTool:
        definitions, findings, fields = self._definitions, self._findings, operation.fields
        owners = (fields, operation.item, self._root)
        server = server_of(owners, self._choices.base_url, self._choices.address, findings)
        parameters = parameters_of(operation.path, operation.item, fields, definitions, findings)
        names = frozenset(argument.name for argument in parameters.arguments)
        body = body_of(operation.method, fields, names, definitions, findings)
        request = request_schema(operation.method, parameters.arguments, body, definitions, findings)
        tool = NewTool(
            tool_id=operation.tool_id,
            name=_name(operation),
            description=self._description(operation),
            endpoint_url=f"{server}{encoded(parameters.path)}",
            request_schema=fitted_request(request, findings),
            response_schema=response_schema(fields, definitions, findings),
            method=operation.method,
            auth=self._security.credential_of(fields, findings),
            source=self._source,
        )
        return _checked(tool, findings)

    def _description(self, operation: Operation) -> str:
        """Return summary and description, or what is known instead; report a text that is shortened."""
        written = [_text(operation.fields.get(name)) for name in ("summary", "description")]
        if written[0].rstrip(".") and written[1].startswith(written[0].rstrip(".")):
            written[0] = ""
        for inherited in ("summary", "description"):
            if not any(written):
                written = [_text(operation.item.get(inherited))]
        known = [f"{operation.label} of {self._title or self._source}."] if not any(written) else []
        deprecated = ["Deprecated."] if operation.fields.get("deprecated") is True else []
        text = "\n\n".join(filter(None, [*deprecated, *written, *known]))
        if len(text) <= MAX_DESCRIPTION_CHARS:
            return text
        self._findings.changed(
            f"The description has {len(text):,} characters and was shortened to {MAX_DESCRIPTION_CHARS:,}."
        )
        short = text[: MAX_DESCRIPTION_CHARS - 1]
        return f"{short.rpartition(' ')[0].rstrip() or short[:-1]} …"


def source_name(title: str) -> str:
    """Return the name of a source for the title of a description."""
    return _UNSAFE.sub("-", title.lower())[:MAX_SOURCE_CHARS].strip("-") or "api"


def _check_version(root: object, name: str) -> None:
    if not isinstance(root, Mapping):
        raise Invalid(f"{name} is not an OpenAPI document: it is not an object.")
    if str(root.get("swagger", "")).startswith("2"):
        raise Invalid(
            f"{name} is Swagger 2.0. Convert it to OpenAPI 3, for example with swagger2openapi, and add the result."
        )
    version = root.get("openapi")
    if not isinstance(version, str | float) or not _VERSIONS.match(str(version)):
        raise Invalid(f"{name} is not an OpenAPI 3.0 or 3.1 document: its field openapi is {str(version)[:20]!r}.")
    if not isinstance(root.get("paths", {}), Mapping):
        raise Invalid(f"{name} is not an OpenAPI document: its field paths is not an object.")


def _check_credentials(credentials: Mapping[str, str], schemes: Sequence[str]) -> None:
    for scheme in credentials:
        if scheme != EVERY_SCHEME and scheme not in schemes:
            raise Invalid(f"There is no security scheme {scheme!r}. There are: {', '.join(schemes) or 'none'}.")


def _included(operations: Sequence[Operation], include: Sequence[str]) -> frozenset[str]:
    """Return the ids of the operations that the choice names; raise `Invalid` for a name that is none."""
    if not include:
        return frozenset(operation.tool_id for operation in operations)
    known = {name for operation in operations for name in operation.names}
    for name in include:
        if name not in known:
            near = get_close_matches(name, known, SHOWN)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise Invalid(f"No operation has the tag or the id {name!r}.{hint}")
    return frozenset(operation.tool_id for operation in operations if not operation.names.isdisjoint(include))


def _name(operation: Operation) -> str:
    """Return the summary if it can be a name, else the operationId, else method and path."""
    given = operation.fields.get("operationId")
    candidates = (" ".join(_text(operation.fields.get("summary")).split()), _text(given), operation.label)
    usable = (text for text in candidates if text and len(text) <= MAX_NAME_CHARS and text.isprintable())
    return next(usable, operation.tool_id)


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _checked(tool: NewTool, findings: Findings) -> NewTool:
    """Return the tool if it can be registered, without the parts of its schemas that are in the way of that."""
    if _flaw(tool) is None:
        return tool
    request = made_valid(dict(tool.request_schema or {}), findings)
    if (flaw := _flaw(replace(tool, request_schema=request, response_schema=None))) is not None:
        raise Unmappable(flaw)
    try:
        response = made_valid(dict(tool.response_schema or {}), findings) or None
        mended = replace(tool, request_schema=request, response_schema=response)
        if (flaw := _flaw(mended)) is None:
            return mended
    except Unmappable as reason:
        flaw = str(reason)
    findings.changed(f"The response schema is left out. {flaw}")
    return replace(tool, request_schema=request, response_schema=None)


def _flaw(tool: NewTool) -> str | None:
    """Return why a tool cannot be registered, if it cannot."""
    try:
        tool.check()
    except Invalid as error:
        return str(error)
    return None
