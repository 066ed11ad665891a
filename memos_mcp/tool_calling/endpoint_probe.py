"""Tests whether an endpoint can be reached, without a request: a connection to a checked address, and TLS."""

import ssl
from collections.abc import Sequence
from typing import Final

import anyio
import httpx2
from anyio.abc import SocketStream
from anyio.streams.tls import TLSStream
from anyio.to_thread import run_sync

from memos_mcp.tool_calling.allowed_hosts import AllowedHosts, HostNotAllowed

_PORTS: Final = {"http": 80, "https": 443}

PROBE_SECONDS: Final = 5.0
WHICH_HOSTS: Final = "MEMOS_TOOL_HOSTS and MEMOS_TOOL_PRIVATE_HOSTS name those that may be called"


class EndpointProbe:
    """Connects to hosts as a call would, and closes the connection. `trust` holds the trusted certificates."""

    def __init__(
        self, hosts: AllowedHosts, *, trust: ssl.SSLContext | None = None, seconds: float = PROBE_SECONDS
    ) -> None:
        self._hosts = hosts
        self._trust = trust
        self._seconds = seconds

    async def problem(self, url: str) -> str | None:
        """Return why the host of a URL cannot be called, or None."""
        try:
            with anyio.fail_after(self._seconds):
                target = await self._hosts.target(url)
                return await self._connect(target.url, target.addresses)
        except HostNotAllowed as error:
            return str(error) if error.retryable else f"{error} ({WHICH_HOSTS})"
        except TimeoutError:
            return f"It does not accept a connection within {self._seconds:g} s"

    async def _connect(self, url: httpx2.URL, addresses: Sequence[str]) -> str | None:
        """Return why none of the addresses can be used, or None when one can."""
        problem: str | None = None
        for address in addresses:
            try:
                tcp = await anyio.connect_tcp(address, url.port or _PORTS[url.scheme])
            except OSError:
                problem = problem or "It cannot be reached"
                continue
            async with tcp:
                problem = await self._tls_problem(tcp, url.host) if url.scheme == "https" else None
            if problem is None:
                return None
        return problem

    async def _tls_problem(self, tcp: SocketStream, host: str) -> str | None:
        certificates = await self._certificates()
        try:
            stream = await TLSStream.wrap(tcp, hostname=host, ssl_context=certificates, standard_compatible=False)
            await stream.aclose()
        except ssl.SSLCertVerificationError as error:
            return f"Its certificate is not accepted: {error.verify_message}"
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream):
            return "It does not speak TLS"
        return None

    async def _certificates(self) -> ssl.SSLContext:
        """Return the trusted certificates. Those of the system load slowly: once, in a thread."""
        if self._trust is None:
            self._trust = await run_sync(httpx2.create_ssl_context)
        return self._trust
