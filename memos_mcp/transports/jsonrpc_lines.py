"""MCP over newline-delimited JSON-RPC, on any pair of byte streams: no line, however broken, goes without an answer."""

import logging
from collections.abc import AsyncIterator
from typing import Any, Final, NoReturn

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import types
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, from_json

from memos_mcp.ipc.line_buffer import LineBuffer, read_leniently, recovered_id, refused_length
from memos_mcp.transports.fd_streams import Receive, Send

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 1_024
GRACE_SECONDS: Final = 0.6
FAREWELL_SECONDS: Final = 0.2


class Refused(Exception):
    """A line that is no message; `answer` says why, to the request it was meant to be."""

    def __init__(self, code: int, message: str, request_id: str | int | None = None) -> None:
        super().__init__(message)
        self.answer = types.JSONRPCError(
            jsonrpc="2.0", id=request_id, error=types.ErrorData(code=code, message=message)
        )


async def serve_lines(
    server: Server[Any],
    receive: Receive,
    send: Send,
    *,
    reading: anyio.CancelScope | None = None,
    grace: float = GRACE_SECONDS,
) -> None:
    """Serve one client until its stream ends, until it reads no longer, or until `reading` is cancelled.

    Requests that are under way then have `grace` seconds to finish; after that they are cancelled and answered with
    an error. The caller lends the streams and closes them.
    """
    requests_in, requests = anyio.create_memory_object_stream[SessionMessage | Exception]()
    answers, outbox = anyio.create_memory_object_stream[SessionMessage]()
    wire = _Session(requests_in, answers.clone(), reading or anyio.CancelScope())

    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            await wire.read(receive, grace)
            await anyio.sleep(FAREWELL_SECONDS)
            outbox.close()  # a client that reads no longer must not hold the process
            tasks.cancel_scope.cancel()

        tasks.start_soon(read)
        async with anyio.create_task_group() as serving:
            serving.start_soon(wire.write, outbox, send)
            await server.run(requests, answers, server.create_initialization_options())
        tasks.cancel_scope.cancel()


def parse(line: bytes) -> types.JSONRPCMessage:
    """Return the message in these bytes; raise `Refused` for what is none, or cannot be read back as it was sent."""
    try:
        message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        raise _refusal(line, error) from None
    if isinstance(message, types.JSONRPCNotification) and "id" in from_json(line):
        raise Refused(types.INVALID_REQUEST, "Invalid request: id must be a string or an integer.")
    return message


def refuse_length(ends: bytes) -> NoReturn:
    """Raise `Refused` for a message of which only these ends were kept, for its length."""
    request_id, message = refused_length(ends)
    raise Refused(types.INVALID_REQUEST, message, request_id)


class _Session:
    """Both directions of one connection, and which requests wait for their answer."""

    def __init__(
        self,
        requests: MemoryObjectSendStream[SessionMessage | Exception],
        answers: MemoryObjectSendStream[SessionMessage],
        reading: anyio.CancelScope,
    ) -> None:
        self._requests = requests
        self._answers = answers
        self._reading = reading
        self._waiting: set[str | int] = set()
        self._answered = anyio.Event()

    async def read(self, receive: Receive, grace: float) -> None:
        """Hand on messages and answer what is none, until the end; then let what is under way finish."""
        async with self._requests, self._answers:
            with self._reading:
                async for line, whole in _lines(receive):
                    await self._deliver(line, whole=whole)
                    await self._at_most(MAX_IN_FLIGHT)
            with anyio.move_on_after(grace):
                await self._at_most(0)

    async def write(self, outbox: MemoryObjectReceiveStream[SessionMessage], send: Send) -> None:
        """Write answers until there can be no more; when nobody reads them, still note which requests are done."""
        is_read = True
        async with outbox:
            async for item in outbox:
                is_read = is_read and await self._is_sent(item.message, send)
                if isinstance(item.message, types.JSONRPCResponse | types.JSONRPCError):
                    self._settle(item.message.id)

    async def _is_sent(self, message: types.JSONRPCMessage, send: Send) -> bool:
        try:
            await send(_encoded(message))
        except (OSError, anyio.BrokenResourceError):
            logger.debug("the client reads no longer", exc_info=True)
            self._reading.cancel()
            return False
        return True

    async def _deliver(self, line: bytes, *, whole: bool) -> None:
        try:
            message = parse(line) if whole else refuse_length(line)
        except Refused as refused:
            await self._answers.send(SessionMessage(refused.answer))
            return
        if isinstance(message, types.JSONRPCRequest):
            self._waiting.add(message.id)
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/cancelled":
            self._settle((message.params or {}).get("requestId"))  # a cancelled request is never answered
        try:
            await self._requests.send(SessionMessage(message))
        except anyio.get_cancelled_exc_class():
            self._settle(getattr(message, "id", None))  # nobody has it, so nobody answers it
            raise

    def _settle(self, request_id: object) -> None:
        if isinstance(request_id, str | int):
            self._waiting.discard(request_id)
            self._answered.set()
            self._answered = anyio.Event()

    async def _at_most(self, count: int) -> None:
        while len(self._waiting) > count:
            await self._answered.wait()


async def _lines(receive: Receive) -> AsyncIterator[tuple[bytes, bool]]:
    lines = LineBuffer()
    while chunk := await receive():
        for line in lines.feed(chunk):
            yield line
    for line in lines.end():
        yield line


def _encoded(message: types.JSONRPCMessage) -> bytes:
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except (PydanticSerializationError, UnicodeEncodeError):
        logger.exception("an answer could not be written")
    request_id = message.id if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) else None
    answer = Refused(types.INTERNAL_ERROR, "The answer could not be written. Repeat the call.", request_id).answer
    return answer.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


def _refusal(line: bytes, error: ValidationError) -> Refused:
    text = line.decode("utf-8", "replace")
    request_id = recovered_id(text, balanced=text.count("{") == text.count("}"))
    problem = error.errors(include_url=False, include_input=False)[0]
    if problem["type"] != "json_invalid":
        return Refused(types.INVALID_REQUEST, _misshapen(text, error), request_id)
    cause = str(problem["ctx"]["error"])
    if "recursion" in cause:
        message = "The message is nested too deeply. Flatten it, or send the nested part as text."
        return Refused(types.INVALID_PARAMS, message, request_id)
    if "number" in cause and read_leniently(text) is not None:
        message = "The message holds a number of thousands of digits. Send it as text."
        return Refused(types.INVALID_PARAMS, message, request_id)
    if not _is_utf8(line):
        return Refused(types.PARSE_ERROR, "Parse error: the message is not valid UTF-8.", request_id)
    if read_leniently(text) is not None:
        message = (
            "The message holds half a character (a lone surrogate escape such as \\ud83d, often an emoji that was "
            "cut in two). Remove it or send the whole character."
        )
        return Refused(types.INVALID_PARAMS, message, request_id)
    return Refused(types.PARSE_ERROR, f"Parse error: {cause}.", request_id)


def _misshapen(text: str, error: ValidationError) -> str:
    if text.startswith("["):
        return "Invalid request: batches are not supported. Send one message at a time."
    places = [problem["loc"] for problem in error.errors(include_url=False, include_input=False)]
    names = dict.fromkeys(str(place[1]) for place in places if len(place) > 1 and place[0] == "JSONRPCRequest")
    if not names:
        return "Invalid request: a message is one JSON object."
    return f"Invalid request: missing or of the wrong type: {', '.join(names)}."


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
