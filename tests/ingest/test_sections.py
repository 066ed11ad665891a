"""Single-file components: script, style and template, each in its language and with its lines."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.chunk import Chunk
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.file_contents import Contents, read_contents
from memos_mcp.ingest.reading import SourceText

VUE = """\
<script setup lang="ts">
import { ref } from "vue";

export function increment(count: number): number {
  return count + 1;
}
</script>

<template>
  <button @click="n = increment(n)">{{ n }}</button>
</template>

<style scoped lang="scss">
button { color: red; }
</style>
"""
SVELTE = """\
<script>
  export let name;
  function greet() { return `hello ${name}`; }
</script>

{#if name && 1 < 2}
  <h1>{greet()}</h1>
{/if}

<style>
  h1 { color: red; }
</style>
"""
ASTRO = """\
---
import Layout from "../Layout.astro";
interface Props { title: string }
const style = "<style>";
---
<Layout>
  <h1>Title</h1>
</Layout>
<script>console.log("ready");</script>
"""


def cut(text: str, path: str) -> list[Chunk]:
    contents = read_contents(path, text.encode())
    assert isinstance(contents, Contents)
    return chunks(SourceText(path, b"", contents.language, contents.text, contents.encoding, contents.parts))


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (
            "a/Counter.vue",
            VUE,
            [
                ("typescript", "script > increment", 2, 6),
                ("vue", "template", 9, 11),
                ("css", "style", 14, 14),
            ],
        ),
        (
            "Greet.svelte",
            SVELTE,
            [
                ("javascript", "script > name, greet", 2, 3),
                ("svelte", "template", 6, 8),
                ("css", "style", 11, 11),
            ],
        ),
        (
            "index.astro",
            ASTRO,
            [
                ("typescript", "script > Props, style", 2, 4),
                ("astro", "template", 6, 8),
                ("typescript", "script", 9, 9),
            ],
        ),
    ],
)
def test_the_sections_of_a_component_are_cut_in_their_languages_with_their_lines(
    path: str, text: str, expected: list[tuple[str, str, int, int]]
) -> None:
    made = cut(text, path)

    assert [(one.language, one.name, one.first_line, one.last_line) for one in made] == expected
    lines = text.split("\n")
    assert all(one.text == "\n".join(lines[one.first_line - 1 : one.last_line]) for one in made)


def test_a_long_method_in_a_component_is_cut_by_its_syntax_and_keeps_its_lines() -> None:
    body = "\n".join(f"    total = computeSomething(total, {number});" for number in range(60))
    script = f"export function sum(items) {{\n{body}\n    return total;\n}}\n"
    text = f"<template>\n  <p/>\n</template>\n<script>\n{script}</script>\n"

    made = cut(text, "a.vue")
    lines = text.split("\n")

    assert {one.name for one in made[1:]} == {"script > sum"}
    for one in made[2:]:
        own = one.text.split("\n")
        assert own[:2] == ["export function sum(items) {", "    // …"]
        assert own[2:] == lines[one.first_line - 1 : one.last_line]


@given(
    st.lists(
        st.sampled_from(
            ["<script>", "</script>", "<style>", "</style>", "---", "const a = 1;", "<p>", "\n", "{a < b}"]
        ),
        max_size=40,
    ),
    st.sampled_from(["a.vue", "a.svelte", "a.astro"]),
)
def test_each_written_line_of_a_component_is_in_a_chunk(words: list[str], path: str) -> None:
    text = "".join(words) + "end"
    made = cut(text, path)
    lines = text.split("\n")

    covered = {line for one in made for line in one.text.split("\n")}
    tags = re.compile(r"(<script>|</script>|<style>|</style>|---)*")
    assert {line for line in lines if line.strip() and not tags.fullmatch(line)} <= covered
    for one in made:
        assert one.text.split("\n")[-1] == lines[one.last_line - 1]
