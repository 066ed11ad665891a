"""The arguments of `memos-as tools add-openapi`."""

import argparse
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from memos_mcp.cli import argument_types as types
from memos_mcp.settings import Settings


def add_openapi_command(actions: "argparse._SubParsersAction[Any]") -> None:
    """Add the command to those of the toolbox."""
    add = actions.add_parser("add-openapi", help="register the operations of an OpenAPI document; run again to update")
    add.add_argument("location", metavar="LOCATION", help="a file or an http(s) address, OpenAPI 3.0 or 3.1")
    add.add_argument("--name", type=types.name, metavar="SOURCE", help="the name of the source (made of the title)")
    add.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="NAME",
        help="only operations with this tag or id; repeatable",
    )
    add.add_argument("--base-url", metavar="URL", help="the address of the service, instead of the document's servers")
    add.add_argument(
        "--auth",
        action="append",
        default=[],
        metavar="[SCHEME=]NAME",
        help="the credential to call with, for all security schemes or for one; repeatable",
    )
    add.add_argument("--dry-run", action="store_true", help="report the changes, and store nothing")
    add.add_argument("--no-wait", action="store_true", help="leave the indexing to a running server")
    add.add_argument("--json", action="store_true", help="print the report as JSON")
    add.set_defaults(choose=_add_openapi)


def _add_openapi(arguments: argparse.Namespace) -> Callable[[Settings], Awaitable[int]]:
    from memos_mcp.cli.openapi_importing import OpenApiImport, add_openapi

    wanted = OpenApiImport(
        location=arguments.location,
        source=arguments.name,
        include=arguments.include,
        base_url=arguments.base_url,
        auth=arguments.auth,
        dry_run=arguments.dry_run,
        wait=not arguments.no_wait,
        as_json=arguments.json,
    )
    return partial(add_openapi, wanted=wanted)
