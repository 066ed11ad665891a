"""Which memories a session of a client was shown: none is shown twice while it is in the model's context."""

import json
import os
import time
from collections.abc import Collection
from contextlib import suppress
from hashlib import sha256
from typing import Final

KEEP_SECONDS: Final = 7 * 86_400
"""How long the file of a session is kept that never ended."""


class ShownMemories:
    """The ids of the memories that a session was shown, in a file of the data folder `home`."""

    def __init__(self, home: str, session: str) -> None:
        self._folder = os.path.join(home, "hooks")
        self._path = os.path.join(self._folder, sha256(session.encode()).hexdigest()[:32] + ".json")

    def read(self) -> set[str]:
        """Return the ids; none when the file is missing or damaged."""
        with suppress(OSError, ValueError), open(self._path, "rb") as file:
            return set(json.loads(file.read()))
        return set()

    def add(self, ids: Collection[str]) -> None:
        """Add ids. The file is replaced as a whole, so that a reader never finds half of it."""
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        draft = f"{self._path}.{os.getpid()}"
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(sorted(self.read().union(ids)), file)
        os.replace(draft, self._path)

    def forget(self) -> None:
        """Remove the file of this session, and those of sessions without an event for long."""
        with suppress(OSError):
            os.unlink(self._path)
        with suppress(OSError):
            for entry in list(os.scandir(self._folder)):
                if entry.stat().st_mtime < time.time() - KEEP_SECONDS:
                    os.unlink(entry.path)
