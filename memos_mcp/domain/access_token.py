"""Access tokens, principals, and the ports through which a request is authenticated."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol, TypeAlias
from uuid import UUID

from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.limits import check_name
from memos_mcp.domain.scope import ALL_RIGHTS, Right, Scope

TokenState: TypeAlias = Literal["active", "expired", "revoked"]

DEFAULT_RIGHTS: Final[frozenset[Right]] = frozenset({"read", "write", "tools"})
MAX_NOTE_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Principal:
    """Who sends a request, and what may be read and done for it.

    id: the same for all requests with one credential, and no other's; sessions are bound to it. name: for people and
    the audit trail. Neither holds anything secret.
    """

    id: str
    name: str
    scope: Scope


class Authenticator(Protocol):
    """Finds who sends a request. Called for each one, so an implementation remembers what it has checked."""

    async def authenticate(self, bearer: str) -> Principal | None:
        """Return whose bearer token this is, or None if it is not valid; raise `Unavailable` if that is not known."""


@dataclass(frozen=True, slots=True)
class NewAccessToken:
    """What an operator asks a token for."""

    namespace: str
    agent_id: str
    rights: frozenset[Right] = DEFAULT_RIGHTS
    expires_at: datetime | None = None
    note: str | None = None

    def check(self) -> None:
        """Raise `Invalid` for what cannot be stored."""
        check_name("namespace", self.namespace)
        check_name("agent_id", self.agent_id)
        if not self.rights or not self.rights <= ALL_RIGHTS:
            raise Invalid("rights must be one or more of read, write, tools and admin.")
        if self.note is not None:
            check_name("note", self.note, max_chars=MAX_NOTE_CHARS)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What is stored of a token, whose secret only its holder has. `prefix` begins it, and is no secret."""

    id: UUID
    prefix: str
    namespace: str
    agent_id: str
    rights: frozenset[Right]
    created_at: datetime
    expires_at: datetime | None = None
    note: str | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def state(self, now: datetime) -> TokenState:
        """Return whether it is accepted, and why not."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class AccessTokenStore(Protocol):
    """The access tokens of all namespaces."""

    async def add(self, new: NewAccessToken, prefix: str, digest: bytes, now: datetime) -> AccessToken:
        """Store a token by the SHA-256 of its text."""

    async def find(self, digests: Collection[bytes]) -> Mapping[bytes, AccessToken]:
        """Return those that exist of the tokens with these digests, whatever their state."""

    async def every(self) -> Sequence[AccessToken]:
        """Return all tokens, the oldest first."""

    async def revoke(self, token_id: UUID, now: datetime) -> None:
        """Revoke a token, unless it is revoked already."""

    async def record_uses(self, used_at: Mapping[UUID, datetime]) -> None:
        """Record when tokens were used, unless a later use is recorded."""
