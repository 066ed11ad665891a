"""The events of clients that have hooks: what each one means here, and where its input and its answer have the text.

Sources: Claude Code, "Hooks reference"; Codex, "Hooks", and the JSON schemas in its repository (codex-rs/hooks/schema);
Gemini CLI, "Hooks reference"; Cursor, "Hooks". Claude Code, Codex and Gemini CLI share the form of an answer. Cursor's
names begin in lower case; it takes a context at the start of a session only.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

Meaning = Literal["start", "prompt", "answer", "forget"]
"""A session starts, a user has written or the assistant has answered, or what was shown is no longer in the context."""


class Rule(NamedTuple):
    """What an event means. `text`: the field of its input with the message. `takes_context`: how it is answered."""

    meaning: Meaning
    text: str = ""
    takes_context: Literal["", "nested", "flat"] = ""


RULES: Final[Mapping[str, Rule]] = {
    "SessionStart": Rule("start", takes_context="nested"),
    "UserPromptSubmit": Rule("prompt", "prompt", "nested"),
    "Stop": Rule("answer", "last_assistant_message"),
    "PreCompact": Rule("forget"),
    "SessionEnd": Rule("forget"),
    "BeforeAgent": Rule("prompt", "prompt", "nested"),
    "AfterAgent": Rule("answer", "prompt_response"),
    "PreCompress": Rule("forget"),
    "sessionStart": Rule("start", takes_context="flat"),
    "beforeSubmitPrompt": Rule("prompt", "prompt"),
    "afterAgentResponse": Rule("answer", "text"),
    "preCompact": Rule("forget"),
    "sessionEnd": Rule("forget"),
}


class HookEvent(NamedTuple):
    """An event: its name and rule, the client's session, the folder that it works in, and the message."""

    name: str
    rule: Rule
    session: str
    folder: str
    text: str


def read_event(name: str, given: Mapping[str, Any]) -> HookEvent | None:
    """Return the event with this input, or None for one that means nothing here or names no session."""
    rule = RULES.get(name)
    session = _text(given.get("session_id")) or _text(given.get("conversation_id"))
    if rule is None or not session:
        return None
    folders = given.get("workspace_roots")
    folder = _text(given.get("cwd")) or _text(folders[0] if isinstance(folders, list) and folders else None)
    return HookEvent(name, rule, session, folder, _text(given.get(rule.text)))


def answer_with(event: HookEvent, context: str) -> dict[str, Any] | None:
    """Return the answer that adds a text to the model's context; None when the client takes none at this event."""
    if event.rule.takes_context == "flat":
        return {"additional_context": context}
    if event.rule.takes_context == "nested":
        return {"hookSpecificOutput": {"hookEventName": event.name, "additionalContext": context}}
    return None


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
