from datetime import UTC, datetime

from memos_mcp.hooks.events import read_event
from memos_mcp.hooks.messages import MAX_BYTES, message_of

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
TOKEN = "ghp_" + "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5"  # invented


def test_a_prompt_is_an_episodic_memory_of_its_session_with_role_and_time() -> None:
    asked = read_event("UserPromptSubmit", {"session_id": "s", "prompt": "Which port?"})
    answered = read_event("Stop", {"session_id": "s", "last_assistant_message": "5432."})
    assert asked is not None
    assert answered is not None
    assert message_of(asked, NOON) == {
        "content": "Which port?",
        "kind": "episodic",
        "session_id": "s",
        "occurred_at": "2026-11-30T12:00:00Z",
        "metadata": {"role": "user"},
    }
    assert (message_of(answered, NOON) or {})["metadata"] == {"role": "assistant"}


def test_a_token_and_a_private_key_are_replaced_before_a_message_is_stored() -> None:
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" * 3
    prompt = f"Use {TOKEN} and\n{key}\n-----END PRIVATE KEY-----\nfor the deploy, not {TOKEN}."
    event = read_event("UserPromptSubmit", {"session_id": "s", "prompt": prompt})
    assert event is not None
    content = (message_of(event, NOON) or {})["content"]
    assert content == "Use [secret removed] and\n[secret removed]\nfor the deploy, not [secret removed]."


def test_a_private_key_without_an_end_is_removed_to_the_end_of_the_text() -> None:
    key = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7" * 3
    event = read_event("Stop", {"session_id": "s", "last_assistant_message": f"Here: {key}"})
    assert event is not None
    assert (message_of(event, NOON) or {})["content"] == "Here: [secret removed]"


def test_an_empty_message_and_other_events_are_not_stored() -> None:
    for name, given in (("Stop", {"last_assistant_message": None}), ("UserPromptSubmit", {"prompt": "  "})):
        event = read_event(name, {"session_id": "s", **given})
        assert event is not None
        assert message_of(event, NOON) is None
    start = read_event("SessionStart", {"session_id": "s"})
    assert start is not None
    assert message_of(start, NOON) is None


def test_a_message_that_is_too_long_is_cut_at_a_character_and_says_by_how_much() -> None:
    event = read_event("UserPromptSubmit", {"session_id": "s", "prompt": "ä" * (MAX_BYTES // 2 + 5) + "x"})
    assert event is not None
    message = message_of(event, NOON) or {}
    assert len(message["content"].encode()) == MAX_BYTES
    assert message["metadata"]["cut_bytes"] == 11
