"""The index log, as the services see it."""

from datetime import datetime
from typing import Protocol


class IndexLog(Protocol):
    """Requests of other processes to the process that holds the index, in the database."""

    async def request_rebuild(self) -> None: ...

    async def rebuild_requested(self) -> datetime | None: ...

    async def rebuild_done(self, requested_at: datetime) -> None:
        """Clear the request, unless a newer one has come."""
