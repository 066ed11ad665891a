"""An export of claude.ai: the zip, or one of its files.

- `conversations.json`: a list of conversations with `uuid`, `name`, `created_at` and `chat_messages`. A message has
  `uuid`, `sender` ("human", "assistant"), `text`, `content` (blocks of the types text, voice_note, thinking, tool_use
  and tool_result), `created_at`, `attachments` with their `extracted_content`, and `files` without.
- `projects.json`, or `projects/UUID.json`: `uuid`, `name`, `description`, `prompt_template`, `created_at`, and `docs`
  with `uuid`, `filename`, `content` and `created_at`.
- `memories.json`, or `memories/UUID.json`: `conversations_memory` and `project_memories`, what Claude remembers.
Anthropic publishes no description. Sources: github.com/basicmachines-co/basic-memory,
src/basic_memory/importers/claude_conversations_importer.py and claude_projects_importer.py;
github.com/Sinity/polylogue, docs/providers/claude-ai.md.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.memory import NewMemory
from memos_mcp.foreign_formats.conversations import Conversation
from memos_mcp.foreign_formats.entries import Entry, ForeignMemory, NotImported
from memos_mcp.foreign_formats.export_files import ExportFile
from memos_mcp.foreign_formats.field_values import first_moment, first_text, items, mapping, text
from memos_mcp.foreign_formats.json_elements import records
from memos_mcp.foreign_formats.notes import NoteText

FILES: Final = re.compile(r"(^|/)((conversations(-\d+)?|projects|memories)\.json|(projects|memories)/[^/]+\.json)$")

_ROLES: Final = {"human": "user", "assistant": "assistant"}
_BLOCKS: Final = {"thinking": "reasoning", "tool_use": "calls of tools", "tool_result": "answers of tools"}


def read(file: ExportFile) -> Iterator[Entry]:
    """Yield the memories of a file; what its records are is known from their fields."""
    with file.open() as stream:
        for _, number, value in records(stream):
            where = f"{file.name}: entry {number}"
            try:
                yield from _record(where, mapping(value))
            except Invalid as error:
                yield NotImported(where, str(error), refused=True)


def _record(where: str, record: Mapping[str, Any]) -> Iterator[Entry]:
    if "chat_messages" in record:
        yield from _conversation(where, record)
    elif "docs" in record or "prompt_template" in record:
        yield from _project(where, record)
    elif "conversations_memory" in record or "project_memories" in record:
        yield from _memories(where, record)
    else:
        raise Invalid("This is no conversation, project or memory of Claude.")


def _conversation(where: str, record: Mapping[str, Any]) -> Iterator[Entry]:
    own_id = text(record.get("uuid"))
    if own_id is None or not isinstance(record["chat_messages"], list):
        raise Invalid("The conversation has no uuid, or no list of messages.")
    conversation = Conversation("claude", where, own_id, text(record.get("name")), first_moment(record, "created_at"))
    messages = [mapping(message) for message in record["chat_messages"]]
    shown = _shown_branch(record.get("current_leaf_message_uuid"), messages)
    for number, message in enumerate(messages, start=1):
        own_id = text(message.get("uuid")) or str(number)
        if shown and own_id not in shown:
            yield conversation.skipped(own_id, "messages on other branches")
            continue
        try:
            yield from _message(conversation, own_id, message)
        except Invalid as error:
            yield conversation.skipped(own_id, str(error), refused=True)


def _shown_branch(leaf: object, messages: list[Mapping[str, Any]]) -> set[str]:
    """Return the messages of the branch that is shown, or none when the export does not say which that is."""
    parents = {text(message.get("uuid")): message.get("parent_message_uuid") for message in messages}
    branch: set[str] = set()
    while isinstance(leaf, str) and leaf in parents and leaf not in branch:
        branch.add(leaf)
        leaf = parents[leaf]
    return branch


def _message(conversation: Conversation, own_id: str, message: Mapping[str, Any]) -> Iterator[Entry]:
    role, time = _ROLES.get(str(message.get("sender"))), first_moment(message, "created_at")
    if role is None:
        raise Invalid(f"The sender is neither human nor assistant: {str(message.get('sender'))[:40]!r}.")
    texts, others = _blocks(message)
    others += ["files without their text" for _ in items(message.get("files"))]
    attachments = [mapping(one) for one in items(message.get("attachments"))]
    if texts or not (others or attachments):
        yield conversation.message(role, own_id, time, texts)
    for one in attachments:
        name, content = text(one.get("file_name")), text(one.get("extracted_content"))
        if content is None:
            others.append("files without their text")
        else:
            texts = [content] if name is None else [f"{name}\n", content]
            yield conversation.message(role, own_id, time, texts, {"attachment": name or "pasted text"})
    for reason in others:
        yield conversation.skipped(own_id, reason)


def _blocks(message: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the texts of a message, and what its other blocks are. Old exports have the text only."""
    texts, others = [], []
    for block in map(mapping, items(message.get("content"))):
        kind = str(block.get("type"))[:40]
        if kind in {"text", "voice_note"}:
            texts.append(text(block.get("text")))
        else:
            others.append(_BLOCKS.get(kind, f"parts of the type {kind}"))
    found = [one for one in texts if one is not None]
    whole = text(message.get("text"))
    return found if found or whole is None or others else [whole], others


def _project(where: str, record: Mapping[str, Any]) -> Iterator[Entry]:
    own_id, name = text(record.get("uuid")), first_text(record, "name", "uuid")
    if own_id is None or name is None:
        raise Invalid("The project has no uuid.")
    time, known = first_moment(record, "created_at"), {"claude_id": own_id, "project": name}
    if (description := text(record.get("description"))) is not None:
        yield ForeignMemory(where, NewMemory(f"{name}: {description}", "semantic", metadata=known, occurred_at=time))
    if (prompt := text(record.get("prompt_template"))) is not None:
        content = f"Instructions of the project {name}:\n\n{prompt}"
        yield ForeignMemory(where, NewMemory(content, "procedural", metadata=known, occurred_at=time))
    for number, doc in enumerate(map(mapping, items(record.get("docs"))), start=1):
        yield from _doc(f"{where}, doc {number}", doc, known, time)


def _doc(where: str, doc: Mapping[str, Any], project: Mapping[str, str], time: datetime | None) -> Iterator[Entry]:
    own_id, content = first_text(doc, "uuid", "filename"), text(doc.get("content"))
    title = first_text(doc, "filename", "uuid")
    if own_id is None or title is None or content is None:
        yield NotImported(where, "The doc has no filename or no content.", refused=True)
        return
    metadata = {**project, "claude_id": own_id, "title": title}
    note = NoteText("claude", own_id, title, content, (), metadata, first_moment(doc, "created_at") or time)
    yield from note.memories(where)


def _memories(where: str, record: Mapping[str, Any]) -> Iterator[Entry]:
    every = {"Claude's memory": record.get("conversations_memory")}
    for project, value in mapping(record.get("project_memories")).items():
        every[f"Claude's memory of the project {project}"] = value
    for _ in items(record.get("memory_files")):
        yield NotImported(where, "memory files, whose form is not known")
    for title, value in every.items():
        yield from NoteText("claude", title, title, text(value) or "", (), {"title": title}, None).memories(where)
