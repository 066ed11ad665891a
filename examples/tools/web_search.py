"""A web search over HTTP: through a SearXNG instance, or, without one, over a folder of text files.

    python examples/tools/web_search.py --port 8801 --searxng https://searx.example.org
    python examples/tools/web_search.py --port 8801 --folder documents

    GET /search   ?query=opening+hours+of+the+library&limit=5

`memos-as seed` registers it as `web.search`.
"""

import argparse
import json
import logging
import sys
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypedDict

import httpx2
from exchange import Arguments, application, from_query, serve
from folder import Folder, Result
from pydantic import Field, StringConstraints
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

logger = logging.getLogger(__name__)

SEARXNG_SECONDS: Final = 10.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024


class SearchArguments(Arguments):
    """The arguments of `web.search`."""

    query: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
    limit: Annotated[int, Field(ge=1, le=20)] = 5


class Answer(TypedDict):
    """The answer of `web.search`."""

    query: str
    results: list[Result]


class Engine(Protocol):
    """A source of search results."""

    async def search(self, query: str, limit: int) -> list[Result]: ...


class Searxng:
    """A SearXNG instance, or anything that answers like one (https://docs.searxng.org/dev/search_api.html)."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/") + "/search"

    async def search(self, query: str, limit: int) -> list[Result]:
        """Query the instance; raise a 502 when it does not answer in time or in JSON."""
        try:
            found = json.loads(await self._fetch(query))["results"]
            return [_result(one) for one in found if one.get("url") and one.get("title")][:limit]
        except httpx2.HTTPStatusError as error:
            hint = (
                " Does its settings.yml list json under search.formats?"
                if error.response.status_code == HTTPStatus.FORBIDDEN
                else ""
            )
            raise HTTPException(502, f"The search engine answered {error.response.status_code}.{hint}") from error
        except httpx2.HTTPError as error:
            logger.warning("%s: %r", self._url, error)
            raise HTTPException(502, "The search engine does not answer.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise HTTPException(502, "The search engine's answer is not that of SearXNG.") from error

    async def _fetch(self, query: str) -> bytes:
        answer = b""
        async with (
            httpx2.AsyncClient(timeout=SEARXNG_SECONDS) as client,
            client.stream("GET", self._url, params={"q": query, "format": "json"}) as response,
        ):
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    raise ValueError
        return answer


async def search(engine: Engine, request: Request) -> JSONResponse:
    """Answer `web.search`."""
    question = from_query(request, SearchArguments)
    answer: Answer = {"query": question.query, "results": await engine.search(question.query, question.limit)}
    return JSONResponse(answer)


def build(engine: Engine) -> Starlette:
    """Return the service on an engine."""
    return application([Route("/search", partial(search, engine), methods=["GET"])])


def main() -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description="A web search over HTTP, through SearXNG or over a folder.")
    parser.add_argument("--port", type=int, default=8801, help="port on 127.0.0.1, 0 for any free one (8801)")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--searxng", metavar="URL", help="a SearXNG instance that answers in JSON")
    source.add_argument("--folder", type=Path, help="search these .txt, .md and .rst files instead of the web")
    arguments = parser.parse_args()
    if arguments.folder is not None and not arguments.folder.is_dir():
        print(f"{arguments.folder} is not a folder", file=sys.stderr)
        return 1
    engine: Engine = Searxng(arguments.searxng) if arguments.searxng else Folder(arguments.folder)
    return serve(build(engine), name="Web Search", port=arguments.port, path="/search")


def _result(found: Any) -> Result:
    return {"title": str(found["title"]), "url": str(found["url"]), "snippet": str(found.get("content") or "")}


if __name__ == "__main__":
    sys.exit(main())
