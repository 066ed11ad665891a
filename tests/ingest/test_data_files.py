"""Files of data become one chunk that says what they hold; settings and interfaces stay whole."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from memos_mcp.domain.chunk import Chunk
from memos_mcp.domain.source import Skipped
from memos_mcp.ingest.chunker import chunks
from memos_mcp.ingest.files.selection import FileRules
from memos_mcp.ingest.files.skip_reasons import SkipReason
from memos_mcp.ingest.files.walk import FoundFile
from memos_mcp.ingest.reading import SourceText, read
from memos_mcp.ingest.text.text_lines import LIMIT, cost

RECORDS = [{"id": number, "name": f"Heron {number}", "weight": number / 4, "ringed": True} for number in range(100)]
ROWS = "id,name,weight,ringed on\n" + "".join(f"{n},Heron {n},{n / 4},2024-05-{n % 28 + 1:02}\n" for n in range(100))

BIRD = '<bird id="1"><name>Heron</name></bird>'


def element(name: str, content: str) -> str:
    return f"<{name}>{content}</{name}>"


def source_of(folder: Path, name: str, text: str | bytes, rules: FileRules | None = None) -> SourceText | Skipped:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(FoundFile(name, file, rules=rules or FileRules()))


def cut(folder: Path, name: str, text: str | bytes, rules: FileRules | None = None) -> list[Chunk]:
    source = source_of(folder, name, text, rules)
    assert isinstance(source, SourceText)
    return chunks(source)


def only(folder: Path, name: str, text: str | bytes, rules: FileRules | None = None) -> Chunk:
    (chunk,) = cut(folder, name, text, rules)
    return chunk


def test_a_csv_file_is_summarized_in_one_chunk(tmp_path: Path) -> None:
    chunk = only(tmp_path, "birds/herons.csv", ROWS)

    assert chunk.content.split("\n") == [
        "birds/herons.csv",
        "",
        "CSV data, summarized: 100 rows.",
        "columns: id (integer), name (text), weight (number), ringed on (time)",
        "- 0,Heron 0,0.0,2024-05-01",
        "- 1,Heron 1,0.25,2024-05-02",
        "- 2,Heron 2,0.5,2024-05-03",
    ]
    assert (chunk.first_line, chunk.last_line) == (1, 101)


def test_the_metadata_of_data_says_what_it_is(tmp_path: Path) -> None:
    memory = only(tmp_path, "herons.json", json.dumps(RECORDS)).new_memory("pond")

    assert memory.tags == ("data", "json")
    assert memory.metadata["data"] == {"format": "JSON", "count": 100, "complete": True}
    assert "data" not in cut(tmp_path, "a.py", "x = 1\n")[0].new_memory("pond").metadata


def test_data_that_fits_into_a_chunk_stays_whole(tmp_path: Path) -> None:
    text = "id,name\n1,Heron\n2,Otter\n"

    chunk = only(tmp_path, "few.csv", f"\n{text}\n")
    assert (chunk.text, chunk.first_line, chunk.last_line) == (text.strip(), 2, 4)
    assert chunk.new_memory("pond").tags == ("data",)


@pytest.mark.parametrize(
    ("name", "text", "format_", "count"),
    [
        ("a.csv", ROWS, "CSV", 100),
        ("a.csv", ROWS.replace(",", ";"), "CSV", 100),
        ("a.tsv", ROWS.replace(",", "\t"), "TSV", 100),
        ("a.csv", "".join(f"{n},{n}\n" for n in range(200)), "CSV", 200),
        ("a.jsonl", "".join(f"{json.dumps(record)}\n" for record in RECORDS), "JSON Lines", 100),
        ("a.json", "".join(f"{json.dumps(record)}\n" for record in RECORDS), "JSON Lines", 100),
        ("a.json", json.dumps(RECORDS, indent=2), "JSON", 100),
        ("a.json", json.dumps({"version": 1, "birds": RECORDS}), "JSON", 100),
        ("a.json", json.dumps({f"bird {record['id']}": record for record in RECORDS}), "JSON", 100),
        ("a.json", json.dumps({"type": "FeatureCollection", "features": [{"a": {"b": 1}}] * 300}), "JSON", 300),
        ("a.json", json.dumps([[number, number / 2] for number in range(200)]), "JSON", 200),
        ("de.json", json.dumps({"menu": {f"entry{n}": f"Eintrag {n}" for n in range(99)}}), "JSON", 99),
        ("a.yaml", "".join(f"- name: Heron {n}\n  weight: {n}\n" for n in range(99)), "YAML", 99),
        ("a.yml", "birds:\n" + "".join(f"  - name: Heron {n}\n    weight: {n}\n" for n in range(99)), "YAML", 99),
        ("birds.yml", "".join(f"heron_{n}:\n  name: Heron\n  weight: {n}\n" for n in range(99)), "YAML", 99),
        ("a.xml", element("birds", BIRD * 200), "XML", 200),
        ("strings.xml", element("resources", '<string name="a">Heron</string>' * 200), "XML", 200),
        ("a.sql", "".join(f"INSERT INTO birds (id, name) VALUES ({n}, 'Heron');\n" for n in range(99)), "SQL", 99),
        ("a.po", "".join(f'msgid "Heron {n}"\nmsgstr "Reiher {n}"\n\n' for n in range(99)), "gettext", 99),
    ],
)  # fmt: skip
def test_data_is_recognized_by_its_shape(tmp_path: Path, name: str, text: str, format_: str, count: int) -> None:
    chunk = only(tmp_path, name, text)

    assert chunk.data == {"format": format_, "count": count, "complete": True}
    assert f"{format_} data, summarized: {count}" in chunk.text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("package.json", json.dumps({"name": "pond", "dependencies": {f"d{n}": "^1.0" for n in range(99)}}, indent=1)),
        ("tsconfig.json", json.dumps({"compilerOptions": {f"option{n}": True for n in range(99)}}, indent=1)),
        ("api.json", json.dumps({"openapi": "3.1.0", "paths": {f"/{n}": {"get": {}} for n in range(99)}}, indent=1)),
        (
            "bird.json",
            json.dumps({"$schema": "x", "properties": {f"p{n}": {"type": "a"} for n in range(99)}}, indent=1),
        ),
        (
            "tasks.json",
            json.dumps({"tasks": [{"label": f"l{n}", "type": "t", "x" * n: 1} for n in range(40)]}, indent=1),
        ),
        ("api.yaml", "openapi: 3.1.0\npaths:\n" + "".join(f"  /bird{n}:\n    get:\n      x: 1\n" for n in range(99))),
        ("compose.yaml", "services:\n" + "".join(f"  bird{n}:\n    image: a\n    ports: []\n" for n in range(99))),
        (".gitlab-ci.yml", "".join(f"job{n}:\n  stage: test\n  script: make\n" for n in range(99))),
        (".github/workflows/a.yml", "".join(f"- name: a\n  run: b{n}\n" for n in range(99))),
        ("playbook.yml", "".join(f"- name: step {n}\n  module{n}:\n    a: 1\n" for n in range(99))),
        ("pom.xml", element("project", "<dependency><id>a</id></dependency>\n" * 99)),
        ("beans.xml", element("beans", '<bean id="a" class="b"/>\n' * 99)),
        ("schema.sql", "".join(f"CREATE TABLE birds{n} (id integer PRIMARY KEY);\n" for n in range(99))),
        ("broken.json", json.dumps(RECORDS, indent=1)[:-50]),
    ],
)
def test_settings_interfaces_and_code_stay_whole(tmp_path: Path, name: str, text: str) -> None:
    found = cut(tmp_path, name, text)

    assert len(found) > 1
    assert [chunk.data for chunk in found] == [None] * len(found)
    lines = [line for chunk in found for line in chunk.text.split("\n")]
    assert set(lines) >= set(text.strip().split("\n"))


def test_the_tables_of_a_dump_are_named_with_columns_and_counts(tmp_path: Path) -> None:
    dump = (
        "CREATE TABLE `birds` (\n  `id` int NOT NULL,\n  `name` varchar(9) DEFAULT 'a,b',\n  PRIMARY KEY (`id`)\n);\n"
        + "INSERT INTO `birds` VALUES (1,'Heron; (grey), ''old'''),(2,NULL);\n" * 30
        + "COPY public.otters (id, born) FROM stdin;\n" + "7\t2024-05-01\n" * 40 + "\\.\n"
    )  # fmt: skip

    lines = only(tmp_path, "dump.sql", dump).text.split("\n")
    assert lines[0] == "SQL data, summarized: 100 rows in 2 tables."
    assert lines[1:3] == ["birds: 60 rows", "columns: id (integer), name (text)"]
    assert "- 1, 'Heron; (grey), ''old'''" in lines
    assert "public.otters: 40 rows" in lines
    assert "columns: id (integer), born (time)" in lines


def test_the_schema_of_a_dump_is_ingested_beside_the_summary(tmp_path: Path) -> None:
    schema = "".join(f"CREATE TABLE birds{n} (id integer PRIMARY KEY, name text);\n" for n in range(30))
    rows = "".join(f"INSERT INTO birds{n % 30} VALUES ({n}, 'Heron');\n" for n in range(300))

    summary, *others = cut(tmp_path, "dump.sql", f"{schema}{rows}CREATE INDEX last ON birds0 (name);\n")
    assert summary.text.startswith("SQL data, summarized: 300 rows in 30 tables.")
    assert "\n".join(chunk.text for chunk in others).split("\n")[:30] == schema.split("\n")[:30]
    assert (others[-1].last_line, others[-1].text.split("\n")[-1]) == (331, "CREATE INDEX last ON birds0 (name);")
    assert [chunk.data for chunk in others] == [None] * len(others)


def test_the_columns_of_nested_objects_are_named_by_path(tmp_path: Path) -> None:
    fixture = json.dumps([{"model": "pond.bird", "pk": n, "fields": {"name": "a", "age": None}} for n in range(50)])

    assert "columns: model (text), pk (integer), fields.name (text), fields.age (empty)" in only(
        tmp_path, "fixtures/birds.json", fixture
    ).text.split("\n")


@pytest.mark.parametrize(
    "text",
    [
        "a" * 60 + ",b\n" + f"{'heron ' * 500},1\n" * 50,
        ",".join(f"a column of number {n}" for n in range(400)) + "\n" + ",".join(["1"] * 400) + "\n",
        '"a\nb","c\x07d"\n' + "1,2\n" * 200,
    ],
)
def test_a_summary_fits_into_one_chunk(tmp_path: Path, text: str) -> None:
    chunk = only(tmp_path, "wide.csv", text)

    assert cost(chunk.content) <= LIMIT
    assert all(line.isprintable() for line in chunk.text.split("\n"))


def test_a_summary_of_many_tables_names_how_many_it_leaves_out(tmp_path: Path) -> None:
    dump = "".join(f"INSERT INTO birds{n} (id, name) VALUES ({n}, 'a'), (2, 'b');\n" for n in range(200))

    chunk = only(tmp_path, "dump.sql", dump)
    assert chunk.text.startswith("SQL data, summarized: 400 rows in 200 tables.")
    assert re.search(r"… and \d+ more tables$", chunk.text)
    assert cost(chunk.content) <= LIMIT


@pytest.mark.parametrize("text", ["[1.5,\n" + "2.5,\n" * 9_999 + "3]", json.dumps(["\ud800\x00" * 9] * 500)])
def test_values_that_cannot_be_stored_are_not_in_a_summary(tmp_path: Path, text: str) -> None:
    only(tmp_path, "a.json", text).new_memory("pond").check()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "[" * 100_000),
        ("a.json", "[" * 900 + "1" + "]" * 900),
        ("a.json", '{"a":' * 5_000 + "1" + "}" * 5_000),
        ("a.json", f"[{'9' * 10_000}]"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "heron">]><a>' + "<c>&b;</c>" * 100 + "</a>"),
        ("a.xml", "<a>" * 100_000),
        ("a.xml", element("a", "".join(f"<b{n}/>" for n in range(50_000)))),
        ("a.sql", "INSERT INTO a VALUES\n" * 20_000),
        ("a.sql", "CREATE TABLE a (\n" * 20_000),
        ("a.sql", "INSERT INTO a VALUES ('\n" * 20_001),
    ],
)
def test_hostile_files_are_no_data(tmp_path: Path, name: str, text: str) -> None:
    source = source_of(tmp_path, name, text)

    assert isinstance(source, Skipped) or source.data is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", ROWS * 20),
        ("a.jsonl", f"{json.dumps(RECORDS[1])}\n" * 999),
        ("a.json", json.dumps(RECORDS * 20)),
        (
            "a.json",
            json.dumps({"birds": {"list": 1}, "all": RECORDS * 20}, ensure_ascii=False).replace("Heron", "Graufüße"),
        ),
        ("a.sql", "".join(f"INSERT INTO birds VALUES ({n}, 'Heron');\n" for n in range(999))),
        ("a.xml", element("birds", BIRD * 999)),
    ],
)
def test_a_large_file_of_data_is_summarized_from_its_first_part(tmp_path: Path, name: str, text: str) -> None:
    size, limit = len(text.encode()), 10_001
    chunk = only(tmp_path, name, text, FileRules(max_bytes=limit))

    headline = re.match(r".*: ([\d,]+) \w+ in the first ([\d,]+) of ([\d,]+) bytes\.", chunk.text)
    assert headline is not None
    count, read_bytes, whole = (int(number.replace(",", "")) for number in headline.groups())
    assert whole == size
    assert limit - 100 <= read_bytes <= limit
    assert chunk.data is not None
    assert (chunk.data["count"], chunk.data["complete"]) == (count, False)


def test_a_large_file_that_is_no_data_is_skipped(tmp_path: Path) -> None:
    settings = "".join(f"key{number}: value\n" for number in range(9_999))

    assert source_of(tmp_path, "a.yaml", settings, FileRules(max_bytes=10_000)) == Skipped(
        "a.yaml", SkipReason.TOO_LARGE
    )


def test_the_digest_of_a_large_file_changes_with_its_size(tmp_path: Path) -> None:
    rules = FileRules(max_bytes=1_000)
    digests = {digest_of(source_of(tmp_path, "a.csv", ROWS + more, rules)) for more in ("", "100,a,b,c\n")}

    assert len(digests) == 2


def test_included_data_is_ingested_in_full_and_again_when_it_was_summarized(tmp_path: Path) -> None:
    summarized, full = (source_of(tmp_path, "a.csv", ROWS, FileRules(included=included)) for included in (False, True))

    assert isinstance(full, SourceText)
    assert full.data is None
    found = chunks(full)
    assert "\n".join(chunk.text for chunk in found) == ROWS.strip()
    assert digest_of(summarized) != digest_of(full)


def digest_of(source: SourceText | Skipped) -> Any:
    assert isinstance(source, SourceText)
    return source.digest
