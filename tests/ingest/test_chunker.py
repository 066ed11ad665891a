from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memos_mcp.domain.chunk import Chunk
from memos_mcp.ingest import chunker as chunks_module
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.code.grammars import GRAMMARS
from memos_mcp.ingest.reading import SourceText
from memos_mcp.ingest.text.text_lines import LIMIT, cost

ROOT = Path(__file__).parents[2]

LANGUAGES = st.sampled_from([*GRAMMARS, "markdown", "restructuredtext", "json", None])
SNIPPETS = st.sampled_from(
    [
        *("class A:", "def f(a, b):", "    def g(self):", "        return 1", "    x = 1", "@decorated", "# comment"),
        *("// comment", "/* open", "close */", "func (s *Server) Serve() {", "fn main() {", "impl A for B {", "});"),
        *("public class A {", "    int f() {", "template <class T>", "struct a {", "}", "if (x) {", "} else {", ""),
        *("#ifdef X", "#endif", "export default function() {", "const a = () => {", "'''doc", '"unclosed', "# Title"),
        *(
            "=====",
            "~~~",
            "```",
            "namespace n {",
            "a = [",
            "    1, 2,",
            "]",
            'é = "ünï 🦜"',
            "\tx",
            "\x0b",
            "\u2028",
            "\r",
        ),
    ]
)
LONG = st.sampled_from(["word " * 60, "x" * 3_000, "a + " * 90])
TEXTS = st.lists(SNIPPETS | LONG, max_size=150).map("\n".join) | st.text(max_size=300)


def of(text: str, language: str | None, path: str = "a/b.x") -> list[Chunk]:
    return chunks(SourceText(path, sha256(text.encode()).digest(), language, text))


def named(text: str, language: str) -> list[str]:
    return [chunk.name for chunk in of(dedent(text), language)]


def body(lines: int, line: str = "    total = compute_something(total, {0})") -> str:
    return "\n".join(line.format(number) for number in range(lines))


@settings(max_examples=300)
@given(TEXTS, LANGUAGES)
def test_chunks_cover_every_nonblank_line_and_hold_exactly_their_lines(text: str, language: str | None) -> None:
    lines = text.split("\n")
    made = of(text, language)
    covered: set[str] = set()
    for chunk in made:
        count = chunk.last_line - chunk.first_line + 1
        own = chunk.text.split("\n")[-count:]
        assert own == lines[chunk.first_line - 1 : chunk.last_line]
        covered.update(own)

    # Of equal chunks only one is kept, so the text of each line must occur, not the line itself.
    assert {line for line in lines if line.strip()} <= covered
    assert all(a.last_line < b.first_line for a, b in pairwise(made))
    assert len({chunk.content for chunk in made}) == len(made)


@settings(max_examples=300)
@given(TEXTS, LANGUAGES)
def test_no_chunk_exceeds_the_limit_except_a_single_line(text: str, language: str | None) -> None:
    for chunk in of(text, language):
        assert cost(chunk.text) <= LIMIT or chunk.first_line == chunk.last_line


@given(TEXTS, LANGUAGES)
def test_cutting_is_deterministic(text: str, language: str | None) -> None:
    assert of(text, language) == of(text, language)


def test_methods_are_named_with_their_class_and_the_class_has_a_chunk_of_its_own() -> None:
    inner = body(12, "        total = compute_something(total, {0})")
    text = (
        'class QuerySet(Base):\n    """Represent a lazy lookup."""\n\n    model = None\n\n'
        f"    def filter(self, *args):\n{inner}\n\n    @property\n    def ordered(self):\n{inner}\n"
    )

    made = of(text, "python")

    assert [(chunk.symbol, chunk.enclosing) for chunk in made] == [
        ("QuerySet", ()),
        ("filter", ("QuerySet",)),
        ("ordered", ("QuerySet",)),
    ]
    assert made[0].text.startswith("class QuerySet(Base):\n")
    assert made[0].text.endswith("model = None")
    assert made[2].text.startswith("    @property\n")


def test_comments_directly_above_a_definition_belong_to_it_and_others_do_not() -> None:
    text = f"import os\n\n# About nothing: {'word ' * 30}\n\n# About f.\n# More.\ndef f():\n{body(12)}\n"

    first, second = of(text, "python")

    assert first.text.endswith("word ")
    assert second.text.startswith("# About f.\n# More.\ndef f():")


def test_a_large_function_is_cut_between_statements_with_its_signature_repeated() -> None:
    text = f"def total_of(items: list[int], start: int = 0) -> int:\n{body(40)}\n    return total\n"

    first, *others = of(text, "python")

    assert len(others) > 1
    assert first.text.startswith("def total_of(")
    for chunk in others:
        assert chunk.name == "total_of"
        assert chunk.text.startswith("def total_of(items: list[int], start: int = 0) -> int:\n    # …\n    ")
        compile(chunk.text, "chunk", "exec")


def test_a_statement_that_fits_is_not_cut() -> None:
    call = "    handle(\n        first_argument={0},\n        second_argument=other_value,\n    )"

    for chunk in of(f"def f():\n{body(30, call)}\n", "python"):
        assert chunk.text.rstrip().endswith(")")


def test_small_neighbours_share_a_chunk_that_names_them_all() -> None:
    assert named("def a():\n    return 1\n\n\ndef b():\n    return 2\n\n\nLIMIT = 3\n", "python") == ["a, b, LIMIT"]


def test_a_change_in_one_function_changes_only_its_chunk() -> None:
    functions = [f"def f{number}():\n{body(10)}\n\n" for number in range(20)]
    before = of("\n".join(functions), "python")
    functions[7] = functions[7].replace("total", "result")
    after = of("\n".join(["# A new line above.\n", *functions]), "python")

    changed = {chunk.content for chunk in after} - {chunk.content for chunk in before}

    assert all("new line above" in content or "f7" in content for content in changed)
    assert len(changed) == 2


