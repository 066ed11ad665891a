"""The commands that make, list and revoke access tokens."""

from datetime import UTC, datetime, timedelta
from typing import Any

from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import notice, print_json, print_lines
from memos_mcp.domain.access_token import DEFAULT_RIGHTS, AccessToken, NewAccessToken
from memos_mcp.domain.scope import Right
from memos_mcp.mcp_server.memory_results import rfc3339
from memos_mcp.settings import Settings


async def create_token(
    settings: Settings,
    *,
    namespace: str,
    agent: str | None,
    rights: frozenset[Right] | None,
    expires: timedelta | None,
    note: str | None,
) -> int:
    """Make a token and print it, alone on stdout; return 0."""
    expires_at = None if expires is None else datetime.now(UTC) + expires
    new = NewAccessToken(namespace, agent or settings.agent_id, rights or DEFAULT_RIGHTS, expires_at, note)
    async with opened_record(settings) as (app, _):
        text, token = await app.access_tokens.create(new)
    print_lines([text])
    until = "" if token.expires_at is None else f" It expires at {rfc3339(token.expires_at)}."
    notice(f"Keep this token now: it is not shown again. To revoke it: memos-as token revoke {token.prefix}.{until}")
    return 0


async def list_tokens(settings: Settings, *, as_json: bool) -> int:
    """Print the tokens without their secrets; return 0, also when there are none."""
    async with opened_record(settings) as (app, _):
        tokens = await app.access_tokens.every()
    rows = [row_of(token, datetime.now(UTC)) for token in tokens]
    if as_json:
        print_json({"tokens": rows})
        return 0
    from memos_mcp.cli.token_table import print_tokens

    print_tokens(rows)
    if not rows:
        notice("There are no access tokens. Make one: memos-as token create --namespace NAMESPACE")
    return 0


async def revoke_token(settings: Settings, *, reference: str) -> int:
    """Revoke a token; return 0, also when it was revoked before."""
    async with opened_record(settings) as (app, _):
        token = await app.access_tokens.revoke(reference)
    when = "was revoked already" if token.revoked_at is not None else "is revoked"
    notice(f"{token.prefix} of namespace {token.namespace!a} {when}.")
    return 0


def row_of(token: AccessToken, now: datetime) -> dict[str, Any]:
    """Return what is shown of a token."""
    return {
        "id": str(token.id),
        "prefix": token.prefix,
        "namespace": token.namespace,
        "agent_id": token.agent_id,
        "rights": [right for right in ("read", "write", "tools", "admin") if right in token.rights],
        "state": token.state(now),
        "created_at": rfc3339(token.created_at),
        "expires_at": _time(token.expires_at),
        "revoked_at": _time(token.revoked_at),
        "last_used_at": _time(token.last_used_at),
        "note": token.note,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
