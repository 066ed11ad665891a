"""Reads an OpenAPI document, from a file or an address, with limits and clear errors."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import anyio
import httpx2

from memos_mcp.cli.importing import open_file
from memos_mcp.domain.errors import Invalid, Unavailable

MAX_BYTES: Final = 32 * 1024 * 1024
"""The document of GitHub, one of the largest, has 13 MB."""

SECONDS: Final = 60.0
MAX_REDIRECTS: Final = 5

_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_ACCEPT: Final = "application/vnd.oai.openapi+json, application/json, application/yaml, text/yaml, */*;q=0.5"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document: its name for messages, its address if it has one, and how files beside it are read."""

    data: bytes
    name: str
    address: str | None = None
    read_file: Callable[[str], bytes] | None = None


async def fetch(location: str) -> Fetched:
    """Return the document of a file or an http(s) address; raise `Invalid` or `Unavailable` with what to do."""
    if _ADDRESS.match(location):
        return await _from_address(location)
    path = Path(location)

    def read_file(relative: str) -> bytes:
        return _beside(path, relative)

    return Fetched(await anyio.to_thread.run_sync(_from_file, path), path.name, read_file=read_file)


def _from_file(path: Path) -> bytes:
    with open_file(path) as file:
        try:
            data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise Invalid(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise Invalid(f"{path} has more than {MAX_BYTES // 2**20} MiB.")
    return data


def _beside(path: Path, relative: str) -> bytes:
    """Read a file that a document refers to: a document of others must not reach all files of this machine."""
    folder = path.resolve().parent
    try:
        wanted = (folder / relative).resolve()
    except ValueError:  # a NUL
        raise Invalid("it is no path") from None
    if not wanted.is_relative_to(folder):
        raise Invalid("it is outside of the folder of the document")
    return _from_file(wanted)


async def _from_address(address: str) -> Fetched:
    parts = _parts(address)
    if parts.username is not None or parts.password is not None:
        raise Invalid("The address holds credentials, which other programs can see. Download the file, and add that.")
    # The certificates of the system load slowly: in a thread.
    trust = await anyio.to_thread.run_sync(httpx2.create_ssl_context)
    try:
        with anyio.fail_after(SECONDS):
            async with (
                httpx2.AsyncClient(
                    trust_env=False, verify=trust, follow_redirects=True, max_redirects=MAX_REDIRECTS, timeout=SECONDS
                ) as client,
                client.stream("GET", address, headers={"accept": _ACCEPT}) as response,
            ):
                return Fetched(await _body(response), parts.hostname or address, str(response.url))
    except (TimeoutError, httpx2.TimeoutException):
        raise Unavailable(f"{parts.hostname} did not answer within {SECONDS:g} s. Run the command again.") from None
    except httpx2.ConnectError:
        raise Unavailable(f"{parts.hostname} cannot be reached. Check the address and the network.") from None
    except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
        raise Unavailable(f"{parts.hostname} did not send the document ({type(error).__name__}).") from None


async def _body(response: httpx2.Response) -> bytes:
    if not response.is_success:
        raise Invalid(f"{response.url.host} answered with status {response.status_code}. Check the address.")
    body = bytearray()
    async for part in response.aiter_bytes():
        body += part
        if len(body) > MAX_BYTES:
            raise Invalid(f"The document has more than {MAX_BYTES // 2**20} MiB.")
    return bytes(body)


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise Invalid("The address is not a valid URL.") from None
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise Invalid("An address must start with http:// or https:// and name a host.")
    return parts
