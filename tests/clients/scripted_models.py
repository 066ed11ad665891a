"""A model endpoint that speaks as three makers' do, as far as their clients need it for one answer in words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

ANSWER = "It is written down."


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """An endpoint on loopback, and the texts of the requests that it got."""

    url: str
    requests: list[str]


@contextmanager
def scripted_models() -> Iterator[ModelEndpoint]:
    """Yield an endpoint that gives the same answer to everything."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._reply("application/json", "")

        def do_GET(self) -> None:
            self._reply("application/json", "{}")

        def do_POST(self) -> None:
            requests.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self._reply("text/event-stream", "".join(events_for(self.path.partition("?")[0])))

        def _reply(self, kind: str, text: str) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield ModelEndpoint(f"http://127.0.0.1:{server.server_port}", requests)
        finally:
            server.shutdown()
            thread.join()


def events_for(path: str) -> Iterator[str]:
    """Yield the events of a streamed answer to a request for this path."""
    if path.endswith("/messages"):
        yield from (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _messages())
    elif path.endswith("/responses"):
        yield from (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in _responses())
    elif path.endswith(":streamGenerateContent"):
        content = {"role": "model", "parts": [{"text": ANSWER}]}
        yield f"data: {json.dumps({'candidates': [{'content': content, 'finishReason': 'STOP', 'index': 0}]})}\n\n"


def _messages() -> Iterator[dict[str, Any]]:
    """Yield the events of Anthropic's Messages."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": usage}
    yield {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": ANSWER}}
    yield {"type": "content_block_stop", "index": 0}
    yield {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


def _responses() -> Iterator[dict[str, Any]]:
    """Yield the events of OpenAI's Responses."""
    content = [{"type": "output_text", "text": ANSWER}]
    item = {"type": "message", "role": "assistant", "id": "m", "content": content}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    yield {"type": "response.created", "response": {"id": "r"}}
    yield {"type": "response.output_item.done", "item": item}
    yield {"type": "response.completed", "response": {"id": "r", "output": [item], "usage": usage}}
