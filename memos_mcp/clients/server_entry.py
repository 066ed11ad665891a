"""What an entry for this server says, in the words of each client. Pure."""

from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from shlex import quote
from typing import Any, Final, TypeAlias

from memos_mcp.domain.errors import Invalid

SERVER_NAME: Final = "memos"
TOKEN_VARIABLE: Final = "MEMOS_TOKEN"  # noqa: S105 - the name of a variable
"""The variable of a client from which it takes the token, where it can read no file."""

Entry: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LaunchedServer:
    """A server that the client launches, with its arguments and the variables that it gets."""

    command: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RemoteServer:
    """A server that the client connects to over streamable HTTP.

    Args:
        url: its address, which ends with `/mcp`.
        sends_token: False for a server whose clients sign in with an issuer.
        token_file: the file that has the token on this machine, if the entry may name it.

    """

    url: str
    sends_token: bool = True
    token_file: Path | None = None

    def authorization(self, token: str) -> dict[str, str]:
        """Return the header for a token, which is written as the client's reference to it; empty for none."""
        return {"Authorization": f"Bearer {token}"} if self.sends_token else {}


Server: TypeAlias = LaunchedServer | RemoteServer


def standard_launch(server: LaunchedServer) -> Entry:
    """Return the entry that most clients share."""
    return {"command": server.command, "args": list(server.args), **({"env": server.env} if server.env else {})}


def typed_launch(server: LaunchedServer) -> Entry:
    """Return the entry of clients that name the transport: Claude Code and VS Code."""
    return {"type": "stdio", **standard_launch(server)}


def opencode_launch(server: LaunchedServer) -> Entry:
    """Return the entry of opencode, whose command is a list."""
    environment = {"environment": server.env} if server.env else {}
    return {"type": "local", "command": [server.command, *server.args], **environment}


def goose_launch(server: LaunchedServer) -> Entry:
    """Return the entry of goose, whose extensions are disabled unless they say otherwise."""
    return {
        "type": "stdio",
        "name": SERVER_NAME,
        "enabled": True,
        "cmd": server.command,
        "args": list(server.args),
        **({"envs": server.env} if server.env else {}),
        "timeout": 300,
    }


def continue_launch(server: LaunchedServer) -> Entry:
    """Return the entry of Continue, whose servers are a list."""
    return {"name": SERVER_NAME, **standard_launch(server)}


def claude_code_remote(server: RemoteServer) -> Entry:
    """Return the entry of Claude Code, which takes headers from a shell command too: it reads the token's file."""
    entry: Entry = {"type": "http", "url": server.url}
    if not server.sends_token:
        return entry
    if server.token_file is None or isinstance(server.token_file, PureWindowsPath):
        return {**entry, "headers": server.authorization(f"${{{TOKEN_VARIABLE}}}")}
    file = quote(str(server.token_file))
    return {**entry, "headersHelper": f"""printf '{{"Authorization":"Bearer %s"}}' "$(cat {file})\""""}


def cursor_remote(server: RemoteServer) -> Entry:
    """Return the entry of Cursor."""
    return {"url": server.url, **_headers(server, f"${{env:{TOKEN_VARIABLE}}}")}


def vscode_remote(server: RemoteServer) -> Entry:
    """Return the entry of VS Code."""
    return {"type": "http", **cursor_remote(server)}


def windsurf_remote(server: RemoteServer) -> Entry:
    """Return the entry of Windsurf."""
    return {"serverUrl": server.url, **_headers(server, f"${{env:{TOKEN_VARIABLE}}}")}


def cline_remote(server: RemoteServer) -> Entry:
    """Return the entry of Cline."""
    return {"type": "streamableHttp", **cursor_remote(server)}


def gemini_remote(server: RemoteServer) -> Entry:
    """Return the entry of Gemini CLI."""
    return {"httpUrl": server.url, **_headers(server, f"${TOKEN_VARIABLE}")}


def codex_remote(server: RemoteServer) -> Entry:
    """Return the entry of Codex, which refuses a token in its file."""
    return {"url": server.url, **({"bearer_token_env_var": TOKEN_VARIABLE} if server.sends_token else {})}


def zed_remote(server: RemoteServer) -> Entry:
    """Return the entry of Zed, which reads headers from its file only; raise `Invalid` when one is needed."""
    if server.sends_token:
        raise Invalid(
            "Zed reads a token only from the file itself, where it is not safe. "
            "Leave out --http: a server that Zed launches needs no token."
        )
    return {"url": server.url}


def continue_remote(server: RemoteServer) -> Entry:
    """Return the entry of Continue, which reads secrets from `.env` files."""
    headers = _headers(server, f"${{{{ secrets.{TOKEN_VARIABLE} }}}}")
    options = {"requestOptions": headers} if headers else {}
    return {"name": SERVER_NAME, "type": "streamable-http", "url": server.url, **options}


def opencode_remote(server: RemoteServer) -> Entry:
    """Return the entry of opencode, which reads the token's file; it would ask for a sign-in without `oauth: false`."""
    reference = f"{{env:{TOKEN_VARIABLE}}}" if server.token_file is None else f"{{file:{server.token_file}}}"
    oauth = {"oauth": False} if server.sends_token else {}
    return {"type": "remote", "url": server.url, **oauth, **_headers(server, reference)}


def goose_remote(server: RemoteServer) -> Entry:
    """Return the entry of goose, which takes the token from its keyring or a variable."""
    keys = {"env_keys": [TOKEN_VARIABLE]} if server.sends_token else {}
    return {
        "type": "streamable_http",
        "name": SERVER_NAME,
        "enabled": True,
        "uri": server.url,
        **_headers(server, f"${{{TOKEN_VARIABLE}}}"),
        **keys,
        "timeout": 300,
    }


def reads_variable(entry: Entry) -> bool:
    """Return whether the client takes the token from the variable."""
    return TOKEN_VARIABLE in str(entry)


def _headers(server: RemoteServer, token: str) -> Entry:
    authorization = server.authorization(token)
    return {"headers": authorization} if authorization else {}
