"""Launches an MCP server and exchanges lines with it, within a limit of their size.

The SDK's own transport reads a line of any length into memory.
"""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final, TypeAlias

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, ObjectReceiveStream, ObjectSendStream, Process
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

EXIT_SECONDS: Final = 2.0
POLL_SECONDS: Final = 0.01

INHERITED: Final = frozenset(
    {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"}
    | {"APPDATA", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATHEXT", "PROCESSOR_ARCHITECTURE", "SYSTEMDRIVE"}
    | {"SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE", "PROGRAMFILES", "PROGRAMDATA", "COMSPEC"}
)
"""The variables that every server is given: a program needs them to start, and none of them holds a secret."""

Closed: TypeAlias = Callable[["AnswerTooLarge | None"], None]
Messages: TypeAlias = ObjectReceiveStream[SessionMessage | Exception]
Transport: TypeAlias = AbstractAsyncContextManager[tuple[Messages, ObjectSendStream[SessionMessage]]]


def environment_for(names: Sequence[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a server: the usual ones and those of these names; raise KeyError for a missing one."""
    usual = {name: value for name, value in environment.items() if name.upper() in INHERITED}
    return usual | {name: environment[name] for name in names}


def _message(line: bytes) -> JSONRPCMessage:
    """Return the message of a line; raise ValueError for another line.

    An unpaired surrogate, which many languages write into JSON, becomes a question mark: its call would have no answer.
    """
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        text = json.dumps(json.loads(line), ensure_ascii=False).encode(errors="replace")
        return jsonrpc_message_adapter.validate_json(text, by_name=False)


class AnswerTooLarge(Exception):
    """A server wrote a line beyond the limit, after which nothing it writes can be read."""


@asynccontextmanager
async def stdio_transport(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    max_bytes: int,
    stderr: int | None,
    closed: Closed,
) -> AsyncIterator[tuple[Messages, ObjectSendStream[SessionMessage]]]:
    """Yield the streams of a server that runs until the context ends. `closed` is called when it ends before.

    Raise OSError when the command cannot be started.
    """
    process = await anyio.open_process(list(command), env=environment, stderr=stderr, start_new_session=True)
    received_in, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    sent, sent_out = anyio.create_memory_object_stream[SessionMessage](0)
    if process.stdin is None or process.stdout is None:
        raise OSError("the process has no pipes")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_receive, process.stdout, received_in, max_bytes, closed)
        tasks.start_soon(_send, process.stdin, sent_out)
        try:
            yield received, sent
        finally:
            with anyio.CancelScope(shield=True):
                await _stop(process)
                for stream in (received_in, received, sent, sent_out):
                    await stream.aclose()
            tasks.cancel_scope.cancel()


async def _receive(
    stdout: ByteReceiveStream,
    received: ObjectSendStream[SessionMessage | Exception],
    max_bytes: int,
    closed: Closed,
) -> None:
    """Pass the messages on; a line that is none, such as a banner, is ignored. Closing ends the session."""
    try:
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            async for line in _lines(stdout, max_bytes):
                with suppress(ValueError, RecursionError):
                    await received.send(SessionMessage(_message(line)))
        closed(None)
    except AnswerTooLarge as error:
        closed(error)
    finally:
        with anyio.CancelScope(shield=True):
            await received.aclose()


async def _lines(stream: ByteReceiveStream, max_bytes: int) -> AsyncIterator[bytes]:
    buffer = bytearray()
    async for part in stream:
        searched = len(buffer)
        buffer += part
        while (end := buffer.find(b"\n", searched)) >= 0:
            line, searched = bytes(buffer[:end]), 0
            del buffer[: end + 1]
            if len(line) > max_bytes:
                raise AnswerTooLarge(f"its answer is larger than {max_bytes:,} bytes")
            if line.strip():
                yield line
        if len(buffer) > max_bytes:
            raise AnswerTooLarge(f"its answer is larger than {max_bytes:,} bytes")


async def _send(stdin: ByteSendStream, messages: ObjectReceiveStream[SessionMessage]) -> None:
    with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
        async for message in messages:
            await stdin.send(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")


async def _stop(process: Process) -> None:
    """Close stdin, which asks a server to end, and end its process group if it does not."""
    if process.stdin is not None:
        with suppress(OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            await process.stdin.aclose()
    for number in (None, signal.SIGTERM, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL):
        if number is not None:
            _signal_group(process, number)
        with anyio.move_on_after(EXIT_SECONDS):
            await _exited(process)
            break
    with suppress(OSError):
        await process.aclose()


async def _exited(process: Process) -> None:
    """Wait for the process only: its `wait` also waits for others that hold its pipes."""
    while process.returncode is None:  # noqa: ASYNC110  # asyncio offers no event for it
        await anyio.sleep(POLL_SECONDS)


def _signal_group(process: Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.terminate()
        else:
            os.killpg(process.pid, number)
