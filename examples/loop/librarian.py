"""The second kind of task that the scripted Cortex knows: to correct one book of a library and remove another."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

TASK: Final = re.compile(
    r"set the year of book (?P<book>\d+) to (?P<year>\d+),? and remove book (?P<other>\d+)", re.IGNORECASE
)
_LOOKS_UP: Final = re.compile(r"\blook up\b", re.IGNORECASE)
_REPLACES: Final = re.compile(r"\breplace\b", re.IGNORECASE)
_REMOVES: Final = re.compile(r"\bremove a book\b", re.IGNORECASE)


def next_message(task: re.Match[str], functions: Sequence[Mapping[str, Any]], answers: Mapping[str, str]) -> Any:
    """Return the next call, or the result; answers are those of the tools that were called, by name."""
    wanted = {"book_id": int(task["book"])}
    for action, arguments in (
        (_LOOKS_UP, lambda: wanted),
        (_REPLACES, lambda: wanted | _fields(answers, _offered(functions, _LOOKS_UP)) | {"year": int(task["year"])}),
        (_REMOVES, lambda: {"book_id": int(task["other"])}),
    ):
        function = _offered(functions, action)
        if function is None:
            return _reply("I have no tools for the books of a library: nothing was changed.")
        name = str(function["name"])
        if name not in answers:
            return _call(name, arguments())
        if "failed" in (answer := _parsed(answers[name])):
            return _reply(f"This could not be done: {answer['failed']}")
    return _reply(f"Book {task['book']} has the year {task['year']} now, and book {task['other']} is removed.")


def _offered(functions: Sequence[Mapping[str, Any]], action: re.Pattern[str]) -> Mapping[str, Any] | None:
    return next((function for function in functions if action.search(str(function.get("description")))), None)


def _fields(answers: Mapping[str, str], function: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the title and the author of the book that was looked up."""
    book = _parsed(answers[str(function["name"])]).get("answer") if function else None
    return {name: book[name] for name in ("title", "author")} if isinstance(book, dict) else {}


def _parsed(answer: str) -> dict[str, Any]:
    value = json.loads(answer)
    return value if isinstance(value, dict) else {}


def _call(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    call = {"name": name, "arguments": json.dumps(arguments)}
    return _reply(None) | {"tool_calls": [{"id": f"call_{uuid4().hex[:12]}", "type": "function", "function": call}]}


def _reply(text: str | None) -> dict[str, Any]:
    return {"role": "assistant", "content": text}
