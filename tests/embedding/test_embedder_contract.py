"""The contract of the `Embedder` port, for the default model and for the tests' own embedder."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
import numpy as np
import pytest

from memos_mcp.domain.index import Embedder, Shape, Span, Vector
from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.settings import DEFAULT_MODEL
from tests.fakes import HashEmbedder

pytestmark = pytest.mark.anyio

UNUSUAL = ["", " ", "\n\t", "?!", "\u200b", "\x00", "🦜 e\u0301 \u200b ﷺ", "日本語の文章です。", "x"]
VERY_LONG = ("Every word of this text counts, up to the very last one. " * 5_000)[: 256 * 1024]


@dataclass(frozen=True)
class Subject:
    """An embedder, the shape and window that it states, and how it counts the tokens of a text."""

    embedder: Embedder
    shape: Shape
    window: int
    count_tokens: Callable[[str], int]


@pytest.fixture(scope="module", params=["fastembed", "hash"])
async def subject(
    request: pytest.FixtureRequest,
    anyio_backend: str,  # noqa: ARG001 - it makes the loop
    tmp_path_factory: pytest.TempPathFactory,
) -> Subject:
    if request.param == "hash":
        fake = HashEmbedder(dimensions=64, window=50)
        return Subject(fake, Shape("hashed-words-64", 64), 50, lambda text: len(re.findall(r"\w+", text)))
    embedder = FastEmbedder(DEFAULT_MODEL, tmp_path_factory.mktemp("model"))
    await embedder.load()
    model = await embedder._loader.get()
    return Subject(embedder, Shape(DEFAULT_MODEL, 384), 256, lambda text: len(model.tokenizer.encode(text).ids))


@pytest.fixture
def embedder(subject: Subject) -> Embedder:
    return subject.embedder


def cosine(a: Vector, b: Vector) -> float:
    return float(a @ b)


def length(vector: Vector) -> float:
    return math.sqrt(cosine(vector, vector))


async def test_the_shape_has_the_model_s_name_and_the_size_of_its_vectors(subject: Subject) -> None:
    assert await subject.embedder.shape() == subject.shape
    assert subject.embedder.model == subject.shape.model


async def test_no_texts_give_no_vectors_and_no_spans(embedder: Embedder) -> None:
    assert await embedder.passages([]) == []
    assert await embedder.queries([]) == []
    assert await embedder.split([]) == []


async def test_vectors_have_the_stated_dimensions_and_unit_length(subject: Subject) -> None:
    texts = ["a heron stood by the lake", "short", *UNUSUAL]
    for vector in [*await subject.embedder.passages(texts), *await subject.embedder.queries(texts)]:
        assert len(vector) == subject.shape.dimensions
        assert all(math.isfinite(value) for value in vector)
        assert length(vector) == pytest.approx(1.0, abs=1e-4)


async def test_a_batch_gives_each_text_the_vector_it_has_alone_in_order(embedder: Embedder) -> None:
    texts = [f"{'long ' * (40 * (number % 3))}text number {number}" for number in range(50)]

    passages, queries = await embedder.passages(texts), await embedder.queries(texts)

    assert len(passages) == len(queries) == 50
    for number in (0, 1, 2, 25, 49):
        [passage] = await embedder.passages([texts[number]])
        [query] = await embedder.queries([texts[number]])
        assert passages[number] == pytest.approx(passage, abs=1e-5)
        assert queries[number] == pytest.approx(query, abs=1e-5)


async def test_the_same_text_has_the_same_vector_each_time(embedder: Embedder) -> None:
    text = "the boiler key hangs on a nail in the cellar"

    first, second = await embedder.passages([text, text])
    [again] = await embedder.passages([text])

    assert first == pytest.approx(second, abs=1e-6)
    assert first == pytest.approx(again, abs=1e-6)
    assert np.array_equal((await embedder.queries([text, text]))[1], (await embedder.queries([text]))[0])


async def test_a_question_is_near_to_the_passage_of_the_same_text_and_nearer_than_to_another(
    embedder: Embedder,
) -> None:
    texts = ["the cat sleeps on the sofa", "invoices are paid within thirty days"]

    passages, queries = await embedder.passages(texts), await embedder.queries(texts)

    for number in (0, 1):
        assert cosine(queries[number], passages[number]) > 0.99
        assert cosine(queries[number], passages[1 - number]) < 0.6


@pytest.mark.parametrize(
    "text",
    [
        "The gardener waters the roses. They bloom in June!\n\n" * 400,
        "日本語の文章です。" * 200,
        "supercalifragilisticexpialidocious-" * 120,
        "🦜 e\u0301 \u200b ﷺ " * 200,
        "a" * 99 + "zqx" * 3_000,
        " ".join(f"0x{number**9:x}" for number in range(300)),
        "x",
    ],
    ids=["prose", "no spaces", "long words", "odd characters", "one word", "identifiers", "one letter"],
)
async def test_a_long_text_is_split_into_spans_that_fit_and_cover_it(subject: Subject, text: str) -> None:
    [spans] = await subject.embedder.split([text])

    parts = [text[span.start : span.end] for span in spans]
    covered = {position for span in spans for position in range(*span)}
    assert max(map(subject.count_tokens, parts)) <= subject.window
    assert all(position in covered for position, character in enumerate(text) if not character.isspace())
    assert spans == sorted(spans)
    assert await subject.embedder.split(parts) == [[Span(0, len(part))] for part in parts]


async def test_a_text_that_fits_is_one_span_whatever_it_consists_of(embedder: Embedder) -> None:
    texts = ["a heron stood by the lake", *UNUSUAL]

    assert await embedder.split(texts) == [[Span(0, len(text))] for text in texts]


async def test_a_question_beyond_the_window_has_a_vector(subject: Subject) -> None:
    [vector] = await subject.embedder.queries([VERY_LONG])

    assert len(vector) == subject.shape.dimensions
    assert length(vector) == pytest.approx(1.0, abs=1e-4)


async def test_concurrent_calls_have_the_results_that_each_has_alone(embedder: Embedder) -> None:
    texts = [f"{'many words and more ' * number}number {number}" for number in range(6)]
    passages = {text: (await embedder.passages([text]))[0] for text in texts}
    queries = {text: (await embedder.queries([f"{text} "]))[0] for text in texts}
    spans = {text: (await embedder.split([text]))[0] for text in texts}
    results: dict[str, tuple[Sequence[Vector], Sequence[Vector], list[list[Span]]]] = {}

    async def embed(text: str) -> None:
        vectors = await embedder.passages([text])
        results[text] = vectors, await embedder.queries([text]), await embedder.split([text])

    async with anyio.create_task_group() as tasks:
        for text in texts:
            tasks.start_soon(embed, text)

    assert results.keys() == set(texts)
    for text, ([passage], [query], [found]) in results.items():
        assert passage == pytest.approx(passages[text], abs=1e-5)
        assert query == pytest.approx(queries[text], abs=1e-5)
        assert found == spans[text]
