"""The conversations of a ChatGPT export: `conversations.json`, or the zip that has it.

Large exports have `conversations-000.json` and so on instead. The file is a list of conversations with `id` or
`conversation_id`, `title`, `create_time`, and a tree of messages: `mapping` has nodes with `message`, `parent` and
`children`, and `current_node` is the last message of the branch that ChatGPT shows; edits and repeated answers make the
other branches. A message has `author.role`, `create_time`, `recipient` and `content`, which has `parts`: texts, and
objects that point to images and audio.
OpenAI publishes no description. Sources: github.com/mohamed-chs/convoviz, docs/dev/chatgpt-spec.md (February 2026);
github.com/mitkury/chatgpt-export-parser, docs/chatgpt-data-export-format.md.

The shown branch is imported: what its user and assistant wrote, and what the assistant sent to `bio`, ChatGPT's own
memory. Everything else is counted as skipped.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.foreign_formats.conversations import Conversation
from memos_mcp.foreign_formats.entries import Entry, NotImported
from memos_mcp.foreign_formats.export_files import ExportFile
from memos_mcp.foreign_formats.field_values import first_moment, first_text, items, mapping, moment, text
from memos_mcp.foreign_formats.json_elements import elements

FILES: Final = re.compile(r"(^|/)conversations(-\d+)?\.json$")

_RECIPIENTS: Final = (None, "all", "bio")
_INSTRUCTIONS: Final = ("user_editable_context", "model_editable_context")
_MEDIA: Final = {"image": "images", "audio": "audio", "video": "videos"}
_REASONING: Final = ("thoughts", "reasoning_recap")


def read(file: ExportFile) -> Iterator[Entry]:
    """Yield the messages of the conversations of a file."""
    with file.open() as stream:
        for _, number, value in elements(stream, "conversations"):
            where = f"{file.name}: conversation {number}"
            try:
                yield from _conversation(where, mapping(value))
            except Invalid as error:
                yield NotImported(where, str(error), refused=True)


def _conversation(where: str, record: Mapping[str, Any]) -> Iterator[Entry]:
    own_id, nodes = first_text(record, "conversation_id", "id"), mapping(record.get("mapping"))
    if own_id is None or not isinstance(record.get("mapping"), dict):
        raise Invalid("The conversation has no id, or no mapping with its messages.")
    conversation = Conversation(
        "chatgpt", where, own_id, text(record.get("title")), first_moment(record, "create_time")
    )
    shown = _shown_branch(record.get("current_node"), nodes)
    for node_id, node in nodes.items():
        if node_id not in shown and mapping(node).get("message") is not None:
            yield conversation.skipped(node_id, "messages on other branches")
    for node_id in shown:
        message = mapping(nodes[node_id]).get("message")
        if message is not None:
            yield from _message(conversation, node_id, mapping(message))


def _shown_branch(leaf: object, nodes: Mapping[str, Any]) -> Mapping[str, None]:
    """Return the nodes from the first to the last that is shown; without `current_node`, to the last in the file."""
    node_id = leaf if isinstance(leaf, str) and leaf in nodes else next(reversed(list(nodes)), None)
    branch: dict[str, None] = {}
    while isinstance(node_id, str) and node_id in nodes and node_id not in branch:
        branch[node_id] = None
        node_id = mapping(nodes[node_id]).get("parent")
    return dict.fromkeys(reversed(branch))


def _message(conversation: Conversation, node_id: str, message: Mapping[str, Any]) -> Iterator[Entry]:
    content = mapping(message.get("content"))
    own_id = first_text(message, "id") or node_id
    reason = _why_skipped(message, content)
    if reason is not None:
        yield conversation.skipped(own_id, reason)
        return
    try:
        time = moment("create_time", message.get("create_time"))
    except Invalid as error:
        yield conversation.skipped(own_id, str(error), refused=True)
        return
    texts, others = _parts(content)
    for reason in others:
        yield conversation.skipped(own_id, reason)
    if texts or not others:
        yield conversation.message(str(mapping(message["author"])["role"]), own_id, time, texts)


def _why_skipped(message: Mapping[str, Any], content: Mapping[str, Any]) -> str | None:
    metadata, role = mapping(message.get("metadata")), mapping(message.get("author")).get("role")
    content_type = content.get("content_type")
    if content_type in _INSTRUCTIONS or metadata.get("is_user_system_message"):
        return "custom instructions"
    if metadata.get("is_visually_hidden_from_conversation"):
        return "hidden messages"
    if role == "tool":
        return "answers of tools"
    if role not in ("user", "assistant"):
        return f"messages of the role {str(role)[:40]}"
    if content_type in _REASONING or message.get("channel") == "analysis":
        return "reasoning"
    return None if message.get("recipient") in _RECIPIENTS else "calls of tools"


def _parts(content: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the texts of a message, and what its other parts are."""
    texts, others = [], []
    for part in items(content.get("parts")) or [content.get("text")]:
        found = part if isinstance(part, str) else mapping(part).get("text")
        if isinstance(found, str):
            texts.append(found)
        elif part is not None:
            others.append(_part_name(mapping(part).get("content_type")))
    return [found for found in texts if text(found) is not None], others


def _part_name(content_type: object) -> str:
    name = str(content_type)[:40]
    known = (plural for kind, plural in _MEDIA.items() if kind in name)
    return next(known, f"parts of the type {name}")
