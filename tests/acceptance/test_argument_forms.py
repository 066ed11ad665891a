"""Models send arguments in many forms; over either transport each is understood, or refused with what is expected."""

import pytest

from tests.acceptance.raw_clients import RawClient
from tests.mcp_server.argument_forms import REFUSED, REQUIRED, UNDERSTOOD

pytestmark = pytest.mark.anyio


async def test_every_form_with_a_single_reading_is_understood_and_noted(client: RawClient) -> None:
    for form in UNDERSTOOD:
        found = (await client.call(form.tool, {**REQUIRED[form.tool], form.name: form.sent})).data
        noted = f"{form.name} " in found.get("note", "") and " was read as " in found["note"]
        assert noted or form.sent == form.means or form.name == "occurred_at", form


async def test_every_other_form_is_refused_with_what_is_expected(client: RawClient) -> None:
    for form in REFUSED:
        refusal = (await client.call(form.tool, {**REQUIRED[form.tool], form.name: form.sent})).refusal
        assert form.refused is not None
        assert form.refused in refusal


async def test_a_memory_holds_what_its_arguments_were_read_as(client: RawClient) -> None:
    sent = {
        "content": '["null"]',
        "tags": "forms",
        "metadata": "{'n': 1}",
        "occurred_at": "2026-05-01",
        "kind": "Semantic",
    }
    stored = (await client.call("store_memory", sent)).data
    listed = (await client.call("query_memory", {"tags": '["forms"]', "until": "2026-05-01", "limit": "1"})).data
    (memory,) = listed["memories"]
    assert memory["memory_id"] == stored["memory_id"]
    assert (memory["content"], memory["tags"], memory["metadata"], memory["kind"], memory["occurred_at"]) == (
        '["null"]',
        ["forms"],
        {"n": 1},
        "semantic",
        "2026-05-01T00:00:00Z",
    )
    assert 'kind "Semantic" was read as "semantic".' in stored["note"]
