"""The command that shows the memories and tools of a loadout for a task, as an agent gets them from the engine."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from memos_mcp.cli.engine_session import engine_session
from memos_mcp.cli.output import print_json, print_lines
from memos_mcp.domain.errors import Invalid
from memos_mcp.domain.loadout import check_loadout_name
from memos_mcp.settings import Settings

SHOWN_CHARS: Final = 300
WIDTH: Final = 100


async def loadout(settings: Settings, *, name: str, task: str, needs: Sequence[str], as_json: bool) -> int:
    """Print the pack for this task; return 0."""
    check_loadout_name(name)
    arguments = {"name": name, "task": task} | ({"needs": list(needs)} if needs else {})
    async with engine_session() as engine:
        try:
            packed = await engine.call("build_loadout", arguments)
        except Invalid as error:
            raise Invalid(f"{error} Loadouts are files NAME.toml in {settings.loadouts}.") from None
    if as_json:
        print_json(packed)
    else:
        print_lines(lines(packed))
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
    if packed["uncovered"] is None:
        yield "uncovered: unknown, because the embedding model cannot read the script of a need"
    yield from (f"uncovered: {_short(need)}" for need in packed["uncovered"] or ())
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
