"""Notes are split at their headings and long texts into parts, without loss."""

from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.foreign_formats.note_sections import WHOLE_CHARS, section_contents, sections, split_long

lines = st.sampled_from(["# A", "## B", "### C", "Title\n=====", "text", "", "```", "- item", "  "]) | st.text(
    max_size=9
)


@given(st.lists(lines, max_size=12))
def test_the_sections_of_a_note_are_all_of_its_lines(written: list[str]) -> None:
    body = "\n".join(written)
    assert "\n".join(part.text for part in sections(body)) == body


@given(st.text(st.sampled_from("a b\n\u20ac\U0001f600"), max_size=80), st.integers(8, 40))
def test_the_parts_of_a_long_text_fit_and_are_all_of_it(text: str, max_bytes: int) -> None:
    parts = list(split_long(text, max_bytes))
    assert "".join(parts) == text
    assert all(len(part.encode()) <= max_bytes for part in parts)


def test_a_long_text_is_split_after_paragraphs_or_else_between_words() -> None:
    text = (
        "A first paragraph.\n\nAnd a second one that is much longer than a part may be, so only words are kept whole."
    )
    first, *others = split_long(text, 100)
    assert first == "A first paragraph.\n\n"
    assert len(others) == 4
    assert all(part.endswith(" ") for part in others[:-1])


def test_a_short_note_is_one_memory_that_begins_with_its_title() -> None:
    assert section_contents("Tea", "# Tea\n\nGreen.\n\n## Black\n\nStrong.\n") == [
        "# Tea\n\nGreen.\n\n## Black\n\nStrong."
    ]
    assert section_contents("Tea", "\nGreen.\n") == ["Tea\n\nGreen."]
    assert section_contents("Tea", "\n \n") == []


def test_a_long_note_has_a_memory_for_each_heading_that_names_what_encloses_it() -> None:
    green, black = "Steep for two minutes. " * 50, "Steep for four minutes. " * 50
    body = f"# Tea\n\n## Kinds\n\n### Green\n\n{green}\n\n```\n# no heading\n```\n### Black\n{black}"
    assert len(body) > WHOLE_CHARS
    assert section_contents("Tea", body) == [
        f"# Tea\n\n## Kinds\n\n### Green\n\n{green}\n\n```\n# no heading\n```",
        f"Tea > Kinds\n\n### Black\n{black}",
    ]
