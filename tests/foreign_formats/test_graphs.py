"""The knowledge graph of the reference memory server."""

import json
from pathlib import Path

from tests.foreign_formats.reading import EXPORTS, contents, read, refusals

GRAPH = EXPORTS / "server-memory" / "memory.jsonl"


def test_each_observation_names_its_entity_and_each_relation_is_a_sentence() -> None:
    memories, skipped = read("server-memory", GRAPH)
    assert skipped == []
    assert contents(memories) == [
        "Ada_Quill: Keeps bees on the roof",
        "Ada_Quill: Speaks Frisian",
        "Harbour Choir is of the type organization.",
        "Ada_Quill sings in Harbour Choir.",
    ]
    assert [list(new.tags) for new in memories] == [["person"], ["person"], ["organization"], []]
    assert {new.kind for new in memories} == {"semantic"}
    assert {new.session_id for new in memories} == {None}
    assert memories[3].metadata == {
        "imported_from": "server-memory",
        "from": "Ada_Quill",
        "relation": "sings_in",
        "to": "Harbour Choir",
    }


def test_the_answer_of_read_graph_is_the_same_graph(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in GRAPH.read_text().splitlines()]
    graph = {
        name: [line for line in lines if line["type"] == kind]
        for name, kind in (("entities", "entity"), ("relations", "relation"))
    }
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(graph, indent=2))
    assert read("server-memory", file) == read("server-memory", GRAPH)


def test_invalid_lines_are_refused_with_their_number(tmp_path: Path) -> None:
    file = tmp_path / "memory.jsonl"
    file.write_bytes(
        b'{"type": "entity", "name": "Ada", "entityType": "person", "observations": ["sings", 7, ""]}\n'
        b"\n"
        b"not json\n"
        b'{"type": "entity", "observations": ["no name"]}\n'
        b'{"type": "entity", "name": "Ada", "observations": "one text"}\n'
        b'{"type": "relation", "from": "Ada", "to": "", "relationType": "knows"}\n'
        b'{"type": "other"}\n'
        b'["a list"]\n' + b"[" * 200_000 + b"\n"
        b'{"type": "entity", "name": "\xff", "entityType": "person", "observations": ["x"]}\n'
    )
    memories, skipped = read("server-memory", file)
    assert contents(memories) == ["Ada: sings"]
    assert refusals(skipped) == [
        ("memory.jsonl: line 1, observation 2", "The observation is no text."),
        ("memory.jsonl: line 1, observation 3", "The observation is no text."),
        ("memory.jsonl: line 3", "This is not JSON in UTF-8."),
        ("memory.jsonl: line 4", "name is missing or is no text."),
        ("memory.jsonl: line 5", "observations is no list."),
        ("memory.jsonl: line 6", "to is missing or is no text."),
        ("memory.jsonl: line 7", "This is neither an entity nor a relation."),
        ("memory.jsonl: line 8", "This is neither an entity nor a relation."),
        ("memory.jsonl: line 9", "This is not JSON in UTF-8."),
        ("memory.jsonl: line 10", "This is not JSON in UTF-8."),
    ]
