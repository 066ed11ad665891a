"""Distinguishable memories, and two ways to check that a server has them: a search for each, and a list of all."""

import time
from collections.abc import Mapping
from itertools import product
from typing import Any

from line_client import LineClient

CAUGHT_UP_SECONDS = 120.0
IN_FLIGHT = 16

STARTS = ("bra", "cle", "dri", "fo", "gru", "ha", "ji", "ko", "lu", "me", "no", "pry", "qui", "ra", "slo", "tu", "vy")
MIDDLES = ("ba", "da", "fe", "gi", "lo", "mu", "ni", "po", "ri", "sa", "te", "vu", "xi", "ze")
ENDS = ("kal", "lin", "mor", "nex", "pul", "rok", "sif", "tam", "vod", "zur")
NAMES = tuple("".join(parts).title() for parts in product(STARTS, MIDDLES, ENDS))
DEEDS = ("moved the blue kettle to", "repaired a bicycle for", "ordered lemons from", "lent the projector to")


def memory(number: int) -> str:
    """Return a content unique to the number: few others have one of its two names, and none has both."""
    who, whom = NAMES[number % len(NAMES)], NAMES[(number * 11 + number // len(NAMES)) % len(NAMES)]
    return f"{who} {DEEDS[number % len(DEEDS)]} {whom} on day {number}."


def not_found_first(client: LineClient, ids: Mapping[str, str], seconds: float = CAUGHT_UP_SECONDS) -> list[str]:
    """Search for each of these contents; return those whose memory is not the first answer within these seconds.

    The index may still have to catch up, so the search for missing contents is repeated.
    """
    missing, deadline = list(ids), time.monotonic() + seconds
    while missing:
        found = set[str]()
        questions = [{"query": content, "limit": 1} for content in missing]
        for index, answer in client.call_all("query_memory", questions, in_flight=IN_FLIGHT):
            if [hit["memory_id"] for hit in answer["memories"]] == [ids[missing[index]]]:
                found.add(missing[index])
        missing = [content for content in missing if content not in found]
        if time.monotonic() > deadline:
            break
    return missing


def list_all(client: LineClient) -> tuple[dict[str, str], int]:
    """List all memories, newest first; return the content by id, and the server's own count."""
    contents: dict[str, str] = {}
    more: dict[str, Any] = {}
    while True:
        page = client.call("query_memory", limit=100, max_tokens=10_000, **more)
        contents |= {hit["memory_id"]: hit["content"] for hit in page["memories"]}
        if page["next_cursor"] is None:
            return contents, page["total"]
        more = {"cursor": page["next_cursor"]}
