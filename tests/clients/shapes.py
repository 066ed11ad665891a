"""The files of clients in several shapes, each before and after the installation, from the texts in `shapes/`.

`none` stands for no file. The `broken` ones are followed by the message, with FILE for the path.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from memos_mcp.clients.known_clients import CLIENTS, KnownClient

FOLDER: Final = Path(__file__).with_suffix("")
NO_LINE_END: Final = "\n\\ No newline at end of file\n"


class Shape(NamedTuple):
    """A text before the installation, None for no file, and the one that it becomes."""

    client: KnownClient
    name: str
    before: str | None
    connected: str

    def __str__(self) -> str:
        return f"{self.client.name} {self.name}"


@cache
def sections(client: KnownClient) -> dict[str, str]:
    """Return the texts of a client by their headings."""
    parts = re.split(r"(?m)^### (.+)\n", (FOLDER / f"{client.name}.txt").read_bytes().decode())[1:]
    return {name: text.removesuffix(NO_LINE_END) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def shapes() -> Iterator[Shape]:
    """Yield every shape that can be connected."""
    for client in CLIENTS:
        found = sections(client)
        for heading, text in found.items():
            if heading.endswith(", connected"):
                name = heading.removesuffix(", connected")
                yield Shape(client, name, found.get(name), text)
