"""Fetches the keys of an issuer from the address that its metadata names."""

import json
import ssl
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2

FETCH_SECONDS: Final = 5.0
MAX_BYTES: Final = 256 * 1024
_HEADERS: Final = {"Accept": "application/json", "Accept-Encoding": "identity"}  # so that what is read is bounded
_FOUND: Final = 200
_NOT_FOUND: Final = 404


class FetchError(Exception):
    """The keys cannot be fetched. The reason is for the operator's log."""


class IssuerMetadata:
    """The documents that an issuer publishes. Nothing is fetched from an address that a token names."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._trust: ssl.SSLContext | None = None

    async def fetch_keys(self) -> list[Any]:
        """Return the members of the issuer's JSON Web Key Set; raise `FetchError` within `FETCH_SECONDS`."""
        try:
            with anyio.fail_after(FETCH_SECONDS):
                if self._trust is None:
                    self._trust = await anyio.to_thread.run_sync(httpx2.create_ssl_context)
                # A proxy is never between this server and an issuer on its own machine.
                proxied = self._issuer.startswith("https:")
                async with httpx2.AsyncClient(verify=self._trust, trust_env=proxied, timeout=FETCH_SECONDS) as client:
                    address = await self._address_of_keys(client)
                    keys = (await _json_object(client, address) or {}).get("keys")
        except TimeoutError:
            raise FetchError("no answer in time") from None
        except (httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            raise FetchError(type(error).__name__) from error
        if not isinstance(keys, list):
            raise FetchError("there is no list of keys")
        return keys

    async def _address_of_keys(self, client: httpx2.AsyncClient) -> str:
        """Ask for the metadata of OpenID Connect Discovery, then for that of RFC 8414."""
        parts = urlsplit(self._issuer)
        origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
        metadata = await _json_object(client, f"{origin}{path}/.well-known/openid-configuration")
        if metadata is None:
            metadata = await _json_object(client, f"{origin}/.well-known/oauth-authorization-server{path}")
        if metadata is None:
            raise FetchError("there is no metadata at its well-known addresses")
        if metadata.get("issuer") != self._issuer:
            raise FetchError("its metadata names another issuer than MEMOS_OIDC_ISSUER")
        address = metadata.get("jwks_uri")
        if not isinstance(address, str) or not address.startswith(("https://", f"{origin}/")):
            raise FetchError("its metadata names no address of keys, or one without TLS")
        return address


async def _json_object(client: httpx2.AsyncClient, url: str) -> dict[str, Any] | None:
    """Return a JSON object, or None if there is none at this address. Redirects are not followed."""
    body = bytearray()
    async with client.stream("GET", url, headers=_HEADERS) as response:
        if response.status_code == _NOT_FOUND:
            return None
        if response.status_code != _FOUND:
            raise FetchError(f"status {response.status_code}")
        async for part in response.aiter_raw():
            body += part
            if len(body) > MAX_BYTES:
                raise FetchError(f"more than {MAX_BYTES} bytes")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise FetchError("an answer that is not JSON") from None
    if not isinstance(answer, dict):
        raise FetchError("an answer that is no object")
    return answer
