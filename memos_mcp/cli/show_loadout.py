"""The command that shows what an agent would be given for a task, by asking the engine as any client does."""

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from subprocess import PIPE
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
LEAVING_SECONDS: Final = 10.0
SHOWN_CHARS: Final = 300
WIDTH: Final = 100


async def loadout(settings: Settings, *, name: str, task: str, needs: Sequence[str], as_json: bool) -> int:
    """Print the pack for this task."""
    check_loadout_name(name)
    arguments = {"name": name, "task": task} | ({"needs": list(needs)} if needs else {})
    answer = await _ask(arguments)
    if answer.get("isError"):
        raise Invalid(f"{answer['content'][0]['text']} Loadouts are files NAME.toml in {settings.loadouts}.")
    packed = answer["structuredContent"]
    print(json.dumps(packed, ensure_ascii=False, indent=2) if as_json else "\n".join(lines(packed)))
    return 0


def lines(packed: Mapping[str, Any]) -> Iterator[str]:
    """Lay a pack out for a person to read."""
    yield f"loadout {packed['name']}"
    if packed["role"]:
        yield textwrap.fill(packed["role"], WIDTH, initial_indent="  ", subsequent_indent="  ")
    if packed["capabilities"] is not None:
        yield f"  capabilities: {', '.join(packed['capabilities']) or 'none'}"
    for kind in ("memories", "tools"):
        spent = packed["tokens"][kind]
        yield f"\n{kind}: {len(packed[kind])}, {spent['used']:,} of {spent['budget']:,} tokens"
        for item in packed[kind]:
            yield from _item_lines(item)
    yield ""
    yield from _lacks(packed)


def _lacks(packed: Mapping[str, Any]) -> Iterator[str]:
    """Say what the pack does not hold."""
    left = packed["left_out"]
    yield from (f"uncovered: {_short(need)}" for need in packed["uncovered"])
    yield from (f"missing: {_short(pin)}" for pin in packed["missing"])
    yield f"left out: {left['memories']} memories, {left['tools']} tools; {left['withheld']} tools withheld"
    yield from (f"{name}: {packed[name]}" for name in ("degraded", "note") if packed.get(name))


def _item_lines(item: Mapping[str, Any]) -> Iterator[str]:
    score = f", score {item['score']:.2f}" if "score" in item else ""
    yield f"  [{_short(item['reason'])}{score}, {item['tokens']:,} tokens]"
    if "tool_id" in item:
        wanted = ", ".join(item["required_capabilities"])
        yield f"    {item['tool_id']} ({_short(item['name'])}) {item['endpoint_url']}" + (
            f" needs {wanted}" if wanted else ""
        )
    text = item.get("content") or item["description"]
    yield textwrap.fill(_short(text), WIDTH, initial_indent="    ", subsequent_indent="    ")
    if "excerpt" in item:
        part = item["excerpt"]
        yield f"    (characters {part['start']:,} to {part['end']:,} of {part['length']:,})"
    if "omitted" in item:
        yield f"    (without {' and '.join(item['omitted'])})"


def _short(text: str) -> str:
    """Return one line of printable text: what is stored may hold control characters."""
    line = "".join(char if char.isprintable() else " " for char in text)
    return line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…"


async def _ask(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Call `build_loadout` through a bridge, which finds the engine or starts it."""
    command = [sys.executable, "-m", "memos_mcp"]
    if sys.platform == "win32":
        command.append("--in-process")
    process = await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=None)
    try:
        with anyio.fail_after(ANSWER_SECONDS):
            return await _converse(process, arguments)
    except TimeoutError:
        raise Unavailable("No answer came in time. See: memos-as status") from None
    except (anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
        raise Unavailable("The connection was closed before the answer came. See: memos-as status") from None
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)


async def _converse(process: Process, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise Unavailable("The bridge has no pipes.")
    answers = BufferedByteReceiveStream(process.stdout)
    hello = {
        "protocolVersion": PROTOCOL,
        "capabilities": {},
        "clientInfo": {"name": "memos-as", "version": __version__},
    }
    await _send(process, id=1, method="initialize", params=hello)
    await _answer(answers, 1)
    await _send(process, method="notifications/initialized")
    await _send(process, id=2, method="tools/call", params={"name": "build_loadout", "arguments": dict(arguments)})
    return await _answer(answers, 2)


async def _send(process: Process, **members: Any) -> None:
    if process.stdin is not None:
        await process.stdin.send(json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n")


async def _answer(answers: BufferedByteReceiveStream, number: int) -> dict[str, Any]:
    while True:
        message = json.loads(await answers.receive_until(b"\n", MAX_ANSWER_BYTES))
        if message.get("id") == number:
            break
    if "error" in message:
        raise Unavailable(str(message["error"].get("message", "The server gave no reason.")))
    result: dict[str, Any] = message["result"]
    return result


async def _end(process: Process) -> None:
    if process.stdin is not None:
        await process.stdin.aclose()
    with anyio.move_on_after(LEAVING_SECONDS) as waiting:
        await process.wait()
    if waiting.cancelled_caught:
        process.kill()
        await process.wait()
