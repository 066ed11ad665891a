"""Which scripts a model's tokenizer has words of."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from memos_mcp.embedding.fastembed import FastEmbedder
from memos_mcp.embedding.vocabulary import reads
from memos_mcp.settings import DEFAULT_MODEL
from tests.language_questions import LANGUAGES

pytestmark = pytest.mark.anyio

LATIN = {"finnish", "german"}


@pytest.fixture(scope="module")
async def default_model(
    anyio_backend: str,  # noqa: ARG001 - it makes the loop
    tmp_path_factory: pytest.TempPathFactory,
) -> FastEmbedder:
    return FastEmbedder(DEFAULT_MODEL, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def multilingual() -> Tokenizer:
    """A tokenizer as multilingual models have them, with words of all these languages."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=20_000, special_tokens=["<unk>"], min_frequency=1, show_progress=False)
    tokenizer.train_from_iterator((text for both in LANGUAGES.values() for pair in both for text in pair), trainer)
    return tokenizer


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_default_model_reads_languages_in_latin_letters_only(
    default_model: FastEmbedder, language: str
) -> None:
    read = {await default_model.reads(question) for _, question in LANGUAGES[language]}
    assert read == {language in LATIN}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_multilingual_tokenizer_reads_all(multilingual: Tokenizer, language: str) -> None:
    assert all(reads(multilingual, question) for _, question in LANGUAGES[language])


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("kubectl rollout 0x80070005", True),
        ("Where does Zoë live?", True),
        ("When did 王芳 arrive in Lisbon?", True),
        ("Gdzie jest żółty łuk?", True),
        ("🦜", True),
        ("", True),
        ("你好", False),
        ("Привет, PostgreSQL, как дела сегодня", False),
    ],
)
async def test_the_script_of_most_letters_decides(default_model: FastEmbedder, text: str, read: bool) -> None:
    assert await default_model.reads(text) is read


def test_a_character_of_several_tokens_is_not_read() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(["plain words of English"], trainer)
    assert reads(tokenizer, "plain")
    assert not reads(tokenizer, "服务器")
