"""What a server answered to `tools/call`, as a value: structured content, or the parts of its content. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from mcp_types import CallToolResult, ContentBlock, TextContent

MIN_MASKED_CHARS: Final = 6
"""A shorter value is no secret, and is found in many words."""


def value_of(result: CallToolResult) -> tuple[Any, str | None]:
    """Return the value of an answer, and a remark on it, or None.

    Structured content is the value. Without it, one text is a string; several parts are a list of strings and, for
    images, audio and resources, of objects.
    """
    if result.structured_content is not None or "structured_content" in result.model_fields_set:
        others = [part for part in result.content if not isinstance(part, TextContent)]
        return result.structured_content, f"it also answered with {_counted(others)}" if others else None
    parts = [_plain(part) for part in result.content]
    return (parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts or None), None


def error_text(result: CallToolResult) -> str:
    """Return what a tool reports of its error."""
    texts = [part.text for part in result.content if isinstance(part, TextContent)]
    return " ".join(" ".join(texts).split()) or "it does not say which"


def masked(value: Any, secrets: Mapping[str, str]) -> Any:
    """Return a JSON value in which each secret of some length is replaced by its label, in texts and keys."""
    if isinstance(value, str):
        for secret in sorted(secrets, key=len, reverse=True):  # one may contain another
            if len(secret) >= MIN_MASKED_CHARS:
                value = value.replace(secret, secrets[secret])
        return value
    if isinstance(value, Mapping):
        return {masked(name, secrets): masked(part, secrets) for name, part in value.items()}
    if isinstance(value, list):
        return [masked(part, secrets) for part in value]
    return value


def _plain(part: ContentBlock) -> str | dict[str, Any]:
    if isinstance(part, TextContent):
        return part.text
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)


def _counted(parts: Sequence[ContentBlock]) -> str:
    return ", ".join(f"{count} part{'s' * (count > 1)} of type {name}" for name, count in _types(parts).items())


def _types(parts: Sequence[ContentBlock]) -> Counter[str]:
    return Counter(part.type for part in parts)
