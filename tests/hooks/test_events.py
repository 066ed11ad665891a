"""Inputs as the clients document them, each with the values of the fields that count here."""

import json
from typing import Any

import pytest

from memos_mcp.hooks.events import RULES, answer_with, read_event

CLAUDE_CODE = {
    "session_id": "0b7e1f5c-7a55-4b0e-9a34-6f0d1b1f4f10",
    "transcript_path": "/home/ada/.claude/projects/shop/0b7e1f5c.jsonl",
    "cwd": "/home/ada/shop",
    "permission_mode": "default",
}
CODEX = {
    "session_id": "019a2c3e-0000-7000-8000-000000000001",
    "transcript_path": None,
    "cwd": "/home/ada/shop",
    "model": "a-model",
    "permission_mode": "default",
}
GEMINI = {
    "session_id": "5d0f",
    "transcript_path": "/home/ada/.gemini/tmp/shop/chats/5d0f.json",
    "cwd": "/home/ada/shop",
    "timestamp": "2026-11-30T09:00:00.000Z",
}
CURSOR = {
    "conversation_id": "c-1",
    "generation_id": "g-1",
    "workspace_roots": ["/home/ada/shop", "/home/ada/docs"],
    "cursor_version": "3.2",
}

RECORDED: list[tuple[str, dict[str, Any], str, str]] = [
    ("SessionStart", {**CLAUDE_CODE, "hook_event_name": "SessionStart", "source": "startup"}, "start", ""),
    ("UserPromptSubmit", {**CLAUDE_CODE, "prompt": "Which port?"}, "prompt", "Which port?"),
    ("Stop", {**CLAUDE_CODE, "stop_hook_active": False, "last_assistant_message": "5432."}, "answer", "5432."),
    ("PreCompact", {**CLAUDE_CODE, "trigger": "auto", "custom_instructions": ""}, "forget", ""),
    ("SessionEnd", {**CLAUDE_CODE, "reason": "clear"}, "forget", ""),
    ("SessionStart", {**CODEX, "source": "resume"}, "start", ""),
    ("UserPromptSubmit", {**CODEX, "prompt": " Which port? \n"}, "prompt", "Which port?"),
    ("Stop", {**CODEX, "stop_hook_active": False, "last_assistant_message": None}, "answer", ""),
    ("PreCompact", {**CODEX, "trigger": "manual"}, "forget", ""),
    ("SessionEnd", {"session_id": CODEX["session_id"], "cwd": "/home/ada/shop", "reason": "other"}, "forget", ""),
    ("SessionStart", {**GEMINI, "source": "startup"}, "start", ""),
    ("BeforeAgent", {**GEMINI, "prompt": "Which port?"}, "prompt", "Which port?"),
    ("AfterAgent", {**GEMINI, "prompt": "Which port?", "prompt_response": "5432."}, "answer", "5432."),
    ("PreCompress", {**GEMINI, "trigger": "auto"}, "forget", ""),
    ("SessionEnd", {**GEMINI, "reason": "exit"}, "forget", ""),
    ("sessionStart", {**CURSOR, "session_id": "c-1", "composer_mode": "agent"}, "start", ""),
    ("beforeSubmitPrompt", {**CURSOR, "prompt": "Which port?", "attachments": []}, "prompt", "Which port?"),
    ("afterAgentResponse", {**CURSOR, "text": "5432."}, "answer", "5432."),
    ("preCompact", {**CURSOR, "trigger": "auto"}, "forget", ""),
    ("sessionEnd", {**CURSOR, "reason": "completed"}, "forget", ""),
]


@pytest.mark.parametrize(("name", "given", "meaning", "text"), RECORDED)
def test_an_input_of_each_client_is_understood(name: str, given: dict[str, Any], meaning: str, text: str) -> None:
    event = read_event(name, json.loads(json.dumps(given)))
    assert event is not None
    assert (event.rule.meaning, event.text, event.folder) == (meaning, text, "/home/ada/shop")
    assert event.session in given.values()


def test_every_event_has_a_recorded_input() -> None:
    assert {name for name, *_ in RECORDED} == set(RULES)


@pytest.mark.parametrize("given", [{}, {"session_id": ""}, {"session_id": 5}, {"conversation_id": None}])
def test_an_input_without_a_session_is_no_event(given: dict[str, Any]) -> None:
    assert read_event("SessionStart", given) is None


def test_an_unknown_event_is_none() -> None:
    assert read_event("Notification", CLAUDE_CODE) is None


@pytest.mark.parametrize("name", ["SessionStart", "UserPromptSubmit", "BeforeAgent"])
def test_a_context_is_answered_in_the_form_of_claude_code_codex_and_gemini(name: str) -> None:
    event = read_event(name, CLAUDE_CODE)
    assert event is not None
    assert answer_with(event, "Tabs.") == {
        "hookSpecificOutput": {"hookEventName": name, "additionalContext": "Tabs."},
    }


def test_a_context_is_answered_in_the_form_of_cursor() -> None:
    event = read_event("sessionStart", CURSOR)
    assert event is not None
    assert answer_with(event, "Tabs.") == {"additional_context": "Tabs."}


@pytest.mark.parametrize(
    "name", sorted(RULES.keys() - {"SessionStart", "UserPromptSubmit", "BeforeAgent", "sessionStart"})
)
def test_an_event_that_takes_no_context_has_no_answer(name: str) -> None:
    event = read_event(name, {**CLAUDE_CODE, **CURSOR})
    assert event is not None
    assert answer_with(event, "Tabs.") is None
