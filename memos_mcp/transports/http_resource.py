"""What this server is to an OAuth authorization server and its clients: a protected resource (RFC 9728)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mcp.server.auth.handlers.metadata import ProtectedResourceMetadataHandler
from mcp.server.auth.routes import cors_middleware
from mcp.shared.auth import ProtectedResourceMetadata
from starlette.routing import Route

from memos_mcp.domain.access_token import DEFAULT_RIGHTS, Authenticator
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.scope import Right
from memos_mcp.oidc.claims import ClaimRules, scope_name
from memos_mcp.settings import Settings
from memos_mcp.transports.http_url import base_url, is_loopback, scheme_of

_WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


@dataclass(frozen=True, slots=True)
class ProtectedResource:
    """The server at its public URL, and the issuer of the access tokens that it accepts."""

    url: str
    issuer: str

    @property
    def metadata_url(self) -> str:
        """Where clients that know no more than a refused request find the issuer (RFC 9728, section 3.1)."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}{_WELL_KNOWN}{parts.path.rstrip('/')}"

    def routes(self) -> list[Route]:
        """Return the routes of the metadata: at its own URL, at that of `/mcp`, and at the root, as a last resort."""
        # Texts and no URL objects, which would add a slash to an issuer without a path: clients compare it exactly.
        metadata = ProtectedResourceMetadata(
            resource=self.url,
            authorization_servers=[self.issuer],
            scopes_supported=scopes(DEFAULT_RIGHTS),
            resource_name="memOS.as",
        )
        handler = cors_middleware(ProtectedResourceMetadataHandler(metadata).handle, ["GET", "OPTIONS"])
        paths = {urlsplit(self.metadata_url).path, f"{_WELL_KNOWN}/mcp", _WELL_KNOWN}
        return [Route(path, handler, methods=["GET", "OPTIONS"]) for path in sorted(paths)]


def protected_resource(settings: Settings) -> ProtectedResource | None:
    """Return what these settings make of the server, or None without an issuer; raise `Invalid` without its URL."""
    if settings.oidc_issuer is None:
        return None
    url = settings.resource_url
    if url is None and is_loopback(settings.host) and settings.port != 0:
        url = f"{base_url(scheme_of(settings), settings.host, settings.port)}/mcp"
    if url is None:
        raise Invalid(
            "MEMOS_OIDC_ISSUER needs MEMOS_RESOURCE_URL, the URL by which clients reach this server, such as "
            "https://memos.example.com/mcp."
        )
    return ProtectedResource(url, settings.oidc_issuer)


def issuer_tokens(settings: Settings) -> list[Authenticator]:
    """Return what knows the tokens of the issuer, if one is set. Only then its libraries are imported."""
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return []
    from memos_mcp.oidc.authenticator import issuer_authenticator

    rules = ClaimRules(
        settings.oidc_issuer,
        settings.oidc_audience,
        settings.oidc_namespace,
        settings.oidc_namespace_claim,
        settings.oidc_agent_claim,
        settings.oidc_rights_claim,
    )
    return [issuer_authenticator(rules, frozenset(settings.oidc_algorithms))]


def scopes(rights: Collection[Right]) -> list[str]:
    """Return the OAuth scopes that stand for rights, sorted."""
    return sorted(map(scope_name, rights))
