"""The files of clients in several shapes, each before and after the installation, from the texts in `shapes/`.

Those with hooks are in `hook_shapes/`. `none` stands for no file. The `broken` ones are followed by the message, with
FILE for the path.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from memos_mcp.clients.known_clients import CLIENTS, KnownClient
from memos_mcp.clients.system import ConfigFile, System

SERVERS: Final = Path(__file__).with_suffix("")
HOOKS: Final = SERVERS.with_name("hook_shapes")
NO_LINE_END: Final = "\n\\ No newline at end of file\n"


class Shape(NamedTuple):
    """A text before the installation, None for no file, and the one that it becomes."""

    client: KnownClient
    folder: Path
    name: str
    before: str | None
    connected: str

    def __str__(self) -> str:
        return f"{self.client.name}{' hooks' if self.folder == HOOKS else ''} {self.name}"

    def path(self, system: System) -> Path:
        """Return the path of the file."""
        return file_of(self.client, self.folder).path(system)


def file_of(client: KnownClient, folder: Path) -> ConfigFile:
    """Return the file that the texts of a folder are of."""
    return client.user if folder == SERVERS or client.hooks is None else client.hooks.user


@cache
def sections(client: KnownClient, folder: Path = SERVERS) -> dict[str, str]:
    """Return the texts of a client by their headings."""
    parts = re.split(r"(?m)^### (.+)\n", (folder / f"{client.name}.txt").read_bytes().decode())[1:]
    return {name: text.removesuffix(NO_LINE_END) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def clients_of(folder: Path) -> list[KnownClient]:
    """Return the clients that have texts in a folder."""
    return [client for client in CLIENTS if folder == SERVERS or client.hooks is not None]


def shapes() -> Iterator[Shape]:
    """Yield every shape that can be connected."""
    for folder in (SERVERS, HOOKS):
        for client in clients_of(folder):
            found = sections(client, folder)
            for heading, text in found.items():
                if heading.endswith(", connected"):
                    name = heading.removesuffix(", connected")
                    yield Shape(client, folder, name, found.get(name), text)
