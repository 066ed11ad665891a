from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.chunk import Chunk

PATHS = st.lists(st.text(st.sampled_from('ab"\\é🦜 .'), min_size=1).filter(lambda part: part != "."), min_size=1).map(
    lambda parts: "/".join(parts)[:4_096].strip("/") or "a"
)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]))


def chunk(
    path: str = "app/db/query.py", symbol: str | None = "filter", text: str = "def filter(self): ...", line: int = 10
) -> Chunk:
    return Chunk(path, "python", symbol, ("QuerySet",), line, line, text)


def test_the_content_names_the_path_and_the_symbol_in_its_class() -> None:
    assert chunk().content == "app/db/query.py\nQuerySet.filter\n\ndef filter(self): ..."


def test_the_text_of_a_chunk_without_a_symbol_follows_the_path() -> None:
    assert Chunk("a.txt", None, None, (), 1, 1, "hello").content == "a.txt\n\nhello"


def test_headings_are_joined_from_the_outermost_to_the_innermost() -> None:
    assert (
        Chunk("a.md", "markdown", "Setup", ("Guide", "On Linux 2.6"), 1, 1, "x").name == "Guide > On Linux 2.6 > Setup"
    )


def test_an_edit_above_changes_the_lines_but_not_the_content() -> None:
    before, after = chunk(line=10).new_memory("django"), chunk(line=12).new_memory("django")

    assert before.content_hash == after.content_hash
    assert (before.metadata["lines"], after.metadata["lines"]) == ([10, 10], [12, 12])


def test_a_memory_can_be_filtered_by_source_path_every_folder_language_and_symbol() -> None:
    new = chunk().new_memory("django")

    assert new.kind == "document"
    assert new.metadata == {
        "source": "django",
        "path": "app/db/query.py",
        "folders": ["app", "app/db"],
        "lines": [10, 10],
        "language": "python",
        "symbol": "QuerySet.filter",
    }


def test_tags_distinguish_code_prose_and_settings() -> None:
    tags = {
        language: Chunk("a", language, None, (), 1, 1, "x").new_memory("s").tags
        for language in ("python", "markdown", "toml", None)
    }

    assert tags == {
        "python": ("code", "python"),
        "markdown": ("docs", "markdown"),
        "toml": ("config", "toml"),
        None: ("docs",),
    }


@given(PATHS, NAMES, st.lists(NAMES).map(tuple), st.integers(min_value=1, max_value=300_000))
def test_every_chunk_makes_a_memory_that_can_be_stored(
    path: str, symbol: str, enclosing: tuple[str, ...], size: int
) -> None:
    Chunk(path, "python", symbol, enclosing, 1, 1, "é" * size).new_memory("s" * 255).check()


def test_the_outermost_of_a_thousand_folders_are_kept() -> None:
    path = "/".join(["folder"] * 500 + ["a.py"])

    new = chunk(path=path).new_memory("source")

    new.check()
    assert new.metadata["folders"][:2] == ["folder", "folder/folder"]
    assert new.metadata["path"] == path
