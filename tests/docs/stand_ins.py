"""Programs that the documentation names and a test cannot run: each checks that its arguments would work."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]


def make(arguments: Sequence[str]) -> None:
    """Print what the targets would run."""
    for program in ("/usr/bin/make", "/bin/make", "/usr/local/bin/make"):
        if Path(program).exists():
            subprocess.run([program, "-n", "-C", str(ROOT), *arguments], check=True)
            return
    raise SystemExit("there is no make")


def pip(arguments: Sequence[str]) -> None:
    """Check that the distribution is one of the project's, and that its extra exists."""
    files = [ROOT / "pyproject.toml", *ROOT.glob("packages/*/pyproject.toml")]
    projects = {project["name"]: project for project in (tomllib.loads(file.read_text())["project"] for file in files)}
    (wanted,) = arguments[1:]
    name, extra = re.fullmatch(r"([\w-]+)(?:\[(\w+)\])?", wanted).groups()  # type: ignore[union-attr]  # no match fails
    assert arguments[0] == "install"
    assert extra is None or extra in projects[name]["optional-dependencies"]
    assert name in projects


def docker(arguments: Sequence[str]) -> None:
    """Check what the Compose files and the Dockerfile need of the settings that are given."""
    if arguments[0] == "compose" and arguments[1] == "--file":
        check_fleet(arguments[2], arguments[3:])
    elif arguments[0] == "compose":
        check_compose()
    elif arguments[0] == "run":
        after = arguments[arguments.index("memos-as") + 1 :]
        settings = {word.partition("=")[0] for word in arguments if word.startswith("MEMOS_")}
        assert list(after) == ["--in-process"] or settings == {"MEMOS_AUTH_TOKEN", "MEMOS_ALLOWED_HOSTS"}
        assert "memos:/data" in arguments
    else:
        assert arguments[0] == "build"
        assert (ROOT / "Dockerfile").is_file()


def check_compose() -> None:
    """Check that compose.yaml parses, and that the variables without a default are set."""
    import yaml  # type: ignore[import-untyped]  # it ships no types

    text = (ROOT / "compose.yaml").read_text()
    assert yaml.safe_load(text)["services"].keys() == {"memos", "postgres", "qdrant"}
    for name in re.findall(r"\$\{(\w+):\?", text):
        assert os.environ.get(name), f"{name} is not set"


def check_fleet(file: str, command: Sequence[str]) -> None:
    """Check that a command of Compose names services that exist, and that those that create any have what they need."""
    import yaml

    text = (ROOT / file).read_text()
    assert command[0] in {"up", "build"}
    named = {word for word in command[1:] if not word.startswith("--")}
    assert named <= yaml.safe_load(text)["services"].keys()
    for name in () if named or command[0] == "build" else re.findall(r"\$\{(\w+):\?", text):
        assert os.environ.get(name), f"{name} is not set"


def kubectl(arguments: Sequence[str]) -> None:
    """Check that a secret has the keys that the manifests name, or that the folder to apply is a kustomization."""
    if arguments[0] == "apply":
        assert (ROOT / arguments[2] / "kustomization.yaml").is_file()
        return
    assert list(arguments[:4]) == ["create", "secret", "generic", "memos-as"]
    given = {word.removeprefix("--from-literal=").partition("=")[0] for word in arguments[4:]}
    deployment = (ROOT / "deploy/kubernetes/deployment.yaml").read_text()
    assert given == set(re.findall(r"  key: (\w+)", deployment))


def claude(arguments: Sequence[str]) -> None:
    """Connect to the address that a client would be given, and list the tools; or check that a plugin is whole."""
    import anyio  # and what it imports here takes a second, which the others need not wait for

    if arguments[0] == "--plugin-dir":
        check_plugin(ROOT / arguments[1])
        return
    assert list(arguments[:4]) == ["mcp", "add", "--transport", "http"]
    name, url, *rest = arguments[4:]
    assert name == "memos"
    headers = dict([rest[1].split(": ", 1)]) if rest[:1] == ["--header"] else {}
    anyio.run(_list_tools, url, headers)


def check_plugin(folder: Path) -> None:
    """Check that a plugin of Claude Code has what its manifest promises, and that each hook names its own event."""
    assert json.loads((folder / ".claude-plugin/plugin.json").read_text())["name"] == "memos-as"
    assert json.loads((folder / ".mcp.json").read_text())["mcpServers"]["memos"]["command"] == "memos-as"
    for event, entries in json.loads((folder / "hooks/hooks.json").read_text())["hooks"].items():
        assert entries[0]["hooks"][0]["command"].endswith(f"memos-as hook {event}")


async def _list_tools(url: str, headers: Mapping[str, str]) -> None:
    import anyio
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    with anyio.fail_after(30):
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            assert "store_memory" in {tool.name for tool in (await client.list_tools()).tools}


def npx(arguments: Sequence[str]) -> None:
    """Be an MCP server, for a package whose installation is confirmed beforehand."""
    assert arguments[0] == "-y"
    with TemporaryDirectory() as state:
        subprocess.run([sys.executable, str(ROOT / "tests/tool_calling/tool_server.py"), state], check=True)


PROGRAMS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "make": make,
    "pip": pip,
    "docker": docker,
    "kubectl": kubectl,
    "claude": claude,
    "npx": npx,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2:])
