"""An MCP server with two tools on texts, over stdio: `python examples/tools/words.py`."""

from collections import Counter
from typing import Annotated

from mcp.server import MCPServer
from mcp.types import ToolAnnotations
from pydantic import Field

READ_ONLY = ToolAnnotations(read_only_hint=True, open_world_hint=False)

server = MCPServer("words")


@server.tool(title="Count words", description="Count the words of a text.", annotations=READ_ONLY)
def count_words(text: Annotated[str, Field(description="The text.")]) -> dict[str, int]:
    """Return the number of words."""
    return {"words": len(text.split())}


@server.tool(title="Most frequent word", description="Find the most frequent word of a text.", annotations=READ_ONLY)
def most_frequent_word(text: Annotated[str, Field(description="The text.")]) -> dict[str, str]:
    """Return the word that occurs most often, the first of several."""
    [(word, _)] = Counter(text.lower().split()).most_common(1) or [("", 0)]
    return {"word": word}


if __name__ == "__main__":
    server.run()
