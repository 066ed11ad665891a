"""PDF and office files: their pages, slides and sheets, and what happens to broken and hostile ones."""

from importlib import util
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.domain.chunk import Chunk
from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.files.selection import MAX_BYTES
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.files.walk import FoundFile, walk
from memos_mcp.ingest.formats import extraction
from memos_mcp.ingest.reading import SourceText, read
from tests.ingest.office_files import archive, docx, open_format, pdf, pptx, shape, xlsx

HEADING = '<w:p><w:pPr><w:pStyle w:val="berschrift1"/></w:pPr><w:r><w:t>Set</w:t></w:r><w:r><w:t> up</w:t></w:r></w:p>'
ODT = (
    '<text:h text:outline-level="2">Set up</text:h><text:p>a<text:s text:c="2"/>b<text:tab/>c</text:p>'
    "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>"
)
ODP = (
    '<draw:page><draw:frame presentation:class="title"><text:p>Birds</text:p></draw:frame>'
    "<draw:frame><text:p>The heron</text:p></draw:frame></draw:page>"
)
ODS = (
    '<table:table table:name="Data"><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>'
    '<table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    '<table:table-row table:number-rows-repeated="1048576"><table:table-cell/></table:table-row></table:table>'
)
BOMB = b"<w:body>" + b" " * (65 * 1024**2)


def cut(folder: Path, name: str, data: bytes) -> list[Chunk]:
    (folder / name).write_bytes(data)
    source = read(FoundFile(name, folder / name))
    assert isinstance(source, SourceText), source
    return chunks(source)


def skipped(folder: Path, name: str, data: bytes) -> str | None:
    (folder / name).write_bytes(data)
    source = read(FoundFile(name, folder / name))
    return source.reason if isinstance(source, Skipped) else None


def test_the_pages_of_a_pdf_are_numbered_in_the_metadata(tmp_path: Path) -> None:
    first, third = cut(tmp_path, "a.pdf", pdf("The heron sleeps", "", "The otter swims"))
    memory = third.new_memory("app")

    assert (first.text, third.text) == ("The heron sleeps", "The otter swims")
    assert (memory.metadata["page"], memory.metadata["symbol"]) == (3, "page 3")
    assert memory.tags == ("docs", "pdf")
    assert memory.content == "a.pdf\n\nThe otter swims"


def test_a_word_file_is_cut_by_its_headings_in_any_language_of_word(tmp_path: Path) -> None:
    long = "".join(f"<w:p><w:r><w:t>Install part {number}.</w:t></w:r></w:p>" for number in range(60))
    cells = "".join(f"<w:tc><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:tc>" for text in ("name", "value"))
    table = f"<w:tbl><w:tr>{cells}</w:tr></w:tbl>"
    deleted = "<w:p><w:del><w:r><w:delText>old</w:delText></w:r></w:del><w:r><w:t>New<w:br/></w:t></w:r></w:p>"
    notes = "<w:footnote><w:p><w:r><w:t>See below.</w:t></w:r></w:p></w:footnote>"

    made = cut(tmp_path, "a.docx", docx(f"{HEADING}{long}{table}{deleted}", footnotes=notes))

    assert {chunk.name for chunk in made} == {"Set up"}
    assert made[0].text.startswith("# Set up\n\nInstall part 0.\n\n")
    assert made[-1].text.endswith("name | value\n\nNew\n\nSee below.")
    assert made[0].new_memory("app").tags == ("docs", "docx")


def test_slides_come_in_their_order_with_titles_and_notes(tmp_path: Path) -> None:
    data = pptx(
        shape("Birds", "title") + shape("The heron"), shape("Only a title", "ctrTitle"), notes=shape("Say it", "body")
    )

    first, second = cut(tmp_path, "a.pptx", data)

    assert (first.name, first.text, first.details) == ("Birds", "The heron\nSay it", {"slide": 1})
    assert (second.name, second.text) == ("", "Only a title")
    assert second.details == {"slide": 2, "symbol": "slide 2"}


def test_sheets_keep_their_columns_dates_and_formulas(tmp_path: Path) -> None:
    rows = (
        '<row><c r="A1" t="s"><v>0</v></c><c r="C1" t="inlineStr"><is><t>day</t></is></c></row>'
        '<row><c r="A2"><v>1.5</v></c><c r="C2" s="1"><v>45325</v></c><c r="D2"><f>A2*2</f></c></row>'
    )

    (chunk,) = cut(tmp_path, "a.xlsx", xlsx({"Prices": rows, "Empty": ""}, ["price"], [0, 14]))

    assert chunk.text == "price |  | day\n1.5 |  | 2024-02-03 | =A2*2"
    assert (chunk.name, chunk.details) == ("Prices", {"sheet": 1})


def test_a_large_sheet_is_its_first_rows_and_their_count(tmp_path: Path) -> None:
    rows = "".join(f'<row><c r="A{number}"><v>{number}</v></c></row>' for number in range(1, 2_001))

    (chunk,) = cut(tmp_path, "a.xlsx", xlsx({"Data": rows}))

    assert chunk.text.endswith("19\n20\n… 1,980 more rows")


