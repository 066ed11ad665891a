"""HTML pages: their text by headings, with the lines of the file."""

from textwrap import dedent
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.chunk import Chunk
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.file_contents import Contents, read_contents
from memos_mcp.ingest.reading import SourceText

PAGE = """\
<!DOCTYPE html>
<html>
<head>
  <title>Guide &amp; help</title>
  <style>p { color: red }</style>
  <script>var tracked = "<h1>no</h1>";</script>
</head>
<body>
<nav><ul><li>Home</li></ul></nav>
<!-- <h1>old</h1> -->
<h1>Set
  up</h1>
<p title="a > b">First <b>install</b> it,
then run it.</p>
<h2>Options</h2>
<ul>
  <li>fast</li>
  <li>safe</li>
</ul>
<table><tr><th>name</th><th>value</th></tr></table>
<pre>
def f():
    return 1 &lt; 2
</pre>
</body>
</html>
"""


def cut(text: str, path: str = "a.html") -> list[Chunk]:
    contents = read_contents(path, text.encode())
    assert isinstance(contents, Contents)
    return chunks(SourceText(path, b"", contents.language, contents.text, contents.encoding, contents.parts))


def test_a_page_is_cut_by_its_headings_without_tags_scripts_styles_and_navigation() -> None:
    title, set_up, options = cut(PAGE.replace("then run it.", f"then run it. {'It is fast. ' * 20}"))

    assert (title.text, title.name, title.first_line) == ("Guide & help", "", 4)
    assert set_up.text.startswith("# Set up\n\nFirst install it,\nthen run it. It is fast.")
    assert (set_up.name, set_up.first_line, set_up.last_line) == ("Set up", 11, 14)
    assert options.name == "Set up > Options"
    assert options.text == ("## Options\n\n- fast\n- safe\n\nname | value\n\ndef f():\n    return 1 < 2")
    assert (options.first_line, options.last_line) == (15, 23)
    assert options.new_memory("app").tags == ("docs", "html")


@pytest.mark.parametrize(
    "text", ["<div>{{ name }}</div>\n", "<!doctype html><p>{% block a %}\n", "<p>A fragment</p>\n"]
)
def test_a_template_and_a_fragment_are_cut_with_their_tags(text: str) -> None:
    (chunk,) = cut(text)

    assert chunk.text == text.rstrip()
    assert chunk.new_memory("app").tags == ("code", "html")


def test_a_page_without_text_is_cut_with_its_tags() -> None:
    text = '<!doctype html>\n<html><body><div id="root"></div></body></html>\n'

    assert cut(text)[0].text == text.rstrip()


def test_a_long_script_of_a_page_is_code_of_its_own() -> None:
    script = "".join(f"function step{number}() {{\n  return {number};\n}}\n" for number in range(5))
    page = f"<!doctype html>\n<h1>Game</h1>\n<script>\n{script}</script>\n"

    heading, code = cut(page)

    assert heading.text == "# Game"
    assert (code.language, code.name) == ("javascript", "script > step0, step1, step2, step3, step4")
    assert (code.first_line, code.last_line) == (4, 18)


def test_navigation_that_is_never_closed_hides_nothing() -> None:
    page = "<!doctype html>\n<nav>Home\n<h1>Title</h1>\n<p>Text</p>\n"

    assert cut(page)[0].text == page.rstrip()


@pytest.mark.parametrize(
    "unit",
    ["<", "<a ", "<a '", '<a "', "<!--", "<script>", "</script>", "<h1>", "<p>x", "&lt;", "<a '>", "<nav>", "<style"],
)
def test_hostile_markup_takes_linear_time(unit: str) -> None:
    text = "<!doctype html>" + unit * (400_000 // len(unit))

    started = monotonic()
    read_contents("a.html", text.encode())

    assert monotonic() - started < 10


@given(
    st.lists(st.sampled_from(["<p>", "</p>", "<h1>", "<!--", "-->", "word", "&amp;", "\n", "<pre>", "<b a='", "'>"]))
)
def test_line_numbers_of_a_page_only_grow_and_are_lines_of_the_file(words: list[str]) -> None:
    text = "<!doctype html>" + dedent(" ".join(words)) + "end"

    for chunk in cut(text):
        assert 1 <= chunk.first_line <= chunk.last_line <= text.count("\n") + 1
