"""Notebooks: cells are code and Markdown with their numbers; outputs are not stored."""

import json
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.domain.chunk import Chunk
from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.files.walk import FoundFile
from memos_mcp.ingest.reading import SourceText, read

PYTHON = {"kernelspec": {"language": "python", "name": "python3"}, "language_info": {"name": "python"}}
LOAD = "%matplotlib inline\n!pip install pandas\ndef load(path):\n    return read_csv(path)\n"


def cell(kind: str, source: str | list[str], **more: Any) -> dict[str, Any]:
    return {"cell_type": kind, "source": source, "metadata": {}, **more}


def notebook(*cells: dict[str, Any], **metadata: Any) -> str:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata or PYTHON, "cells": cells})


def cut(folder: Path, text: str) -> list[Chunk]:
    file = folder / "a.ipynb"
    file.write_text(text)
    source = read(FoundFile("a.ipynb", file))
    assert isinstance(source, SourceText)
    return chunks(source)


def test_cells_are_chunks_with_their_numbers_languages_and_headings(tmp_path: Path) -> None:
    made = cut(
        tmp_path,
        notebook(
            cell("markdown", ["# Sales\n", "Of the year.\n"]),
            cell("code", ["import os\n"], outputs=[{"output_type": "stream", "text": ["noise\n"]}], execution_count=1),
            cell("markdown", "## Loading\n\nReads the file."),
            cell("code", LOAD.splitlines(keepends=True)),
        ),
    )

    assert [(chunk.language, chunk.name, chunk.details["cell"]) for chunk in made] == [
        ("markdown", "Sales", 1),
        ("python", "Sales", 2),
        ("markdown", "Sales > Loading", 3),
        ("python", "Sales > Loading > load", 4),
    ]
    assert made[3].text == LOAD.rstrip("\n")
    assert "noise" not in "".join(chunk.content for chunk in made)


def test_a_cell_without_a_name_is_called_by_its_number_in_the_metadata_only(tmp_path: Path) -> None:
    (chunk,) = cut(tmp_path, notebook(cell("code", "print(1)")))
    memory = chunk.new_memory("app")

    assert memory.metadata["symbol"] == "cell 1"
    assert memory.metadata["cell"] == 1
    assert memory.metadata["lines"] == [1, 1]
    assert memory.tags == ("code", "python")
    assert "cell" not in memory.content  # a cell that is inserted above must not change the ones below


def test_a_notebook_with_large_outputs_is_no_generated_file(tmp_path: Path) -> None:
    image = {"output_type": "display_data", "data": {"image/png": "iVBOR" * 100_000}}

    (chunk,) = cut(tmp_path, notebook(cell("code", "plot()", outputs=[image])))

    assert chunk.text == "plot()"


def test_a_picture_inside_of_markdown_is_not_stored(tmp_path: Path) -> None:
    (chunk,) = cut(tmp_path, notebook(cell("markdown", f"A heron: ![](data:image/png;base64,{'iVBOR' * 100_000})")))

    assert chunk.text == "A heron: ![](data:image/png;base64,…)"


def test_a_cell_magic_names_the_language_of_its_cell(tmp_path: Path) -> None:
    made = cut(tmp_path, notebook(cell("code", "%%bash\nls -l"), cell("code", "%%time\nf()"), cell("raw", "as is")))

    assert [chunk.language for chunk in made] == ["shell", "python", None]


@pytest.mark.parametrize(
    ("metadata", "language"),
    [
        ({"kernelspec": {"name": "ir", "language": "R"}}, "r"),
        ({"language_info": {"name": "julia"}}, "julia"),
        ({"kernelspec": None, "language_info": {"name": "C++"}}, "cpp"),
        ({"name": "none"}, None),
    ],
)
def test_the_kernel_names_the_language(tmp_path: Path, metadata: dict[str, Any], language: str | None) -> None:
    assert [chunk.language for chunk in cut(tmp_path, notebook(cell("code", "x"), **metadata))] == [language]


def test_a_notebook_of_format_3_is_read(tmp_path: Path) -> None:
    old = {"nbformat": 3, "metadata": {}, "worksheets": [{"cells": [{"cell_type": "code", "input": ["x = 1"]}]}]}

    assert [chunk.text for chunk in cut(tmp_path, json.dumps(old))] == ["x = 1"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<<<<<<< HEAD\n{}", SkipReason.MALFORMED),
        ("[]", SkipReason.MALFORMED),
        ('{"cells": [{"cell_type": "code", "source": 3}]}', SkipReason.MALFORMED),
        ("[" * 100_000, SkipReason.MALFORMED),
        (notebook(cell("code", "  ")), SkipReason.EMPTY),
        (notebook(), SkipReason.EMPTY),
        (" ", SkipReason.EMPTY),
        (notebook(*[cell("code", "x")] * 10_001), SkipReason.TOO_LARGE),
        (notebook(cell("code", "x = 1\n" * 200_000)), SkipReason.TOO_LARGE),
        (notebook(cell("code", "key = 'ghp_0123456789abcdefghijABCDEFGHIJ012345'")), SkipReason.SECRET),
    ],
)
def test_a_notebook_that_cannot_be_stored_is_skipped_with_the_reason(
    tmp_path: Path, text: str, reason: SkipReason
) -> None:
    (tmp_path / "a.ipynb").write_text(text)

    assert read(FoundFile("a.ipynb", tmp_path / "a.ipynb")) == Skipped("a.ipynb", reason)
