"""The addresses of one Qdrant server or cluster, and which of them requests are sent to."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import httpx
from qdrant_client import AsyncQdrantClient
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException

from memos_mcp.domain.errors import IndexUnavailable

logger = logging.getLogger(__name__)

UNREACHABLE: Final = "The search index cannot be reached. Repeat the call later."

Answer = TypeVar("Answer")


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise `IndexUnavailable` for the client's errors, and log them."""
    try:
        yield
    except (ApiException, QdrantException, OSError) as error:
        logger.warning("The Qdrant server did not answer as expected: %s: %s", type(error).__name__, error)
        raise IndexUnavailable(UNREACHABLE) from error


class Nodes:
    """Sends requests to one address, until its connection fails; then to the next one."""

    def __init__(self, clients: Sequence[AsyncQdrantClient]) -> None:
        self._clients = clients
        self._current = 0

    async def ask(self, request: Callable[[AsyncQdrantClient], Awaitable[Answer]]) -> Answer:
        """Send a request through a client; when its connection fails, once to each other address.

        The node that failed may have carried out the request. Repeating it is safe, because every request says how
        things shall be: points by their ids, deletions, aliases. Only a collection that exists already is refused,
        and then its generation is given up and another one created.
        """
        with translate_errors():
            other_addresses = len(self._clients) - 1
            while True:
                asked = self._current
                try:
                    return await request(self._clients[asked])
                except ResponseHandlingException as error:
                    if not self._leave(asked, error.source) or not other_addresses:
                        raise
                    other_addresses -= 1

    async def close(self) -> None:
        with translate_errors():
            for client in self._clients:
                await client.close()

    def _leave(self, asked: int, error: Exception) -> bool:
        """Make the next address the current one if a connection failed; return whether to repeat the request there.

        After a timeout other than of connecting, it is not repeated: its caller has waited long enough.
        """
        if not isinstance(error, httpx.TransportError):
            return False
        if self._current == asked and len(self._clients) > 1:  # another request may have done so
            self._current = (asked + 1) % len(self._clients)
            logger.warning("Address %d of MEMOS_QDRANT_URL failed; the next one is used", asked + 1)
        return isinstance(error, httpx.ConnectTimeout) or not isinstance(error, httpx.TimeoutException)
