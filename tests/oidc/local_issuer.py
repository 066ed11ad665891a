"""A web server on loopback that answers as an issuer may."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

DISCOVERY = "/.well-known/openid-configuration"


class LocalIssuer:
    """Serves `answers` by path: an object as JSON, bytes unchanged, a number as a status, and 404 else."""

    def __init__(self, origin: str) -> None:
        self.url = origin
        self.answers: dict[str, Mapping[str, Any] | bytes | int] = {}
        self.requests: list[str] = []

    def publish(self, *keys: Mapping[str, Any]) -> None:
        """Publish these keys and no others, and the metadata that names their address."""
        self.answers["/keys"] = {"keys": list(keys)}
        self.answers[DISCOVERY] = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """Serve an issuer while the context is open."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.requests.append(self.path)
            answer = issuer.answers.get(self.path, 404)
            status = answer if isinstance(answer, int) else 200
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/keys")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Write no log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        issuer = LocalIssuer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
