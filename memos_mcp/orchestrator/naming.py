"""Names for tools that model APIs accept: at most 64 letters, digits, `_` and `-`. Pure."""

import re
from collections import Counter
from collections.abc import Collection
from hashlib import blake2b
from typing import Final

MAX_CHARS: Final = 64

_LEGAL: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ILLEGAL: Final = re.compile(r"[^a-zA-Z0-9_-]+")


def function_names(tool_ids: Collection[str]) -> dict[str, str]:
    """Return a unique legal name for each tool_id. A legal id is its own name.

    Other ids have illegal characters replaced by `_`, with a hash of the id appended if that is not unique.
    """
    plain = {tool_id: _legal(tool_id) for tool_id in tool_ids}
    count = Counter(plain.values())
    return {
        tool_id: name if name == tool_id or count[name] == 1 else _hashed(tool_id, name)
        for tool_id, name in plain.items()
    }


def _legal(tool_id: str) -> str:
    if _LEGAL.fullmatch(tool_id):
        return tool_id
    name = _ILLEGAL.sub("_", tool_id) or "unnamed"
    return name if len(name) <= MAX_CHARS else _hashed(tool_id, name)


def _hashed(tool_id: str, name: str) -> str:
    digest = blake2b(tool_id.encode(errors="surrogatepass"), digest_size=5).hexdigest()
    return f"{name[: MAX_CHARS - len(digest) - 1]}-{digest}"
