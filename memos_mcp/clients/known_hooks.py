"""The clients that have hooks: their events, and the files that they are in."""

from typing import Final

from memos_mcp.clients.hook_entries import ClientHooks
from memos_mcp.clients.system import ConfigFile

_VERSION_1: Final = '{\n  "version": 1\n}\n'

CLAUDE_CODE: Final = ClientHooks(
    source="https://code.claude.com/docs/en/hooks",
    user=ConfigFile("claude_settings", ("settings.json",)),
    project=ConfigFile("project", (".claude/settings.json",)),
    recall=("SessionStart", "UserPromptSubmit", "PreCompact", "SessionEnd"),
    messages=("UserPromptSubmit", "Stop"),
)
CODEX: Final = ClientHooks(
    source="https://developers.openai.com/codex/hooks",
    user=ConfigFile("codex", ("hooks.json",)),
    project=ConfigFile("project", (".codex/hooks.json",)),
    recall=("SessionStart", "UserPromptSubmit", "PreCompact", "SessionEnd"),
    messages=("UserPromptSubmit", "Stop"),
    note="Review its hooks with /hooks: Codex runs none that you have not trusted.",
)
GEMINI: Final = ClientHooks(
    source="https://geminicli.com/docs/hooks/reference",
    user=ConfigFile("gemini", ("settings.json",)),
    project=ConfigFile("project", (".gemini/settings.json",)),
    recall=("SessionStart", "BeforeAgent", "PreCompress", "SessionEnd"),
    messages=("BeforeAgent", "AfterAgent"),
)
CURSOR: Final = ClientHooks(
    source="https://cursor.com/docs/hooks",
    user=ConfigFile("home", (".cursor/hooks.json",), empty=_VERSION_1),
    project=ConfigFile("project", (".cursor/hooks.json",), empty=_VERSION_1),
    recall=("sessionStart", "preCompact", "sessionEnd"),
    messages=("beforeSubmitPrompt", "afterAgentResponse"),
    grouped=False,
)
