from typing import Any

import pytest

from memos_mcp.orchestrator.endpoint_words import refusal, shown


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("model 'qwen3:8b' not found, try pulling it first", "model 'qwen3:8b' not found, try pulling it first"),
        ("registry.ollama.ai/library/gemma3:4b does not support tools",) * 2,
        ("The model `mistralai/Mistral-Small-3.1-24B-Instruct-2503` does not exist.",) * 2,
        ("Incorrect API key provided: sk-proj-ab12****90.", "Incorrect API key provided: [removed]"),
        ("Invalid Authorization: Bearer abcdef", "Invalid Authorization: [removed]"),
        ("GET https://user:pw@10.0.0.5:8000/v1?key=1 failed", "GET [removed] failed"),
        ("dial tcp 10.1.2.3:11434: connection refused", "dial tcp [removed]: connection refused"),
        ("dial tcp [fd00::1]:80 and gpu-7.corp and localhost:8080", "dial tcp [removed] and [removed] and [removed]"),
        ("request 4f1d9c0ab37e4d21a0c6b1f2e5d8a973 failed", "request [removed] failed"),
        ("api_key=abc&x=1", "api_key=[removed]&x=1"),
        ("This model's maximum context length is 8192 tokens.",) * 2,
        ('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',) * 2,
        (
            "Basic authentication: skip-this key-value of AIzaSyA1b2c3d4e5",
            "Basic authentication: skip-this key-value of [removed]",
        ),
        ("two\nlines\x1b[31m", "two lines [31m"),
    ],
)
def test_words_are_shown_without_addresses_keys_and_long_tokens(message: str, words: str) -> None:
    assert shown(message, model="mistralai/Mistral-Small-3.1-24B-Instruct-2503") == words


def test_what_must_not_be_shown_is_removed_wherever_it_is() -> None:
    assert (
        shown("key=k1 and k1-more at vllm", secrets=("k1", "vllm")) == "key=[removed] and [removed]-more at [removed]"
    )


def test_long_words_are_cut_and_a_page_of_a_proxy_is_not_shown() -> None:
    assert len(shown("word " * 500)) < 500
    assert (
        refusal(502, "<html><body>Bad gateway</body></html>").reason == "the model's endpoint answered with status 502"
    )


@pytest.mark.parametrize("body", [None, [], {}, {"error": None}, {"error": {"message": 5}}, 7, [[]]])
def test_a_refusal_without_words_is_its_status(body: Any) -> None:
    assert refusal(500, body).reason == "the model's endpoint answered with status 500"


def test_the_words_of_a_provider_behind_are_shown() -> None:
    body = {"message": "Provider returned error", "code": 400, "metadata": {"raw": "Unexpected role"}}
    assert refusal(400, body).words == "Provider returned error: Unexpected role"


@pytest.mark.parametrize(
    ("message", "function"),
    [
        ("Invalid schema for function 'web_search': no", "web_search"),
        ("tools[4].function.parameters is invalid", 4),
        ("tools.12.custom.input_schema: input_schema does not support oneOf", 12),
        ("* GenerateContentRequest.tools[0].function_declarations[3].parameters: missing field", 3),
        ("JSON schema conversion failed", None),
    ],
    ids=["OpenAI", "OpenAI's param", "Anthropic", "Gemini", "llama.cpp"],
)
def test_a_refusal_of_a_schema_names_the_function(message: str, function: str | int | None) -> None:
    refused = refusal(400, {"error": {"message": message}})
    assert (refused.is_about_schemas, refused.function) == (True, function)


def test_a_refused_key_is_not_about_the_context_or_a_schema() -> None:
    refused = refusal(401, {"error": {"message": "schema context length"}})
    assert not refused.is_about_schemas
    assert not refused.is_context_too_long
