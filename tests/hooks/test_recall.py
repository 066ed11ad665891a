from typing import Any

from memos_mcp.hooks.recall import HEADER, MAX_MEMORY_CHARS, loadout_for, near_memories, question_for, starting_memories


def memory(name: str, cosine: float, content: str = "The port is 5432.", **fields: Any) -> dict[str, Any]:
    return {"memory_id": name, "content": content, "occurred_at": "2026-05-03T10:00:00Z", **fields} | {
        "signals": {"dense": cosine, "bm25": 3.0}
    }


def test_memories_below_the_bar_are_not_recalled() -> None:
    answer = {"memories": [memory("near", 0.4), memory("far", 0.39)]}
    recalled = near_memories(answer, "session", "a question", (), 800)
    assert recalled is not None
    assert recalled.ids == ("near",)
    assert recalled.text == f"{HEADER}\n- The port is 5432. (2026-05-03; near)"


def test_nothing_near_recalls_nothing() -> None:
    assert near_memories({"memories": [memory("far", 0.2)]}, "session", "a question", (), 800) is None


def test_a_memory_that_was_shown_or_is_of_the_same_session_is_not_recalled() -> None:
    answer = {"memories": [memory("shown", 0.9), memory("own", 0.9, session_id="session"), memory("new", 0.8)]}
    recalled = near_memories(answer, "session", "a question", {"shown"}, 800)
    assert recalled is not None
    assert recalled.ids == ("new",)


def test_what_the_prompt_itself_says_is_not_recalled() -> None:
    question = "Which port\n does  staging use?"
    found = [memory("asked before", 0.99, question), memory("part", 0.9, "staging"), memory("port", 0.8)]
    recalled = near_memories({"memories": found}, "session", "which PORT does staging use? Now.", (), 800)
    assert recalled is not None
    assert recalled.ids == ("port",)
    assert near_memories({"memories": found[:1]}, "session", question, (), 800) is None
    assert near_memories({"memories": [memory("stag", 0.9, "stag")]}, "session", question, (), 800) is not None


def test_a_memory_that_does_not_fit_does_not_displace_a_shorter_one() -> None:
    answer = {"memories": [memory("long", 0.9, "x" * 500), memory("short", 0.8, "Tabs.")]}
    recalled = near_memories(answer, "session", "a question", (), 30)
    assert recalled is not None
    assert recalled.ids == ("short",)
    assert len(recalled.text) - len(HEADER) <= 30 * 4 + 1


def test_long_content_is_cut_and_further_lines_stay_inside_their_item() -> None:
    answer = {"memories": [memory("long", 0.9, "first\nsecond " + "x" * MAX_MEMORY_CHARS)]}
    recalled = near_memories(answer, "session", "a question", (), 800)
    assert recalled is not None
    assert "- first\n  second xxx" in recalled.text
    assert "x… (2026-05-03; long)" in recalled.text


def test_the_path_of_a_file_and_the_role_of_a_message_are_shown() -> None:
    found = [memory("a", 0.9, metadata={"path": "src/db.py"}), memory("b", 0.9, metadata={"role": "user"})]
    recalled = near_memories({"memories": found}, "session", "a question", (), 800)
    assert recalled is not None
    assert "(2026-05-03, src/db.py; a)" in recalled.text
    assert "(2026-05-03, user; b)" in recalled.text


def test_a_long_prompt_is_asked_by_its_start() -> None:
    asked = question_for("x" * 5_000, 800)
    assert asked == {"query": "x" * 2_000, "limit": 10, "max_tokens": 1_600}


def test_a_session_starts_with_the_name_of_its_folder() -> None:
    assert loadout_for("/home/ada/shop/", None, 500) == {
        "task": "Work on shop",
        "memory_tokens": 500,
        "tool_tokens": 0,
    }
    assert loadout_for("C:\\work\\shop", "ops", 500) == {
        "task": "Work on shop",
        "memory_tokens": 500,
        "name": "ops",
        "tool_tokens": 500,
    }
    assert loadout_for("", None, 500) is None


def test_a_folder_that_the_memory_knows_nothing_of_starts_with_nothing() -> None:
    answer = {"name": None, "role": None, "tools": [], "memories": [memory("far", 0.1)]}
    assert starting_memories({**answer, "uncovered": ["Work on shop"]}, 800) is None
    assert starting_memories({**answer, "uncovered": None}, 800) is None
    recalled = starting_memories({**answer, "uncovered": []}, 800)
    assert recalled is not None
    assert recalled.ids == ("far",)


def test_a_loadout_file_starts_a_session_with_its_role_and_tools() -> None:
    tool = {"name": "web.search", "description": "Searches the web.\nIn English."}
    answer = {"name": "ops", "role": "You run staging.", "tools": [tool], "memories": [], "uncovered": ["Work on shop"]}
    recalled = starting_memories(answer, 800)
    assert recalled is not None
    assert recalled.text == f"{HEADER}\nYou run staging.\n- Tool web.search: Searches the web.\n  In English."
