"""A server that speaks as much of Qdrant's HTTP as opening, one search and writes need."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream

from memos_mcp.domain.index import ITEM_KINDS
from memos_mcp.qdrant.points import FORMAT
from tests.qdrant.samples import SHAPE, item

ABOUT = {"format": FORMAT, "model": SHAPE.model, "dimensions": SHAPE.dimensions}
CONFIG = {
    "params": {"vectors": {}},
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
    "optimizer_config": {
        "deleted_threshold": 0.2, "vacuum_min_vector_number": 1_000,
        "default_segment_number": 0, "flush_interval_sec": 5,
    },
    "metadata": ABOUT,
}  # fmt: skip
POINT = {"id": 1, "version": 1, "score": 0.5, "payload": {"item": str(item(1)), "start": 0, "end": 3}}
ALIASES = [{"alias_name": f"memos_{kind}", "collection_name": f"memos_{kind}_0"} for kind in ITEM_KINDS]
RESULTS = {
    "/aliases": {"aliases": ALIASES},
    "/collections/memos_memory_0": {
        "status": "green", "optimizer_status": "ok", "segments_count": 1, "config": CONFIG, "payload_schema": {},
    },
    "/collections/memos_memory/points/query/batch": [{"points": [POINT]}, {"points": [POINT]}],
}  # fmt: skip
WRITES = ("/collections/memos_memory/points", "/collections/memos_memory/points/delete")


@dataclass(frozen=True)
class Received:
    """A request: its path, its query string, and its JSON."""

    path: str
    query: str
    content: Any


@dataclass
class StandInServer:
    """Answers what it knows, and anything else with an error.

    behaviour: "hang up" closes the connection when it has the request, "stay silent" never answers it.
    empty: there are no collections yet, and any can be created.
    """

    version: str = "1.19.1"
    behaviour: Literal["answer", "hang up", "stay silent"] = "answer"
    takes_writes: bool = False
    write_status: str = "completed"
    empty: bool = False
    received: list[Received] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.received]

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Yield the address while the server runs."""
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, self.answer)
            yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
            tasks.cancel_scope.cancel()

    async def answer(self, stream: SocketStream) -> None:
        async with stream:
            request = BufferedByteReceiveStream(stream)
            head = (await request.receive_until(b"\r\n\r\n", 65_536)).decode()
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            content = json.loads(await request.receive_exactly(int(length[1]))) if length else None
            path, _, query = head.split(" ")[1].partition("?")
            self.received.append(Received(path, query, content))
            if self.behaviour == "stay silent":
                await anyio.sleep_forever()
            if self.behaviour == "answer":
                await stream.send(self._response(path))

    def _response(self, path: str) -> bytes:
        done = {"operation_id": 1, "status": self.write_status}
        known: dict[str, Any] = RESULTS | (dict.fromkeys(WRITES, done) if self.takes_writes else {})
        if self.empty:
            known = {path: done if path.endswith("/index") else True} | known | {"/aliases": {"aliases": []}}
        status = "200 OK" if path in known or path == "/" else "500 Internal Server Error"
        content = {"result": known.get(path), "status": "ok", "time": 0.0}
        body = json.dumps({"title": "qdrant", "version": self.version} if path == "/" else content).encode()
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close"
        return f"{head}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
