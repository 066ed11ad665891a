"""The clients: their files, the keys of their lists of servers, and the forms of their entries.

Each client names the page of its documentation that has this, as of November 2026.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memos_mcp.clients import known_hooks
from memos_mcp.clients import server_entry as entries
from memos_mcp.clients.config_text import Keys, TextEditor
from memos_mcp.clients.hook_entries import ClientHooks
from memos_mcp.clients.jsonc_text import JsoncText
from memos_mcp.clients.server_entry import Entry, LaunchedServer, RemoteServer
from memos_mcp.clients.system import ConfigFile, Folder, Scope, System
from memos_mcp.clients.toml_text import TomlText
from memos_mcp.clients.yaml_text import YamlText


@dataclass(frozen=True, slots=True)
class KnownClient:
    """A client.

    Args:
        name: what it is called on the command line.
        title: what it calls itself.
        source: where its documentation describes the file.
        editor: the editor of its format.
        lists: the keys of its list of servers; of several, the first that a file has, else the last.
        launch: the form of an entry for a server that it launches.
        remote: the same over HTTP, or None for a client whose file has no such entries.
        user: its file for all projects of a user, and `project` the one of a single project, or None.
        marker: the folder that exists where the client was used.
        note: what else it needs before it connects.
        secrets: where it reads the variable of the token.
        path_variable: a variable that names the file itself.
        hooks: its hooks, or None for a client that has none for this program.

    """

    name: str
    title: str
    source: str
    editor: TextEditor
    lists: tuple[Keys, ...]
    launch: Callable[[LaunchedServer], Entry]
    remote: Callable[[RemoteServer], Entry] | None
    user: ConfigFile
    project: ConfigFile | None
    marker: tuple[Folder, str]
    note: str = "Restart it to connect."
    secrets: str = "its environment"
    path_variable: str | None = None
    hooks: ClientHooks | None = None

    def file(self, scope: Scope) -> ConfigFile | None:
        """Return the file of a scope, or None where the client has none."""
        return self.user if scope == "user" else self.project

    def path(self, scope: Scope, system: System) -> Path | None:
        """Return the path of the file of a scope."""
        named = system.environment.get(self.path_variable, "") if self.path_variable and scope == "user" else ""
        file = self.file(scope)
        return Path(named) if named else None if file is None else file.path(system)

    def is_found(self, system: System) -> bool:
        """Return whether the client was used by this user."""
        folder, name = self.marker
        return (system.folder(folder) / name).is_dir() or self.user.path(system).exists()


CLIENTS: Final = (
    KnownClient(
        name="claude-code",
        title="Claude Code",
        source="https://code.claude.com/docs/en/mcp",
        editor=JsoncText(),
        lists=(("mcpServers",),),
        launch=entries.typed_launch,
        remote=entries.claude_code_remote,
        user=ConfigFile("claude", (".claude.json",)),
        project=ConfigFile("project", (".mcp.json",)),
        marker=("home", ".claude"),
        note="New sessions connect; servers of a project are approved at its next start.",
        hooks=known_hooks.CLAUDE_CODE,
    ),
    KnownClient(
        name="claude-desktop",
        title="Claude Desktop",
        source="https://modelcontextprotocol.io/docs/develop/connect-local-servers",
        editor=JsoncText(),
        lists=(("mcpServers",),),
        launch=entries.standard_launch,
        remote=None,
        user=ConfigFile("application_data", ("Claude/claude_desktop_config.json",)),
        project=None,
        marker=("application_data", "Claude"),
    ),
    KnownClient(
        name="cursor",
        title="Cursor",
        source="https://cursor.com/docs/mcp",
        editor=JsoncText(),
        lists=(("mcpServers",),),
        launch=entries.standard_launch,
        remote=entries.cursor_remote,
        user=ConfigFile("home", (".cursor/mcp.json",)),
        project=ConfigFile("project", (".cursor/mcp.json",)),
        marker=("home", ".cursor"),
        hooks=known_hooks.CURSOR,
    ),
    KnownClient(
        name="vscode",
        title="VS Code",
        source="https://code.visualstudio.com/docs/agents/reference/mcp-configuration",
        editor=JsoncText(),
        lists=(("servers",),),
        launch=entries.typed_launch,
        remote=entries.vscode_remote,
        user=ConfigFile("application_data", ("Code/User/mcp.json",)),
        project=ConfigFile("project", (".vscode/mcp.json",)),
        marker=("application_data", "Code/User"),
        note="Start it with MCP: List Servers.",
    ),
    KnownClient(
        name="codex",
        title="Codex",
        source="https://developers.openai.com/codex/mcp",
        editor=TomlText(),
        lists=(("mcp_servers",),),
        launch=entries.standard_launch,
        remote=entries.codex_remote,
        user=ConfigFile("codex", ("config.toml",), empty=""),
        project=ConfigFile("project", (".codex/config.toml",), empty=""),
        marker=("codex", "."),
        note="New sessions connect; the file of a project is read once Codex trusts the project.",
        hooks=known_hooks.CODEX,
    ),
    KnownClient(
        name="gemini",
        title="Gemini CLI",
        source="https://geminicli.com/docs/tools/mcp-server",
        editor=JsoncText(),
        lists=(("mcpServers",),),
        launch=entries.standard_launch,
        remote=entries.gemini_remote,
        user=ConfigFile("gemini", ("settings.json",)),
        project=ConfigFile("project", (".gemini/settings.json",)),
        marker=("gemini", "."),
        note="New sessions connect, in folders that Gemini CLI trusts.",
        hooks=known_hooks.GEMINI,
    ),
    KnownClient(
        name="zed",
        title="Zed",
        source="https://zed.dev/docs/ai/mcp and https://zed.dev/docs/worktree-trust",
        editor=JsoncText(),
        lists=(("context_servers",),),
        launch=entries.standard_launch,
        remote=entries.zed_remote,
        user=ConfigFile("zed", ("settings.json",)),
        project=ConfigFile("project", (".zed/settings.json",)),
        marker=("zed", "."),
        note="Zed connects at once; the settings of a project are read once Zed trusts it.",
    ),
    KnownClient(
        name="windsurf",
        title="Windsurf",
        source="https://docs.windsurf.com/windsurf/cascade/mcp",
        editor=JsoncText(),
        lists=(("mcpServers",),),
        launch=entries.standard_launch,
        remote=entries.windsurf_remote,
        user=ConfigFile("home", (".codeium/windsurf/mcp_config.json",)),
        project=None,
        marker=("home", ".codeium/windsurf"),
        note="Press the refresh button of its MCP servers.",
    ),
    KnownClient(
        name="continue",
        title="Continue",
        source="https://docs.continue.dev/customize/deep-dives/mcp and https://docs.continue.dev/reference",
        editor=YamlText(in_list=True),
        lists=(("mcpServers",),),
        launch=entries.continue_launch,
        remote=entries.continue_remote,
        user=ConfigFile("home", (".continue/config.yaml",), empty="name: Local Config\nversion: 1.0.0\nschema: v1\n"),
        project=ConfigFile(
            "project", (".continue/mcpServers/memos.yaml",), empty="name: memOS.as\nversion: 1.0.0\nschema: v1\n"
        ),
        marker=("home", ".continue"),
        note="Continue connects in agent mode.",
        secrets="the file .env beside its config.yaml",
    ),
    KnownClient(
        name="cline",
        title="Cline",
        source="https://docs.cline.bot/mcp/mcp-overview and https://docs.cline.bot/getting-started/config",
        editor=JsoncText(),
        lists=(("mcpServers",),),
        launch=entries.standard_launch,
        remote=entries.cline_remote,
        user=ConfigFile("cline", ("settings/cline_mcp_settings.json",)),
        project=None,
        marker=("cline", "."),
        note="Cline connects at once.",
        path_variable="CLINE_MCP_SETTINGS_PATH",
    ),
    KnownClient(
        name="opencode",
        title="opencode",
        source="https://opencode.ai/docs/mcp-servers and https://opencode.ai/docs/migrate-v1 (`mcp.servers` is new)",
        editor=JsoncText(),
        lists=(("mcp", "servers"), ("mcp",)),
        launch=entries.opencode_launch,
        remote=entries.opencode_remote,
        user=ConfigFile("config", ("opencode/opencode.json", "opencode/opencode.jsonc")),
        project=ConfigFile("project", ("opencode.json", "opencode.jsonc", ".opencode/opencode.json")),
        marker=("config", "opencode"),
        note="New sessions connect.",
    ),
    KnownClient(
        name="goose",
        title="goose",
        source="https://goose-docs.ai/docs/guides/config-files",
        editor=YamlText(in_list=False),
        lists=(("extensions",),),
        launch=entries.goose_launch,
        remote=entries.goose_remote,
        user=ConfigFile("goose", ("config.yaml",), empty=""),
        project=None,
        marker=("goose", "."),
        note="New sessions connect.",
    ),
)
"""All clients, in the order in which they are listed."""
