"""The formats of the log: text for people, and JSON, one object a line, for programs."""

import json
import logging
from datetime import UTC, datetime
from typing import Any, Final, Literal

from memos_mcp.telemetry.request_ids import current

TEXT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

FIELDS: Final = ("incident", "tool", "outcome")
"""What a line may say besides its message, as `extra` of the standard library."""


class JsonFormatter(logging.Formatter):
    """Formats a record as an object on one line, an exception with its traceback as one of its members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, Any] = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := current()) is not None:
            line["request_id"] = request_id
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


def formatter(log_format: Literal["text", "json"]) -> logging.Formatter:
    """Return the formatter of a format."""
    return JsonFormatter() if log_format == "json" else logging.Formatter(TEXT)
