"""A prompt or an answer of a session, as the episodic memory that keeps it."""

from datetime import UTC, datetime
from typing import Any, Final

from memos_mcp.hooks.events import HookEvent
from memos_mcp.ingest.files.secret_scan import without_secrets

MAX_BYTES: Final = 256 * 1024
"""The longest content of a memory; a longer message is a pasted file, and its beginning is kept."""


def message_of(event: HookEvent, now: datetime) -> dict[str, Any] | None:
    """Return the arguments of `store_memory` for a prompt or an answer; None for another event or an empty one.

    Private keys and access tokens in it are replaced first.
    """
    content = without_secrets(event.text.encode("utf-8", "replace"))
    if event.rule.meaning not in ("prompt", "answer") or not content:
        return None
    metadata: dict[str, Any] = {"role": "user" if event.rule.meaning == "prompt" else "assistant"}
    if len(content) > MAX_BYTES:
        metadata["cut_bytes"] = len(content) - MAX_BYTES
    return {
        "content": content[:MAX_BYTES].decode("utf-8", "ignore"),
        "kind": "episodic",
        "session_id": event.session,
        "occurred_at": now.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "metadata": metadata,
    }
