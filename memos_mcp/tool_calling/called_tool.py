"""A tool as a call needs it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CalledTool:
    """What a call needs of a registered tool.

    `auth` names a credential; `annotations` are those of an MCP tool.
    """

    tool_id: str
    endpoint_url: str
    method: str = "POST"
    request_schema: Mapping[str, Any] | None = None
    response_schema: Mapping[str, Any] | None = None
    auth: str | None = None
    annotations: Mapping[str, Any] | None = None
