"""The index process: holds one generation's shards and answers the engine over a pair of pipes, one request at a time.

Run as `python -m memos_mcp.qdrant.edge.worker FOLDER DIMENSIONS HNSW_THRESHOLD PARENT [background]`. It exits when
the engine closes its pipe, and is killed with the engine. Every write that it answered survives that: the shards'
write-ahead logs are in the page cache before it answers. A power cut can lose what was not flushed, a few seconds at
most; the engine then finds at its next start that versions differ, and indexes those items again.
"""

import ctypes
import os
import select
import signal
import sys
from array import array
from pathlib import Path
from typing import Any, BinaryIO, Final

from memos_mcp.qdrant.edge.protocol import HEAD, length, pack, unpack
from memos_mcp.qdrant.edge.shards import Shards

FLUSH_AFTER_SECONDS: Final = 2.0
BACKGROUND_NICENESS: Final = 10
PR_SET_PDEATHSIG: Final = 1


def main(arguments: list[str]) -> None:
    """Serve until the engine closes its pipe."""
    folder, dimensions, hnsw_threshold, parent, *background = arguments
    _die_with(int(parent))
    if background:
        os.nice(BACKGROUND_NICENESS)
    for number in (signal.SIGINT, signal.SIGTERM):  # meant for the engine, which then closes the pipe in its own time
        signal.signal(number, signal.SIG_IGN)
    with open(os.dup(0), "rb", buffering=0) as requests, open(os.dup(1), "wb", buffering=0) as replies:  # noqa: PTH123  # pathlib opens no descriptors
        os.dup2(2, 1)  # whatever a library prints must not land among the replies
        shards = Shards(Path(folder), int(dimensions), int(hnsw_threshold))
        _serve(shards, requests, replies)
        shards.close()


def _serve(shards: Shards, requests: BinaryIO, replies: BinaryIO) -> None:
    while True:
        if shards.dirty and not select.select([requests], [], [], FLUSH_AFTER_SECONDS)[0]:
            shards.flush()
        frame = _receive(requests)
        if frame is None:
            return
        request, floats = frame
        reply = pack({"id": request["id"], **_answer(shards, request, floats)})
        while reply:
            reply = reply[replies.write(reply) :]


def _answer(shards: Shards, request: dict[str, Any], floats: "array[float]") -> dict[str, Any]:
    arguments = request["arguments"]
    if request["operation"] in {"put", "search"}:
        arguments["floats"] = floats
    try:
        return {"result": getattr(shards, request["operation"])(**arguments)}
    except Exception as error:  # noqa: BLE001  # Edge raises bare Exceptions; the engine logs what is said here
        return {"error": f"{type(error).__name__}: {error}"}


def _receive(requests: BinaryIO) -> tuple[dict[str, Any], "array[float]"] | None:
    head = _exactly(requests, HEAD.size)
    body = None if head is None else _exactly(requests, length(head))
    return None if head is None or body is None else unpack(head, body)


def _exactly(requests: BinaryIO, size: int) -> bytes | None:
    """Return this many bytes, or None when the engine is gone."""
    received = bytearray()
    while len(received) < size:
        part = requests.read(size - len(received))
        if not part:
            return None
        received += part
    return bytes(received)


def _die_with(parent: int) -> None:
    """Be killed with the engine, even in the middle of a build; elsewhere than on Linux, end at the next read."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before this was asked for
            sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
