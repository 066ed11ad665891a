"""The commands that set, list and unset the quotas of namespaces."""

from dataclasses import asdict
from typing import Any

from memos_mcp.cli.opened_record import opened_record
from memos_mcp.cli.output import notice, print_json
from memos_mcp.domain.errors import Invalid, NotFound
from memos_mcp.domain.quotas import NO_QUOTA, Amounts, Quota
from memos_mcp.settings import Settings


async def set_quota(settings: Settings, *, namespace: str, quota: Quota) -> int:
    """Change the limits that are given; return 0."""
    if quota == NO_QUOTA:
        raise Invalid("Name a limit to set, such as --memories 100000. See: memos-as quota set --help")
    async with opened_record(settings) as (app, _):
        own = await app.quotas.store.set(namespace, quota)
    limits = ", ".join(f"{name} {value:,}" for name, value in asdict(own).items() if value is not None)
    notice(f"The limits of namespace {namespace!a}: {limits}.")
    return 0


async def list_quotas(settings: Settings, *, as_json: bool) -> int:
    """Print the limits of the namespaces that have any of their own; return 0, also when there are none."""
    async with opened_record(settings) as (app, _):
        quotas, amounts = await app.quotas.store.every(), await app.quotas.store.amounts()
    rows = [_row(namespace, quota, amounts.get(namespace)) for namespace, quota in quotas.items()]
    if as_json:
        print_json({"quotas": rows})
        return 0
    from memos_mcp.cli.quota_table import print_quotas

    print_quotas(rows)
    if not rows:
        notice("No namespace has limits of its own. Set one: memos-as quota set --namespace NAMESPACE --memories N")
    return 0


async def unset_quota(settings: Settings, *, namespace: str) -> int:
    """Remove the limits of a namespace; return 0."""
    async with opened_record(settings) as (app, _):
        if not await app.quotas.store.unset(namespace):
            raise NotFound("This namespace has no limits of its own. List them: memos-as quota list")
    notice(f"Namespace {namespace!a} has no limits of its own any more.")
    return 0


def _row(namespace: str, quota: Quota, amounts: Amounts | None) -> dict[str, Any]:
    return {"namespace": namespace, "limits": asdict(quota), "holds": None if amounts is None else asdict(amounts)}
