"""What a call of the server fails with. No text names an address or holds a value of an answer."""

from typing import Final

from pydantic import ValidationError

PATH_CHARS: Final = 80


class MemosClientError(Exception):
    """A call failed. `reason` says why in words that follow "it"."""

    def __init__(self, reason: str, text: str | None = None) -> None:
        super().__init__(text or f"memOS.as: it {reason}.")
        self.reason = reason


class ServerUnavailable(MemosClientError):
    """The server cannot be reached, was lost, or did not answer in time: a change may have been made all the same."""


class CallRefused(MemosClientError):
    """The server refused a call, which changed nothing; the text is the server's own and says what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(f"refused: {text}", text)


class UnreadableAnswer(MemosClientError):
    """The answer has another shape than expected: of another server, or of another version."""

    def __init__(self, error: Exception) -> None:
        path = _first_path(error) if isinstance(error, ValidationError) else ""
        super().__init__(f"gave an answer that cannot be read{f' (at {path})' if path else ''}")


def _first_path(error: ValidationError) -> str:
    """Return the path to the first wrong value, without the value: it may be long or private."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return "/".join(map(str, first["loc"]))[:PATH_CHARS]
