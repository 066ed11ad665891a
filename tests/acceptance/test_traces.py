"""The spans of a real server, as a real receiver gets them."""

from pathlib import Path

import pytest

from tests.acceptance.raw_clients import HttpRawClient
from tests.acceptance.servers import Server
from tests.prepared_home import copy_home
from tests.telemetry.otlp_receiver import receiving

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_the_stages_of_a_query_are_within_its_span(tmp_path: Path, home_template: Path) -> None:
    question = "where is the private key of the lighthouse"
    with receiving() as received:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": received.url, "OTEL_SERVICE_NAME": "lighthouse"}
        server = Server(copy_home(home_template, tmp_path / "home"), ("serve", "--port", "0"), settings)
        try:
            client = HttpRawClient(server)
            await client.call("store_memory", {"content": f"{question}? under the mat"})
            await client.call("query_memory", {"query": question})
            await client.close()
        finally:
            server.stop()
    (query,) = [span for span in received.spans if span.name == "tools/call query_memory"]
    stages = {span.name for span in received.spans if span.parent_span_id == query.span_id}
    assert {"embed", "search", "rank", "postgres"} <= stages
    assert all(span.trace_id == query.trace_id for span in received.spans if span.parent_span_id == query.span_id)
    assert {span.name.split()[0] for span in received.spans} <= {"tools/call", *stages, "index_wait"}
    assert received.resource["service.name"] == "lighthouse"
    assert b"lighthouse?" not in received.bodies
    assert b"private key" not in received.bodies
