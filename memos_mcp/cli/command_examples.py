"""An example of each command, which its `--help` shows."""

import argparse
from collections.abc import Mapping
from typing import Final

_ID: Final = "8c1f2b7e-4d6a-4f0e-9b1a-2d3c4e5f6a7b"

EXAMPLES: Final[Mapping[str, str]] = {
    "serve": "memos-as serve --port 8766",
    "engine": "memos-as engine",
    "status": "memos-as status",
    "stop": "memos-as stop",
    "install": "memos-as install claude-code --namespace my-project",
    "uninstall": "memos-as uninstall claude-code",
    "service install": "memos-as service install",
    "service uninstall": "memos-as service uninstall",
    "completion": "memos-as completion bash > ~/.local/share/bash-completion/completions/memos-as",
    "search": 'memos-as search "how does the release work" --kind procedural',
    "list": "memos-as list --tag people --since 2026-05-01",
    "show": f"memos-as show {_ID}",
    "forget": "memos-as forget --tag scratch --dry-run",
    "restore-memory": f"memos-as restore-memory {_ID}",
    "history": f"memos-as history {_ID}",
    "tools search": 'memos-as tools search "send a fax"',
    "tools list": "memos-as tools list --source weather",
    "tools show": "memos-as tools show web.search",
    "tools add-openapi": "memos-as tools add-openapi https://api.example.com/openapi.json --name shop --dry-run",
    "tools enable": "memos-as tools enable shop.get_order",
    "tools disable": "memos-as tools disable shop.delete_order",
    "tools unregister": "memos-as tools unregister web.search",
    "tools check": "memos-as tools check web.search",
    "tools add-mcp": "memos-as tools add-mcp files --dry-run -- npx -y @modelcontextprotocol/server-filesystem .",
    "tools sync": "memos-as tools sync files",
    "tools remove": "memos-as tools remove files",
    "tools outcomes": "memos-as tools outcomes fax --limit 10",
    "tools forget-task": f"memos-as tools forget-task {_ID}",
    "import": "memos-as import export.zip --from chatgpt --dry-run",
    "seed": "memos-as seed team.toml",
    "ingest": "memos-as ingest . --name shop --watch",
    "migrate": "memos-as migrate",
    "loadout": 'memos-as loadout clerk "put the opening hours on my list"',
    "reindex": "memos-as reindex --fresh",
    "purge": "memos-as purge",
    "doctor": "memos-as doctor",
    "backup": "memos-as backup memos.backup",
    "restore": "memos-as restore memos.backup",
    "export": "memos-as export memories.jsonl",
    "credential set": 'echo "$GITHUB_TOKEN" | memos-as credential set github --host api.github.com --bearer',
    "credential list": "memos-as credential list",
    "credential remove": "memos-as credential remove github",
    "token create": "memos-as token create --namespace team --rights read,write --expires 90d",
    "token list": "memos-as token list",
    "token revoke": "memos-as token revoke memos_1a2b3c4d",
    "quota set": "memos-as quota set --namespace team --memories 100000 --calls-a-minute 600",
    "quota list": "memos-as quota list",
    "quota unset": "memos-as quota unset --namespace team",
    "audit": "memos-as audit --since 2026-05-01 --outcome refused",
    "hook": "memos-as hook UserPromptSubmit --capture",
    "demo": "memos-as demo",
}


def add_examples(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> None:
    """Have the help of each command below this parser end with its example."""
    if (example := EXAMPLES.get(" ".join(path))) is not None:
        parser.epilog = f"example:\n  {example}"
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for action in parser._actions:  # noqa: SLF001  # argparse has no other way to its subparsers
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  # the same
            for name, command in action.choices.items():
                add_examples(command, (*path, name))
