"""The index process: holds one generation's shards and answers the engine over two pipes, one request at a time.

Run as `python -m memos_mcp.qdrant.edge.worker FOLDER DIMENSIONS HNSW_THRESHOLD PARENT [background]`. It exits when
the engine closes its pipe, and is killed when the engine dies. Every acknowledged write survives that: the shards'
write-ahead logs are in the page cache before the reply is sent. A power cut can lose unflushed writes, a few seconds at
most; at its next start the engine finds that versions differ, and indexes those items again.

A message is JSON, then vectors or scores as 32-bit floats; as JSON, vectors took ten times as long. The engine imports
this module for `pack` and `unpack`, so Qdrant Edge is imported only when the worker runs.
"""

import ctypes
import json
import os
import select
import signal
import sys
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from memos_mcp.domain.index import Vector
from memos_mcp.qdrant.lanes import NumberedAnswers

if TYPE_CHECKING:  # Qdrant Edge, which is behind it, is for the worker process only
    from memos_mcp.qdrant.edge.shards import Shards

FLUSH_AFTER_SECONDS: Final = 2.0
READ_AHEAD_SECONDS: Final = 0.01
"""Time without a request before each page that is read ahead."""

BACKGROUND_NICENESS: Final = 10
PR_SET_PDEATHSIG: Final = 1
PIPE_BYTES: Final = 1 << 20
"""Size of each pipe: a part of a write fits, and is sent while the process is busy with the one before."""

HEADER: Final = Struct("!II")
"""Length of the JSON and of the floats, in bytes."""


def main(arguments: list[str]) -> None:
    """Serve until the engine closes its pipe."""
    from memos_mcp.qdrant.edge.shards import Shards

    folder, dimensions, hnsw_threshold, parent, *background = arguments
    _kill_when_parent_dies(int(parent))
    if background:
        with suppress(AttributeError):  # Windows
            os.nice(BACKGROUND_NICENESS)
    _widen_pipes()
    for number in (signal.SIGINT, signal.SIGTERM):  # the engine handles them and closes the pipe
        signal.signal(number, signal.SIG_IGN)
    with open(os.dup(0), "rb", buffering=0) as requests, open(os.dup(1), "wb", buffering=0) as replies:  # noqa: PTH123  # pathlib opens no descriptors
        os.dup2(2, 1)  # output that a library prints must not mix with the replies
        shards = Shards(Path(folder), int(dimensions), int(hnsw_threshold))
        _serve(shards, requests, replies)
        shards.flush()
        # Never released: Edge removes the files of a shard that it releases from the page cache, so that the next start
        # would read them from the disk, with 200,000 points in 1.5 s instead of 0.1.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(shards))


def pack(message: Mapping[str, Any], vectors: Iterable["Vector | array[float]"] = ()) -> bytes:
    """Return one message as bytes."""
    text = json.dumps(message, separators=(",", ":"), default=str).encode()
    floats = b"".join(vector.tobytes() for vector in vectors)
    return HEADER.pack(len(text), len(floats)) + text + floats


def body_length(header: bytes) -> int:
    """Return how many bytes follow this header."""
    return sum(HEADER.unpack(header))


def unpack(header: bytes, body: bytes) -> tuple[Any, "array[float]"]:
    """Return a message and its floats, the vectors one after the other."""
    text, _ = HEADER.unpack(header)
    floats = array("f")
    floats.frombytes(body[text:])
    return json.loads(body[:text]), floats


def _serve(shards: "Shards", requests: BinaryIO, replies: BinaryIO) -> None:
    while True:
        _work_until_requested(shards, requests)
        frame = _receive(requests)
        if frame is None:
            return
        request, floats = frame
        answer, scores = _answer(shards, request, floats)
        reply = pack({"id": request["id"], **answer}, scores)
        while reply:
            reply = reply[replies.write(reply) :]


def _widen_pipes() -> None:
    """Let a part of a write fit the pipes. Where they cannot grow, large messages take many writes."""
    with suppress(ImportError, AttributeError, OSError):  # Windows, macOS, or a limit
        fcntl: Any = import_module("fcntl")
        for pipe in (0, 1):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _work_until_requested(shards: "Shards", requests: BinaryIO) -> None:
    if sys.platform == "win32":  # it cannot wait for a pipe for a limited time
        shards.flush()
        return
    while shards.dirty or not shards.all_read:
        if select.select([requests], [], [], FLUSH_AFTER_SECONDS if shards.dirty else READ_AHEAD_SECONDS)[0]:
            return
        if shards.dirty:
            shards.flush()
        else:
            shards.read_ahead()


def _answer(
    shards: "Shards", request: dict[str, Any], floats: "array[float]"
) -> tuple[dict[str, Any], list["array[float]"]]:
    """Return the result or the error, and the floats that follow it."""
    arguments = request["arguments"]
    if request["operation"] in {"put", "search"}:
        arguments["floats"] = floats
    try:
        result = getattr(shards, request["operation"])(**arguments)
        if isinstance(result, NumberedAnswers):
            return {"result": (result.points, result.lanes)}, [result.scores]
    except Exception as error:  # noqa: BLE001  # Edge raises bare Exceptions; the engine logs this text
        return {"error": f"{type(error).__name__}: {error}"}, []
    return {"result": result}, []


def _receive(requests: BinaryIO) -> tuple[dict[str, Any], "array[float]"] | None:
    header = _read_exactly(requests, HEADER.size)
    body = None if header is None else _read_exactly(requests, body_length(header))
    return None if header is None or body is None else unpack(header, body)


def _read_exactly(requests: BinaryIO, size: int) -> bytes | None:
    """Return this many bytes, or None once the engine has closed the pipe."""
    received = bytearray()
    while len(received) < size:
        part = requests.read(size - len(received))
        if not part:
            return None
        received += part
    return bytes(received)


def _kill_when_parent_dies(parent: int) -> None:
    """Have Linux kill this process with the engine, even during a build; on other systems its next read ends it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call
            sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
