import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from memos_mcp.cli.command_line import parser
from memos_mcp.domain.audit import AuditRecord
from memos_mcp.domain.scope import Client, Scope
from memos_mcp.postgres.audit import PostgresAudit
from memos_mcp.postgres.database import Database
from memos_mcp.settings import Settings

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ANN = Scope("default", "ann", Client("desk\x1btop", "1.2", "stdio"), token_id="memos_0b26f7d2")


@pytest.fixture
async def settings(database: Database, database_url: str, tmp_path: Path) -> Settings:
    """The settings of a home with three records, one of another namespace."""
    await PostgresAudit(database).add(
        [
            AuditRecord(NOON, None, None, "unauthenticated", "http", calls=1_200),
            AuditRecord(NOON, ANN, "query_memory", "ok", "stdio", ["11111111-x", "2", "3", "4"], "r1"),
            AuditRecord(NOON, Scope("other", "bob"), "store_memory", "ok"),
        ]
    )
    return Settings(home=tmp_path, database_url=database_url)


async def run(settings: Settings, *options: str) -> None:
    arguments = parser().parse_args(["audit", *options])
    assert await arguments.choose(arguments)(settings) == 0


async def test_records_of_the_namespace_and_of_nobody_are_printed_as_fields(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(settings)
    first, second = capsys.readouterr().out.splitlines()
    assert first.split("\t") == [
        *("2026-05-01T12:00:00Z", "query_memory", "ok", "1", "default", "ann", "memos_0b26f7d2"),
        *("desk\\x1btop", "1.2", "stdio", "r1", "11111111-x,2,3,4"),
    ]
    assert second.split("\t")[1:4] == ["", "unauthenticated", "1200"]


async def test_a_terminal_gets_a_table(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TTY_COMPATIBLE": "1", "TERM": "dumb", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    await run(settings)
    text = capsys.readouterr().out
    assert "query_memory" in text
    assert "11111111, 2, 3 and 1 more" in text
    assert "memos_0b26f7d2" in text
    assert "request x 1,200" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        (["--agent", "ann"], [1]),
        (["--outcome", "unauthenticated"], [1_200]),
        (["--all-namespaces", "--tool", "store_memory"], [1]),
        (["--all-namespaces"], [1, 1, 1_200]),
        (["--limit", "1"], [1]),
        (["--since", "2026-05-02"], []),
        (["--until", "2026-04-30"], []),
    ],
)
async def test_the_options_choose_among_the_records(
    settings: Settings, capsys: pytest.CaptureFixture[str], options: list[str], calls: list[int]
) -> None:
    await run(settings, "--json", *options)
    assert [one["calls"] for one in json.loads(capsys.readouterr().out)["records"]] == calls
