"""MCP over newline-delimited JSON-RPC on any pair of byte streams. Every line that is not a message gets an error."""

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

from memos_mcp.ipc.line_buffer import LineBuffer, id_at_either_end, length_error, read_leniently, request_id
from memos_mcp.transports.fd_streams import Receive, Send

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT: Final = 1_024
GRACE_SECONDS: Final = 0.6
FLUSH_SECONDS: Final = 0.2


class RejectedMessage(Exception):
    """A line that is not a message. `answer` is the error to send."""

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
    """Serve one client until its stream ends, it stops reading, or `reading` is cancelled.

    Requests under way then have `grace` seconds to finish; after that they are cancelled and answered with an error.
    The caller owns the streams and closes them.
    """
    requests_in, requests = anyio.create_memory_object_stream[SessionMessage | Exception]()
    answers, outbox = anyio.create_memory_object_stream[SessionMessage]()
    session = _Session(requests_in, answers.clone(), reading or anyio.CancelScope())

    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            await session.read(receive, grace)
            await anyio.sleep(FLUSH_SECONDS)
            outbox.close()  # a client that does not read must not keep the process alive
            tasks.cancel_scope.cancel()

        tasks.start_soon(read)
        async with anyio.create_task_group() as serving:
            serving.start_soon(session.write, outbox, send)
            await server.run(requests, answers, server.create_initialization_options())
        tasks.cancel_scope.cancel()


def parse(line: bytes) -> types.JSONRPCMessage:
    """Return the message in these bytes; raise `RejectedMessage` if there is none, or its values would be changed."""
    try:
        message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError as error:
        raise _rejection(line, error) from None
    if isinstance(message, types.JSONRPCNotification) and "id" in from_json(line):
        raise RejectedMessage(types.INVALID_REQUEST, "Invalid request: id must be a string or an integer.")
    return message


def reject_length(ends: bytes) -> NoReturn:
    """Raise `RejectedMessage` for a message that is too long, of which these are the ends."""
    found_id, message = length_error(ends)
    raise RejectedMessage(types.INVALID_REQUEST, message, found_id)


class _Session:
    """Both directions of one connection, and the requests that wait for their answer."""

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
        """Forward messages and reject other lines, until the end; then let requests under way finish."""
        async with self._requests, self._answers:
            with self._reading:
                async for line, whole in _lines(receive):
                    await self._deliver(line, whole=whole)
                    await self._wait_for_at_most(MAX_IN_FLIGHT)
            with anyio.move_on_after(grace):
                await self._wait_for_at_most(0)

    async def write(self, outbox: MemoryObjectReceiveStream[SessionMessage], send: Send) -> None:
        """Write answers until there can be no more. When the client does not read, still settle their requests."""
        is_open = True
        async with outbox:
            async for item in outbox:
                is_open = is_open and await self._try_send(item.message, send)
                if isinstance(item.message, types.JSONRPCResponse | types.JSONRPCError):
                    self._settle(item.message.id)

    async def _try_send(self, message: types.JSONRPCMessage, send: Send) -> bool:
        try:
            await send(_encoded(message))
        except (OSError, anyio.BrokenResourceError):
            logger.debug("the client has closed", exc_info=True)
            self._reading.cancel()
            return False
        return True

    async def _deliver(self, line: bytes, *, whole: bool) -> None:
        try:
            message = parse(line) if whole else reject_length(line)
        except RejectedMessage as rejected:
            await self._answers.send(SessionMessage(rejected.answer))
            return
        if isinstance(message, types.JSONRPCRequest):
            self._waiting.add(message.id)
        elif isinstance(message, types.JSONRPCNotification) and message.method == "notifications/cancelled":
            self._settle((message.params or {}).get("requestId"))  # a cancelled request is never answered
        try:
            await self._requests.send(SessionMessage(message))
        except anyio.get_cancelled_exc_class():
            self._settle(getattr(message, "id", None))  # the server has not got it, so it will not be answered
            raise

    def _settle(self, request_id: object) -> None:
        if isinstance(request_id, str | int):
            self._waiting.discard(request_id)
            self._answered.set()
            self._answered = anyio.Event()

    async def _wait_for_at_most(self, count: int) -> None:
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
    answered = message.id if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) else None
    answer = RejectedMessage(types.INTERNAL_ERROR, "The answer could not be written. Repeat the call.", answered).answer
    return answer.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


def _rejection(line: bytes, error: ValidationError) -> RejectedMessage:
    text = line.decode("utf-8", "replace")
    problem = error.errors(include_url=False, include_input=False)[0]
    cause = str(problem["ctx"]["error"]) if problem["type"] == "json_invalid" else None
    if cause is not None and "recursion" in cause:
        message = "The message is nested too deeply. Flatten it, or send the nested part as text."
        return RejectedMessage(types.INVALID_PARAMS, message, id_at_either_end(text))
    content = read_leniently(text)
    if cause is None:
        return RejectedMessage(types.INVALID_REQUEST, _shape_error(text, error), request_id(content))
    if content is not None and "number" in cause:
        message = "The message holds a number of thousands of digits. Send it as text."
        return RejectedMessage(types.INVALID_PARAMS, message, request_id(content))
    if not _is_utf8(line):
        return RejectedMessage(types.PARSE_ERROR, "Parse error: the message is not valid UTF-8.", request_id(content))
    if content is not None:
        message = (
            "The message holds an unpaired surrogate (an escape such as \\ud83d, often an emoji that was cut in two). "
            "Remove it or send the whole character."
        )
        return RejectedMessage(types.INVALID_PARAMS, message, request_id(content))
    return RejectedMessage(types.PARSE_ERROR, f"Parse error: {cause}.")


def _shape_error(text: str, error: ValidationError) -> str:
    if text.startswith("["):
        return "Invalid request: batches are not supported. Send one message at a time."
    paths = [problem["loc"] for problem in error.errors(include_url=False, include_input=False)]
    names = dict.fromkeys(str(path[1]) for path in paths if len(path) > 1 and path[0] == "JSONRPCRequest")
    if not names:
        return "Invalid request: a message is one JSON object."
    return f"Invalid request: missing or of the wrong type: {', '.join(names)}."


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