def test_equal_definitions_in_a_file_become_one_chunk() -> None:
    same = f"def f():\n{body(10)}\n"

    assert len(of(same + "\n\n" + same, "python")) == 1


BODY = "\n" + body(13, "    total = compute_something(total, {0});") + "\n"
FIELDS = "\n" + body(16, "    total_of_things_{0}: number;") + "\n"
GO_FIELDS = "\n" + body(16, "    total_of_things_{0} int") + "\n"


SOURCES = {
    "go": f"""package a

// Serve does.
func (s *Server[T]) Serve() {{{BODY}}}

type Server struct {{{GO_FIELDS}}}
""",
    "rust": f"""#[inline]
fn one() {{{BODY}}}

impl<T> Trait for Glob<T> {{
    fn two() {{{BODY}    }}
    fn three() {{{BODY}    }}
}}
""",
    "java": f"class A {{\n  @Override\n  public int one() {{{BODY}  }}\n\n  int two() {{{BODY}  }}\n}}\n",
    "c": f"#ifndef A_H\n#define A_H\nstatic int *one(int a)\n{{{BODY}}}\n\nint two(void) {{{BODY}}}\n#endif\n",
    "cpp": f"""namespace n {{
class A {{
 public:
  int one() {{{BODY}  }}
  int three() {{{BODY}  }}
}};
int A::two() {{{BODY}}}
}}
""",
    "javascript": f"""export class A {{
  one() {{{BODY}  }}
  four() {{{BODY}  }}
}}
export const two = () => {{{BODY}}};
exports.three = function () {{{BODY}}};
""",
    "typescript": f"""namespace N {{
  export interface I {{{FIELDS}  }}
  export const one = () => {{{BODY}  }};
}}
abstract class B {{
  f(): void {{{BODY}  }}
  g(): void {{{BODY}  }}
}}
""",
    "tsx": f"export function App() {{{BODY}  return <App />;\n}}\n",
}


@pytest.mark.parametrize(
    ("language", "names"),
    [
        ("go", ["Server.Serve", "Server"]),
        ("rust", ["one", "Glob.two", "Glob.three"]),
        ("java", ["A.one", "A.two"]),
        ("c", ["A_H, one", "two"]),
        ("cpp", ["n.A.one", "n.A.three", "n.A::two"]),
        ("javascript", ["A.one", "A.four", "two", "exports.three"]),
        ("typescript", ["N.I", "N.one", "B.f", "B.g"]),
        ("tsx", ["App"]),
    ],
)
def test_names_are_found_in_each_language(language: str, names: Sequence[str]) -> None:
    found = [chunk.name for chunk in of(SOURCES[language], language)]

    assert [name for name in dict.fromkeys(found) if name in names] == list(names)


def test_text_that_does_not_parse_is_cut_by_lines() -> None:
    text = "\n\n".join(["This is not Python at all, is it? {" * 3] * 3 + ["And (this) [neither!"] * 3)

    made = of(text, "python")

    assert made
    assert {chunk.symbol for chunk in made} == {None}


def test_a_failing_parser_costs_only_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(chunks_module.syntax, "units", failing)  # type: ignore[attr-defined]  # imported there

    assert [chunk.text for chunk in of("def f(): ...", "python")] == ["def f(): ..."]


def test_extremely_deep_nesting_is_cut_by_lines() -> None:
    for text in (
        "int " + "*" * 5_000 + "x;",
        "x = " + "(" * 20_000,
        "\n".join(" " * deep + "if x:" for deep in range(500)),
    ):
        for language in ("c", "python", "javascript"):
            assert of(text, language)


def test_markdown_sections_know_their_parent_headings_and_ignore_those_in_code() -> None:
    prose = "Words that say something about this. " * 8
    text = f"""Preamble.

# Guide

{prose}

## Setup ##

```sh
# no heading
```

{prose}

Other
-----
{prose}
"""
    made = of(text, "markdown")

    assert [chunk.name for chunk in made] == ["", "Guide", "Guide > Setup", "Guide > Other"]
    assert "# no heading" in made[2].text
    assert made[3].text.startswith("Other\n-----\n")


def test_restructuredtext_titles_are_recognized_by_their_underlines() -> None:
    prose = "Words that say something about this. " * 8
    titles = ["=====\nGuide\n=====", "Setup\n=====", "Linux\n~~~~~", "Other\n====="]

    made = of("\n\n".join(f"{title}\n\n{prose}" for title in titles), "restructuredtext")

    assert [chunk.name for chunk in made] == ["Guide", "Guide > Setup", "Guide > Setup > Linux", "Guide > Other"]
    assert made[0].first_line == 1


def test_plain_text_is_cut_between_paragraphs() -> None:
    paragraph = "\n".join(["A line of a paragraph that continues for a while."] * 5)

    for chunk in of("\n\n".join(f"{number}. {paragraph}" for number in range(12)), None):
        assert chunk.text[0].isdigit()
        assert chunk.text.endswith("while.")


def test_the_code_of_this_package_is_cut_into_named_chunks_that_fit() -> None:
    files = sorted((ROOT / "memos_mcp").rglob("*.py"))
    made = [chunk for file in files for chunk in of(file.read_text(), "python", file.relative_to(ROOT).as_posix())]

    assert sum(cost(chunk.content) <= LIMIT for chunk in made) > 0.98 * len(made)
    assert sum(chunk.symbol is not None for chunk in made) > 0.8 * len(made)
    assert "Chunk.new_memory" in {chunk.name for chunk in made}
    for chunk in made:
        chunk.new_memory("memos").check()
