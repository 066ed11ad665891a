"""The bodies of HTTP requests and answers: one message in, no broken stream out."""

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from memos_mcp.ipc.line_buffer import KEPT_BYTES, MAX_LINE_BYTES
from memos_mcp.transports.jsonrpc_lines import RejectedMessage, parse, reject_length


async def pass_messages(app: ASGIApp, connection: Connection, receive: Receive, send: Send) -> None:
    """Reject a body that is not a message with the same error as the other transports."""
    if connection["method"] != "POST":
        await app(connection, receive, send)
        return
    status = 400
    try:
        body, whole = await _body(Request(connection, receive))
        if not whole:
            status = 413
            reject_length(body)
        parse(body)
    except ClientDisconnect:
        return
    except RejectedMessage as rejected:
        answer = rejected.answer.model_dump_json(by_alias=True, exclude_unset=True)
        await Response(answer, status, media_type="application/json")(connection, receive, send)
        return
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return unread.pop() if unread else await receive()

    await app(connection, replay, send)


async def finish_stream(app: ASGIApp, connection: Connection, receive: Receive, send: Send) -> None:
    """End a stream that is still open at shutdown: the client would see a broken one, and the log an error."""
    is_open = False

    async def watch(message: Message) -> None:
        nonlocal is_open
        is_open = message["type"] == "http.response.start" or message.get("more_body", False)
        await send(message)

    await app(connection, receive, watch)
    if is_open:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _body(request: Request) -> tuple[bytes, bool]:
    """Return the body, and whether it is whole. Only the beginning is returned of one that is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_LINE_BYTES:
            return bytes(body[:KEPT_BYTES]), False
    return bytes(body), True
