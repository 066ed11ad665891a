"""The file of the MCP servers whose tools can be called, `tool_servers.json` in the data folder."""

import re
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from memos_mcp.tool_calling.private_file import FileUnusable, PrivateFile
from memos_mcp.tool_calling.tool_servers import ToolServer

FILE_NAME: Final = "tool_servers.json"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET_OPTION: Final = re.compile(r"--?[\w-]*(api[_-]?key|token|secret|password|passwd)[\w-]*(=.+)?", re.IGNORECASE)


class WrongServer(Exception):
    """A server cannot be added so. The message says what is wrong and what to do."""


class _StoredServer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    command: list[str] = []
    env: list[str] = []
    url: str | None = None
    auth: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "_StoredServer":
        if bool(self.command) == bool(self.url):
            raise ValueError("give either command or url")
        return self


class ServerFile:
    """Reads and changes the file. Changes of it count from the next call on."""

    def __init__(self, path: Path) -> None:
        self._file = PrivateFile(path)

    def get(self, name: str) -> ToolServer | None:
        """Return a server, or None for an unknown name; raise `FileUnusable` for a file that cannot be used."""
        content = self._file.read()
        return self._server(name, content[name]) if name in content else None

    def all(self) -> list[ToolServer]:
        """Return the servers by name."""
        return [self._server(name, value) for name, value in sorted(self._file.read().items())]

    def put(self, server: ToolServer) -> None:
        """Add a server, or replace the one of its name; raise `WrongServer` for one that would not work or be safe."""
        check_server(server)
        stored = _StoredServer(
            command=list(server.command), env=list(server.env), url=server.url, auth=server.auth
        ).model_dump(exclude_defaults=True)
        with self._file.edit() as content:
            content[server.name] = stored

    def remove(self, name: str) -> bool:
        """Remove a server; return whether there was one."""
        with self._file.edit() as content:
            return content.pop(name, None) is not None

    def _server(self, name: str, value: Any) -> ToolServer:
        try:
            stored = _StoredServer.model_validate(value)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            path = "/".join([name, *map(str, problem["loc"])])
            raise FileUnusable(
                f"{self._file.path} cannot be used: at {path}, {problem['msg']}. Correct it by hand."
            ) from None
        return ToolServer(name, tuple(stored.command), tuple(stored.env), stored.url, stored.auth)


def check_server(server: ToolServer) -> None:
    """Raise `WrongServer` for a name, a variable or an argument that cannot be used, or that would show a secret."""
    if not _NAME.fullmatch(server.name):
        raise WrongServer(
            "The name of a server has up to 64 letters, digits, dots, dashes and underscores, and starts with a letter "
            "or digit."
        )
    for name in server.env:
        if not _VARIABLE.fullmatch(name):
            raise WrongServer("--env takes the name of a variable only. Its value comes from the environment.")
    for argument, following in zip_longest(server.command, server.command[1:], fillvalue="-"):
        option = _SECRET_OPTION.fullmatch(argument)
        if option and (option[2] or not following.startswith("-")):
            raise WrongServer(
                f"{argument.partition('=')[0]} would show a secret in the list of processes. Give it in an environment "
                "variable that the server reads, named with --env."
            )
