"""The commands that set, list and remove credentials. They touch one file of the data folder, and no store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import SecretStr

from memos_mcp.cli.output import notice, print_json
from memos_mcp.domain.errors import Invalid
from memos_mcp.settings import Settings
from memos_mcp.tool_calling.credential_file import FILE_NAME, Binding, CredentialFile, WrongCredential, check_binding
from memos_mcp.tool_calling.private_file import FileUnusable


def checked_binding(name: str, hosts: Sequence[str], kind: Any, parameter: str | None) -> Binding:
    """Return a credential without its secret; raise `Invalid` for what cannot be one."""
    binding = Binding(name, tuple(dict.fromkeys(hosts)), kind, parameter)
    with _explained():
        check_binding(binding)
    return binding


async def set_credential(settings: Settings, *, binding: Binding, secret: SecretStr | None) -> int:
    """Add or replace a credential; return 0."""
    with _explained():
        stored = _file(settings).put(binding, secret)
    if stored.kept_in is None:
        notice(f"{binding.name} has no secret until {binding.variable} is set where memos-as runs.")
    elif secret is not None and stored.kept_in == "environment":
        notice(f"{binding.variable} is set here, and wins over the secret in the file.")
    return 0


async def list_credentials(settings: Settings, *, as_json: bool) -> int:
    """Print the credentials without their secrets; return 0, also when there are none."""
    with _explained():
        rows = [row_of(binding) for binding in _file(settings).bindings()]
    if as_json:
        print_json({"credentials": rows})
        return 0
    from memos_mcp.cli.credential_table import print_credentials

    print_credentials(rows)
    if not rows:
        notice("There are no credentials. Add one: memos-as credential set NAME --host HOST --bearer")
    return 0


async def remove_credentials(settings: Settings, *, names: Sequence[str]) -> int:
    """Remove credentials; return 1 when one of them does not exist."""
    with _explained():
        missing = [name for name in names if not _file(settings).remove(name)]
    for name in missing:
        notice(f"There is no credential {name!a}.")
    return 1 if missing else 0


def row_of(binding: Binding) -> dict[str, Any]:
    """Return what is shown of a credential."""
    return {
        "name": binding.name,
        "hosts": list(binding.hosts),
        "kind": binding.kind,
        "parameter": binding.parameter,
        "kept_in": binding.kept_in or "missing",
        "variable": binding.variable,
    }


def _file(settings: Settings) -> CredentialFile:
    return CredentialFile(settings.home / FILE_NAME, settings.secret)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (FileUnusable, WrongCredential) as error:
        raise Invalid(str(error)) from None
