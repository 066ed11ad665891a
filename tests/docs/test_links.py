"""Links inside the repository lead somewhere."""

from pathlib import Path

import pytest

from tests.docs.pages import LINKED, ROOT, anchors, links


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_of_the_docs_is_linked_from_the_readme() -> None:
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in links(ROOT / "README.md")}
    assert set((ROOT / "docs").glob("*.md")) <= linked


def test_the_anchor_of_a_heading_is_that_of_github(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Postgres and Qdrant servers\n\n## `store_memory`, [linked](x.md)\n\n```sh\n# no heading\n```\n")
    assert anchors(page) == {"postgres-and-qdrant-servers", "store_memory-linked"}
