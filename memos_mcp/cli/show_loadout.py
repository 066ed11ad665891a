"""The command that shows the memories and tools of a loadout for a task, as an agent gets them from the engine."""

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from memos_mcp import __version__
from memos_mcp.domain.errors import Invalid, Unavailable
from memos_mcp.domain.loadout import check_loadout_name
from memos_mcp.settings import Settings

PROTOCOL: Final = "2025-06-18"
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
ANSWER_SECONDS: Final = 120.0
SHOWN_CHARS: Final = 300
WIDTH: Final = 100


async def loadout(settings: Settings, *, name: str, task: str, needs: Sequence[str], as_json: bool) -> int:
    """Print the pack for this task; return 0."""
    check_loadout_name(name)
    arguments = {"name": name, "task": task} | ({"needs": list(needs)} if needs else {})
    result = await _build_loadout(arguments)
    if result.get("isError"):
        raise Invalid(f"{result['content'][0]['text']} Loadouts are files NAME.toml in {settings.loadouts}.")
    packed = result["structuredContent"]
    print(json.dumps(packed, ensure_ascii=False, indent=2) if as_json else "\n".join(lines(packed)))
    return 0


def lines(packed: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines that show a pack to a person."""
    yield f"loadout {packed['name']}"
    if packed["role"]:
        yield textwrap.fill(packed["role"], WIDTH, initial_indent="  ", subsequent_indent="  ")
    if packed["capabilities"] is not None:
        yield f"  capabilities: {', '.join(packed['capabilities']) or 'none'}"
    for kind in ("memories", "tools"):
        budget = packed["tokens"][kind]
        yield f"\n{kind}: {len(packed[kind])}, {budget['used']:,} of {budget['budget']:,} tokens"
        for item in packed[kind]:
            yield from _item_lines(item)
    yield ""
    yield from _missing_lines(packed)


def _missing_lines(packed: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines about everything that the pack lacks."""
    left_out = packed["left_out"]
    yield from (f"uncovered: {_short(need)}" for need in packed["uncovered"])
    yield from (f"missing: {_short(pin)}" for pin in packed["missing"])
    yield f"left out: {left_out['memories']} memories, {left_out['tools']} tools; {left_out['withheld']} tools withheld"
    yield from (f"{name}: {packed[name]}" for name in ("degraded", "note") if packed.get(name))


def _item_lines(item: Mapping[str, Any]) -> Iterator[str]:
    score = f", score {item['score']:.2f}" if "score" in item else ""
    yield f"  [{_short(item['reason'])}{score}, {item['tokens']:,} tokens]"
    if "tool_id" in item:
        capabilities = ", ".join(item["required_capabilities"])
        yield f"    {item['tool_id']} ({_short(item['name'])}) {item['endpoint_url']}" + (
            f" needs {capabilities}" if capabilities else ""
        )
    text = item.get("content") or item["description"]
    yield textwrap.fill(_short(text), WIDTH, initial_indent="    ", subsequent_indent="    ")
    if "excerpt" in item:
        excerpt = item["excerpt"]
        yield f"    (characters {excerpt['start']:,} to {excerpt['end']:,} of {excerpt['length']:,})"
    if "omitted" in item:
        yield f"    (without {' and '.join(item['omitted'])})"


def _short(text: str) -> str:
    """Return one line of printable text, because stored text may contain control characters."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…"


async def _build_loadout(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call `build_loadout` through a bridge, which connects to the engine or starts it.

    The JSON-RPC messages are written by hand: the command makes one call, and importing the SDK's client for it takes
    0.8 to 1.3 s (`python -X importtime -c "import mcp"`, Python 3.11, two cores).
    """
    command = [sys.executable, "-m", "memos_mcp"]
    if sys.platform == "win32":
        command.append("--in-process")
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            async with await anyio.open_process(command, stderr=None) as process:
                return await _call(process, arguments)
    except TimeoutError:
        raise Unavailable("No answer came in time. See: memos-as status") from None
    except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
        raise Unavailable("The connection was closed before the answer came. See: memos-as status") from None


async def _call(process: Process, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise Unavailable("The bridge has no pipes.")
    client = {"name": "memos-as", "version": __version__}
    handshake = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client}
    call = {"name": "build_loadout", "arguments": arguments}
    messages: list[dict[str, Any]] = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": handshake},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    ]
    await process.stdin.send("".join(json.dumps(message) + "\n" for message in messages).encode())
    answers = BufferedByteReceiveStream(process.stdout)
    while True:
        message = json.loads(await answers.receive_until(b"\n", MAX_ANSWER_BYTES))
        if "error" in message:
            raise Unavailable(str(message["error"].get("message", "The server gave no reason.")))
        if message.get("id") == messages[-1]["id"]:
            result: dict[str, Any] = message["result"]
            return result
