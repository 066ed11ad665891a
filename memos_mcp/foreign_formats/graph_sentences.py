"""Makes memories of a knowledge graph.

Each observation is a memory that names its entity: a question about either finds it, and it can be corrected or
forgotten alone. One memory for all observations of an entity would match a question about one of them only weakly.
The type of the entity is a tag. A relation is a sentence, so that a question in words finds it; the names of the graph
are in its metadata, unchanged.
"""

from memos_mcp.domain.memory import NewMemory


def observation(entity: str, entity_type: str | None, content: str) -> NewMemory:
    """Return the memory of an observation of an entity."""
    tags, metadata = _type(entity_type)
    return NewMemory(f"{entity}: {content}", "semantic", tags, {"entity": entity, **metadata})


def bare_entity(entity: str, entity_type: str) -> NewMemory:
    """Return the memory of an entity that has no observations: that it exists, and what it is."""
    tags, metadata = _type(entity_type)
    return NewMemory(f"{entity} is of the type {entity_type}.", "semantic", tags, {"entity": entity, **metadata})


def relation(source: str, kind: str, target: str, remark: str | None = None) -> NewMemory:
    """Return the memory of a relation, as a sentence with the words of its kind."""
    words = kind.replace("_", " ").replace("-", " ").strip()
    ending = "." if remark is None else f" ({remark})."
    metadata = {"from": source, "relation": kind, "to": target}
    return NewMemory(f"{source} {words} {target}{ending}", "semantic", metadata=metadata)


def _type(entity_type: str | None) -> tuple[list[str], dict[str, str]]:
    return ([], {}) if entity_type is None else ([entity_type.strip()], {"entity_type": entity_type})
