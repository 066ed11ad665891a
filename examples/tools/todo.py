"""A to-do list over HTTP, kept in a SQLite file.

    python examples/tools/todo.py --port 8802 --file todo.db

    POST /items        {"text": "buy milk", "due": "2026-05-01"}   puts an item on the list
    GET  /items        ?status=open&limit=20                       shows the list
    POST /items/done   {"id": 1}                                   ticks an item off

`memos-as seed` registers these three as `todo.add`, `todo.list` and `todo.done`.
"""

import argparse
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from anyio.to_thread import run_sync
from exchange import Arguments, application, from_body, from_query, serve
from pydantic import Field, StringConstraints
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_CREATE: Final = """
    CREATE TABLE IF NOT EXISTS items (
        id integer PRIMARY KEY AUTOINCREMENT,
        text text NOT NULL,
        due text,
        created_at text NOT NULL,
        done_at text
    );
    CREATE UNIQUE INDEX IF NOT EXISTS open_items ON items (text) WHERE done_at IS NULL;
"""
_ADD: Final = """
    INSERT INTO items (text, due, created_at) VALUES (?, ?, ?)
    ON CONFLICT (text) WHERE done_at IS NULL DO NOTHING
"""
_FIND: Final = "SELECT id, text, due, created_at, done_at FROM items WHERE text = ? AND done_at IS NULL"
_LIST: Final = """
    SELECT id, text, due, created_at, done_at, count(*) OVER () AS total
      FROM items
     WHERE ? IN ('all', CASE WHEN done_at IS NULL THEN 'open' ELSE 'done' END)
     ORDER BY id
     LIMIT ?
"""
_DONE: Final = """
    UPDATE items SET done_at = coalesce(done_at, ?) WHERE id = ?
    RETURNING id, text, due, created_at, done_at
"""


class NewItem(Arguments):
    """The arguments of `todo.add`."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
    due: date | None = None


class Shown(Arguments):
    """The arguments of `todo.list`."""

    status: Literal["open", "done", "all"] = "open"
    limit: Annotated[int, Field(ge=1, le=100)] = 20


class Finished(Arguments):
    """The arguments of `todo.done`."""

    id: Annotated[int, Field(ge=1, lt=2**63)]


class TodoList:
    """The list in its file. Every call commits before it returns and may be made from any thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._opened() as connection:
            connection.executescript(_CREATE)

    def add(self, new: NewItem) -> dict[str, Any]:
        """Put an item on the list unless it is an open item already, so that a call can be repeated safely."""
        due = new.due.isoformat() if new.due else None
        with self._opened() as connection:
            created = connection.execute(_ADD, (new.text, due, _now())).rowcount == 1
            return {"item": dict(connection.execute(_FIND, (new.text,)).fetchone()), "created": created}

    def show(self, wanted: Shown) -> dict[str, Any]:
        """Return the items, oldest first, and their total number."""
        with self._opened() as connection:
            rows = [dict(row) for row in connection.execute(_LIST, (wanted.status, wanted.limit))]
        total = rows[0]["total"] if rows else 0
        return {"items": [{name: row[name] for name in row if name != "total"} for row in rows], "total": total}

    def finish(self, finished: Finished) -> dict[str, Any] | None:
        """Tick an item off; return None when no item has this id."""
        with self._opened() as connection:
            row = connection.execute(_DONE, (_now(), finished.id)).fetchone()
        return None if row is None else {"item": dict(row)}

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=10)) as connection, connection:
            connection.row_factory = sqlite3.Row
            yield connection


async def add(items: TodoList, request: Request) -> JSONResponse:
    """Answer `todo.add`."""
    new = await from_body(request, NewItem)
    return JSONResponse(await run_sync(items.add, new))


async def show(items: TodoList, request: Request) -> JSONResponse:
    """Answer `todo.list`."""
    return JSONResponse(await run_sync(items.show, from_query(request, Shown)))


async def finish(items: TodoList, request: Request) -> JSONResponse:
    """Answer `todo.done`."""
    finished = await from_body(request, Finished)
    found = await run_sync(items.finish, finished)
    if found is None:
        raise HTTPException(404, f"There is no item {finished.id} on the list.")
    return JSONResponse(found)


def build(file: Path) -> Starlette:
    """Return the service on a file, which is created if it is not there."""
    items = TodoList(file)
    return application(
        [
            Route("/items", partial(show, items), methods=["GET"]),
            Route("/items", partial(add, items), methods=["POST"]),
            Route("/items/done", partial(finish, items), methods=["POST"]),
        ]
    )


def main() -> int:
    """Serve the list until stopped."""
    parser = argparse.ArgumentParser(description="A to-do list over HTTP, kept in a SQLite file.")
    parser.add_argument("--port", type=int, default=8802, help="port on 127.0.0.1, 0 for any free one (8802)")
    parser.add_argument("--file", type=Path, default=Path("todo.db"), help="the list's own database (todo.db)")
    arguments = parser.parse_args()
    try:
        app = build(arguments.file)
    except sqlite3.Error as error:
        print(f"{arguments.file} cannot be used: {error}", file=sys.stderr)
        return 1
    return serve(app, name="To-Do List", port=arguments.port, path="/items")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


if __name__ == "__main__":
    sys.exit(main())
