"""A lending library over HTTP with an OpenAPI document: path, query, header, JSON, form and multipart, every method.

    LIBRARY_KEY=secret python examples/tools/library.py --port 8803

`GET /openapi.json` describes its ten operations; all others need the key in the header `X-Library-Key`. Each request
is logged to stderr as it arrived, without the key.
"""

import argparse
import hmac
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from exchange import serve
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

DESCRIPTION: Final = Path(__file__).with_name("library.openapi.json")
MAX_BODY_BYTES: Final = 64 * 1024
BOOKS: Final[dict[int, dict[str, Any]]] = {
    1: {"title": "The Lighthouse Keeper", "author": "I. Maren", "year": 1951},
    2: {"title": "Salt and Wind", "author": "I. Maren", "year": 1956},
    3: {"title": "A Field Guide to Ferries", "author": "B. Okoro", "year": 1998},
}

Endpoint = Callable[["Library", Request, bytes], Awaitable[Response]]


class Library:
    """The books and their reviews, in memory."""

    def __init__(self) -> None:
        self.books = {number: dict(book) for number, book in BOOKS.items()}
        self.reviews: list[dict[str, Any]] = []

    async def list_books(self, request: Request, _body: bytes) -> Response:
        """Return the books of an author, or all."""
        author, limit = request.query_params.get("author"), int(request.query_params.get("limit", 20))
        found = [self._shown(number) for number, book in self.books.items() if author in {None, book["author"]}]
        return JSONResponse({"books": found[:limit]})

    async def add_book(self, _request: Request, body: bytes) -> Response:
        """Add a book and return it with its number."""
        number = max(self.books, default=0) + 1
        self.books[number] = _fields(body, {"title", "author", "year"})
        return JSONResponse(self._shown(number), 201)

    async def get_book(self, request: Request, _body: bytes) -> Response:
        """Return one book."""
        return JSONResponse(self._shown(self._number(request)))

    async def check_book(self, request: Request, _body: bytes) -> Response:
        """Say whether there is such a book, without a body."""
        self._number(request)
        return Response(status_code=200)

    async def replace_book(self, request: Request, body: bytes) -> Response:
        """Replace all fields of a book."""
        number = self._number(request)
        self.books[number] = _fields(body, {"title", "author", "year"})
        return JSONResponse(self._shown(number))

    async def change_book(self, request: Request, body: bytes) -> Response:
        """Change some fields of a book."""
        number = self._number(request)
        self.books[number] |= _fields(body, set())
        return JSONResponse(self._shown(number))

    async def remove_book(self, request: Request, _body: bytes) -> Response:
        """Remove a book; there is nothing to return."""
        del self.books[self._number(request)]
        return Response(status_code=204)

    async def review_book(self, request: Request, _body: bytes) -> Response:
        """Add a review, which is sent as a form."""
        form = await request.form()
        self.reviews.append({"id": self._number(request), "stars": int(str(form["stars"])), "text": str(form["text"])})
        return JSONResponse({"reviews": len(self.reviews)}, 201)

    async def set_cover(self, request: Request, _body: bytes) -> Response:
        """Set the cover of a book, which is sent as multipart."""
        form = await request.form()
        self.books[self._number(request)]["cover"] = str(form["caption"])
        return Response(status_code=204)

    async def show_branch(self, request: Request, _body: bytes) -> Response:
        """Return the opening hours of the branch that a header names."""
        return JSONResponse({"branch": request.headers["x-branch"], "open": "9:00 to 17:00"})

    def _number(self, request: Request) -> int:
        number = int(request.path_params["book_id"])
        if number not in self.books:
            raise HTTPException(404, f"There is no book {number}.")
        return number

    def _shown(self, number: int) -> dict[str, Any]:
        return {"book_id": number, **self.books[number]}


def _fields(body: bytes, required: set[str]) -> dict[str, Any]:
    given: dict[str, Any] = json.loads(body)
    if missing := required - given.keys():
        raise HTTPException(422, f"The book lacks {', '.join(sorted(missing))}.")
    return {name: given[name] for name in ("title", "author", "year") if name in given}


def build(key: str) -> Starlette:
    """Return the service, which answers requests with this key."""
    library = Library()

    def guarded(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            body = await request.body()
            known = hmac.compare_digest(request.headers.get("x-library-key", ""), key)
            _log(request, body, key="right" if known else "wrong")
            if not known:
                return JSONResponse({"error": "The key is missing or wrong."}, 401)
            if len(body) > MAX_BODY_BYTES:
                return JSONResponse({"error": f"The body has more than {MAX_BODY_BYTES:,} bytes."}, 413)
            try:
                return await endpoint(library, request, body)
            except (ValueError, KeyError) as error:
                return JSONResponse({"error": f"The request cannot be read: {error}"}, 422)

        return answer

    async def describe(request: Request) -> Response:
        described = json.loads(DESCRIPTION.read_text("utf-8"))
        return JSONResponse(described | {"servers": [{"url": str(request.base_url).rstrip("/")}]})

    one = "/books/{book_id:int}"
    routes = [
        Route("/openapi.json", describe),
        Route("/books", guarded(Library.list_books), methods=["GET"]),
        Route("/books", guarded(Library.add_book), methods=["POST"]),
        Route(one, guarded(Library.check_book), methods=["HEAD"]),
        Route(one, guarded(Library.get_book), methods=["GET"]),
        Route(one, guarded(Library.replace_book), methods=["PUT"]),
        Route(one, guarded(Library.change_book), methods=["PATCH"]),
        Route(one, guarded(Library.remove_book), methods=["DELETE"]),
        Route(f"{one}/reviews", guarded(Library.review_book), methods=["POST"]),
        Route(f"{one}/cover", guarded(Library.set_cover), methods=["PUT"]),
        Route("/branch", guarded(Library.show_branch), methods=["GET"]),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return app


def _log(request: Request, body: bytes, *, key: str) -> None:
    """Write what arrived: the method, the URL, the named headers and the body, on one line."""
    url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    branch = f" x-branch: {request.headers['x-branch']}" if "x-branch" in request.headers else ""
    kind = request.headers.get("content-type", "").partition(";")[0]
    text = f" {kind} {' '.join(body.decode(errors='replace').split())}" if body else ""
    print(f"library: {request.method} {url}{branch}{text} ({key} key)", file=sys.stderr, flush=True)


def main() -> int:
    """Serve until stopped. The first line printed is the address."""
    parser = argparse.ArgumentParser(description="A lending library with an OpenAPI document.")
    parser.add_argument("--port", type=int, default=8803, help="port on 127.0.0.1, 0 for any free one (8803)")
    arguments = parser.parse_args()
    key = os.environ.get("LIBRARY_KEY")
    if not key:
        print("LIBRARY_KEY is not set: it is the key that clients must send.", file=sys.stderr)
        return 1
    return serve(build(key), name="Library", port=arguments.port, path="")


if __name__ == "__main__":
    sys.exit(main())