@pytest.mark.parametrize(
    ("name", "kind", "contents", "expected"),
    [
        (
            "a.odt",
            "text",
            ODT,
            ("Set up", "## Set up\n\na  b\tc\n\n- item", {}),
        ),
        (
            "a.odp",
            "presentation",
            ODP,
            ("Birds", "The heron", {"slide": 1}),
        ),
        (
            "a.ods",
            "spreadsheet",
            ODS,
            ("Data", "a", {"sheet": 1}),
        ),
    ],
)
def test_files_of_libreoffice_are_read(
    tmp_path: Path, name: str, kind: str, contents: str, expected: tuple[str, str, dict[str, Any]]
) -> None:
    (chunk,) = cut(tmp_path, name, open_format(kind, contents))

    assert (chunk.name, chunk.text, chunk.details) == expected


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.pdf", b"no PDF"),
        ("a.pdf", pdf("cut off")[:200]),
        ("a.docx", b"PK\x03\x04 no archive"),
        ("a.docx", archive({"word/document.xml": b"<w:document/>"})),
        ("a.docx", docx("<w:p>").replace(b"PK\x05\x06", b"PK\x05\x07")),
        ("a.docx", docx("") + b"\xff" * 100_000),
        ("a.docx", archive({"_rels/.rels": docx("")})),
        ("a.ods", archive({"content.xml": BOMB})),
        ("a.odt", archive({"content.xml": b"<a>" * 200_000})),
        ("a.odt", archive({"content.xml": b"<a>" * 50_000 + b"</a>" * 50_000})),
    ],
)
def test_broken_and_hostile_files_are_skipped_with_the_reason(tmp_path: Path, name: str, data: bytes) -> None:
    assert skipped(tmp_path, name, data) == SkipReason.MALFORMED


def test_expanding_entities_are_refused(tmp_path: Path) -> None:
    entities = '<!ENTITY a0 "xxxxxxxxxx">' + "".join(
        f'<!ENTITY a{number} "{f"&a{number - 1};" * 10}">' for number in range(1, 12)
    )
    content = f"<!DOCTYPE a [{entities}]><a><body><text>&a11;</text></body></a>"

    assert skipped(tmp_path, "a.odt", archive({"content.xml": content})) == SkipReason.MALFORMED


def test_a_file_that_takes_too_long_is_skipped_until_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "EXTRACT_SECONDS", 0.001)

    (tmp_path / "a.pdf").write_bytes(pdf("slow"))

    assert read(FoundFile("a.pdf", tmp_path / "a.pdf")) == Skipped("a.pdf", SkipReason.UNFINISHED, transient=True)


def test_a_text_that_is_too_long_is_skipped(tmp_path: Path) -> None:
    text = "<w:p><w:r><w:t>" + "word " * (extraction.MAX_CHARS // 5 + 1) + "</w:t></w:r></w:p>"

    assert skipped(tmp_path, "a.docx", docx(text)) == SkipReason.MALFORMED


def test_a_long_paragraph_is_broken_into_lines_at_its_spaces(tmp_path: Path) -> None:
    words = " ".join(f"heron{number}" for number in range(1_000)) + " " + "x" * 1_000
    made = cut(tmp_path, "a.docx", docx(f"<w:p><w:r><w:t>{words}</w:t></w:r></w:p>"))
    lines = "\n".join(chunk.text for chunk in made).split("\n")

    assert max(map(len, lines)) <= 400
    assert "".join(lines).replace(" ", "") == words.replace(" ", "")
    assert all(line.startswith("heron") for line in lines[:10])


def test_a_file_without_text_and_one_with_a_secret_are_skipped(tmp_path: Path) -> None:
    assert skipped(tmp_path, "a.pdf", pdf("")) == SkipReason.WITHOUT_TEXT
    assert skipped(tmp_path, "b.pdf", pdf("ghp_0123456789abcdefghijABCDEFGHIJ012345")) == SkipReason.SECRET


def test_without_the_extra_a_pdf_is_skipped_with_a_reason_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = util.find_spec
    monkeypatch.setattr(extraction, "find_spec", lambda name: None if name == "pypdfium2" else find_spec(name))

    assert skipped(tmp_path, "a.pdf", pdf("text")) == SkipReason.NEEDS_EXTRA
    assert "`documents`" in SkipReason.NEEDS_EXTRA
    assert skipped(tmp_path, "a.docx", docx(HEADING)) is None


def test_packed_files_and_notebooks_may_be_larger_than_others(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.DOCX", "c.ipynb", "d.py"):
        (tmp_path / name).write_bytes(b"x" * (MAX_BYTES + 1))

    assert [entry.path for entry in walk(tmp_path) if isinstance(entry, FoundFile)] == ["a.pdf", "b.DOCX", "c.ipynb"]
