"""The web search, over a folder and over an instance that answers like SearXNG."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx
from folder import Folder

from tests.examples.conftest import EXAMPLES, Start
from tests.examples.test_todo import agrees

TOWN = EXAMPLES / "loop/documents"
Reply = Callable[[str], tuple[int, bytes]]


@contextmanager
def searxng(reply: Reply) -> Iterator[str]:
    """Run an instance on a free port that answers queries with `reply`; yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            assert (urlsplit(self.path).path, asked["format"]) == ("/search", ["json"])
            status, body = reply(asked["q"][0])
            self.send_response(status)
            self.send_header("location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_folder_is_searched_according_to_the_schema(start: Start) -> None:
    url = start("tools/web_search.py", "--folder", TOWN)
    answer = httpx.get(url, params={"query": "when is the library open on Saturdays", "limit": 2}).json()
    assert agrees("web.search", answer)
    assert len(answer["results"]) == 2
    first = answer["results"][0]
    assert first["title"] == "Town library"
    assert first["url"] == (TOWN / "library.md").as_uri()
    assert "on Saturdays from 9:00 to 13:00" in first["snippet"]
    assert httpx.get(url, params={"query": "zeppelin"}).json()["results"] == []
    for wrong in ("query=%20", "query=x&limit=21", "query=x&limit=many", "query=x&page=2", ""):
        assert httpx.get(f"{url}?{wrong}").status_code == 422


def test_a_title_counts_more_than_a_mention_and_other_files_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Trees\n\nAn elm, an oak. Owls live there, and owls hunt by night.")
    (tmp_path / "b.md").write_text("# Owls\n\nThey see well.\n\n" + "x" * 400)
    (tmp_path / "c.rst").write_text("")
    (tmp_path / "d.bin").write_bytes(b"owls \xff")
    (tmp_path / "latin.txt").write_bytes("Caf\xe9 ohne Eulen".encode("latin-1"))
    results = anyio.run(Folder(tmp_path).search, "owl", 5)
    assert [result["title"] for result in results] == ["Owls", "Trees"]
    assert all(len(result["snippet"]) <= 300 for result in results)
    (tmp_path / "empty").mkdir()
    assert anyio.run(Folder(tmp_path / "empty").search, "owl", 5) == []


def test_results_of_searxng_are_returned(start: Start) -> None:
    found = [{"title": f"Result {number}", "url": f"https://example.com/{number}"} for number in range(9)]
    found[1]["content"] = "What it says."
    found.insert(0, {"title": "no address", "url": ""})
    with searxng(lambda query: (200, json.dumps({"query": query, "results": found}).encode())) as instance:
        url = start("tools/web_search.py", "--searxng", instance)
        answer = httpx.get(url, params={"query": "Ö & co", "limit": 3}).json()
    assert agrees("web.search", answer)
    assert answer == {
        "query": "Ö & co",
        "results": [
            {"title": "Result 0", "url": "https://example.com/0", "snippet": ""},
            {"title": "Result 1", "url": "https://example.com/1", "snippet": "What it says."},
            {"title": "Result 2", "url": "https://example.com/2", "snippet": ""},
        ],
    }


def test_errors_of_searxng_are_reported(start: Start) -> None:
    strange = "The search engine's answer is not that of SearXNG."
    replies = {
        "refused": (403, b"", "The search engine answered 403. Does its settings.yml list json under search.formats?"),
        "failed": (500, b"", "The search engine answered 500."),
        "moved": (302, b"", "The search engine answered 302."),
        "a page": (200, b"<html>", strange),
        "no objects": (200, b'{"results": [1]}', strange),
        "a list": (200, b"[]", strange),
        "too much": (200, b" " * 5_000_000, strange),
    }
    with searxng(lambda query: replies[query][:2]) as instance:
        url = start("tools/web_search.py", "--searxng", instance)
        for query, (_, _, message) in replies.items():
            answer = httpx.get(url, params={"query": query})
            assert (answer.status_code, answer.json()["error"]) == (502, message)


def test_an_unreachable_searxng_is_reported(start: Start) -> None:
    url = start("tools/web_search.py", "--searxng", "http://127.0.0.1:1")
    answer = httpx.get(url, params={"query": "x"})
    assert (answer.status_code, answer.json()["error"]) == (502, "The search engine does not answer.")
