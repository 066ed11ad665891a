"""The types of lines that an export has, each with its SQL: a table more is a type more.

Postgres itself prints and parses all values: no object of this language holds all numbers and times that it can.
"""

from collections.abc import Mapping
from typing import Final

from memos_mcp.postgres.experience_lines import OUTCOME, TASK
from memos_mcp.postgres.line_type import LineType, columns

MEMORY: Final = LineType(
    "memory",
    columns(
        "id sequence namespace agent_id session_id kind content tags metadata importance occurred_at "
        "created_at expires_at superseded_by superseded_at version ingested"
    ),
    "SELECT count(*) FROM agent_memories WHERE $1::text IS NULL OR namespace = $1",
    """
    SELECT (to_jsonb(memory) - '{content_hash,search}'::text[] || '{"type": "memory"}')::text AS line
      FROM agent_memories AS memory
     WHERE $1::text IS NULL
        OR namespace = $1
     ORDER BY sequence
    """,
    """
    INSERT INTO agent_memories (
        id, sequence, namespace, agent_id, session_id, kind, content, tags, metadata, importance, occurred_at,
        created_at, expires_at, superseded_by, superseded_at, version, ingested
    )
    OVERRIDING SYSTEM VALUE
    SELECT id, CASE WHEN $3 THEN sequence ELSE nextval('agent_memories_sequence_seq') END, namespace, agent_id,
           session_id, kind, content, tags, metadata, importance, occurred_at, created_at, expires_at,
           coalesce(($2::jsonb ->> superseded_by::text)::uuid, superseded_by), superseded_at, version, ingested
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::agent_memories, line.text::jsonb) AS new
     WHERE NOT EXISTS (SELECT FROM forgotten_memories WHERE id = new.id)
       AND NOT EXISTS (SELECT FROM memory_events WHERE memory_id = new.id AND event = 'erased')
     ORDER BY position
    ON CONFLICT DO NOTHING
    """,
    """
    SELECT position,
           to_jsonb(old) - '{sequence,content_hash,search,superseded_by}'::text[]
               = line.text::jsonb - '{type,sequence,superseded_by}'::text[]
           AND old.superseded_by::text IS NOT DISTINCT FROM coalesce(
               $2::jsonb ->> (line.text::jsonb ->> 'superseded_by'), line.text::jsonb ->> 'superseded_by'
           ) AS same
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
      JOIN agent_memories AS old ON old.id = (line.text::jsonb ->> 'id')::uuid
    """,
    insert_parameters=3,
    stored_parameters=2,
)
FORGOTTEN: Final = LineType(
    "forgotten",
    columns("id namespace superseded_by forgotten_at stored"),
    "SELECT count(*) FROM forgotten_memories WHERE $1::text IS NULL OR namespace = $1",
    """
    SELECT (to_jsonb(memory) || '{"type": "forgotten"}')::text AS line
      FROM forgotten_memories AS memory
     WHERE $1::text IS NULL
        OR namespace = $1
     ORDER BY (stored ->> 'sequence')::bigint
    """,
    """
    INSERT INTO forgotten_memories (id, namespace, superseded_by, forgotten_at, stored)
    SELECT id, namespace, coalesce(($2::jsonb ->> superseded_by::text)::uuid, superseded_by), forgotten_at,
           CASE WHEN $3 THEN stored
                ELSE jsonb_set(stored, '{sequence}', to_jsonb(nextval('agent_memories_sequence_seq')))
           END
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::forgotten_memories, line.text::jsonb) AS new
     WHERE NOT EXISTS (SELECT FROM agent_memories WHERE id = new.id)
       AND NOT EXISTS (SELECT FROM memory_events WHERE memory_id = new.id AND event = 'erased')
     ORDER BY position
    ON CONFLICT DO NOTHING
    """,
    """
    SELECT position,
           to_jsonb(old) #- '{stored,sequence}' = line.text::jsonb - 'type' #- '{stored,sequence}' AS same
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
      JOIN forgotten_memories AS old ON old.id = (line.text::jsonb ->> 'id')::uuid
    """,
    insert_parameters=3,
)
EVENT: Final = LineType(
    "event",
    columns("memory_id sequence namespace event agent_id client client_version transport at former"),
    "SELECT count(*) FROM memory_events WHERE $1::text IS NULL OR namespace = $1",
    """
    SELECT (to_jsonb(one) || '{"type": "event"}')::text AS line
      FROM memory_events AS one
     WHERE $1::text IS NULL
        OR namespace = $1
     ORDER BY sequence
    """,
    """
    INSERT INTO memory_events (
        memory_id, sequence, namespace, event, agent_id, client, client_version, transport, at, former
    )
    OVERRIDING SYSTEM VALUE
    SELECT memory_id, sequence, namespace, event, agent_id, client, client_version, transport, at, former
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::memory_events, line.text::jsonb) AS new
     WHERE new.event <> 'erased'
        OR NOT EXISTS (SELECT FROM agent_memories WHERE id = new.memory_id)
     ORDER BY position
    ON CONFLICT DO NOTHING
    """,
    """
    SELECT position, to_jsonb(old) = line.text::jsonb - 'type' AS same
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
      JOIN memory_events AS old
        ON (old.memory_id, old.sequence)
         = ((line.text::jsonb ->> 'memory_id')::uuid, (line.text::jsonb ->> 'sequence')::bigint)
    """,
)
TOOL: Final = LineType(
    "tool",
    columns(
        "tool_id name description endpoint_url request_schema response_schema required_capabilities "
        "created_at updated_at namespace point_id version enabled"
    ),
    "SELECT count(*) FROM registered_tools WHERE $1::text IS NULL OR namespace = $1",
    """
    SELECT (to_jsonb(tool) - '{id,search}'::text[] || '{"type": "tool"}')::text AS line
      FROM registered_tools AS tool
     WHERE $1::text IS NULL
        OR namespace = $1
     ORDER BY id
    """,
    """
    INSERT INTO registered_tools (
        tool_id, name, description, endpoint_url, request_schema, response_schema, required_capabilities, created_at,
        updated_at, namespace, point_id, version, enabled, method, auth, source, annotations, missing
    )
    SELECT tool_id, name, description, endpoint_url, request_schema, response_schema, required_capabilities, created_at,
           updated_at, namespace, point_id, version, enabled, method, auth, source, annotations, missing
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
     CROSS JOIN LATERAL jsonb_populate_record(
               NULL::registered_tools, '{"method": "POST", "missing": false}' || line.text::jsonb
           )
     ORDER BY position
    ON CONFLICT DO NOTHING
    """,
    """
    SELECT position,
           to_jsonb(old) - '{id,search}'::text[]
           = '{"method": "POST", "auth": null, "source": null, "annotations": null, "missing": false}'
             || line.text::jsonb - 'type' AS same
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
      JOIN registered_tools AS old
        ON (old.namespace, old.tool_id) = (line.text::jsonb ->> 'namespace', line.text::jsonb ->> 'tool_id')
    """,
    later_columns=columns("method auth source annotations missing"),
)
# A chunk that is stored here already names the sources that it has here; those of the export are added.
FILE: Final = LineType(
    "file",
    columns("namespace agent_id source path digest memory_ids stored_at"),
    "SELECT count(*) FROM ingested_files WHERE $1::text IS NULL OR namespace = $1",
    """
    SELECT (to_jsonb(file) || '{"type": "file"}')::text AS line
      FROM ingested_files AS file
     WHERE $1::text IS NULL
        OR namespace = $1
     ORDER BY namespace, agent_id, source, path
    """,
    """
    WITH inserted AS (
        INSERT INTO ingested_files (namespace, agent_id, source, path, digest, memory_ids, stored_at)
        SELECT namespace, agent_id, source, path, digest,
               ARRAY(
                   SELECT coalesce(($2::jsonb ->> id::text)::uuid, id)
                     FROM unnest(memory_ids) WITH ORDINALITY AS chunk (id, position)
                    WHERE NOT EXISTS (
                        SELECT
                          FROM agent_memories AS other
                         WHERE other.id = chunk.id
                           AND other.namespace <> new.namespace
                    )
                    ORDER BY chunk.position
               ),
               stored_at
          FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
         CROSS JOIN LATERAL jsonb_populate_record(NULL::ingested_files, line.text::jsonb) AS new
         ORDER BY position
        ON CONFLICT DO NOTHING
        RETURNING source, memory_ids
    ), others AS (
        SELECT memory.id, jsonb_agg(DISTINCT jsonb_build_object('source', inserted.source)) AS sources
          FROM inserted, unnest(inserted.memory_ids) AS chunk (id)
          JOIN agent_memories AS memory USING (id)
         WHERE memory.ingested
           AND memory.metadata ->> 'source' <> inserted.source
           AND NOT memory.metadata @> jsonb_build_object(
               'also_in', jsonb_build_array(jsonb_build_object('source', inserted.source))
           )
         GROUP BY memory.id
    )
    UPDATE agent_memories AS memory
       SET metadata = memory.metadata
               || jsonb_build_object('also_in', coalesce(memory.metadata -> 'also_in', '[]') || others.sources)
      FROM others
     WHERE memory.id = others.id
    """,
    """
    SELECT position,
           to_jsonb(old) - 'memory_ids' = line.text::jsonb - '{type,memory_ids}'::text[] AS same
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::ingested_files, line.text::jsonb) AS new
      JOIN ingested_files AS old
        ON (old.namespace, md5(old.agent_id), md5(old.source), md5(old.path))
         = (new.namespace, md5(new.agent_id), md5(new.source), md5(new.path))
    """,
    insert_parameters=2,
)
VECTOR: Final = LineType(
    "vector",
    columns("model content_hash vector"),
    "SELECT count(*) FROM embeddings WHERE $1::text IS NULL AND vector IS NOT NULL",
    """
    SELECT (to_jsonb(embedding) - 'claimed_until' || '{"type": "vector"}')::text AS line
      FROM embeddings AS embedding
     WHERE $1::text IS NULL
       AND vector IS NOT NULL
     ORDER BY model, content_hash
    """,
    """
    INSERT INTO embeddings (model, content_hash, vector)
    SELECT model, content_hash, vector
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
     CROSS JOIN LATERAL jsonb_populate_record(NULL::embeddings, line.text::jsonb)
    ON CONFLICT DO NOTHING
    """,
    """
    SELECT position,
           old.vector::text IS NOT DISTINCT FROM line.text::jsonb ->> 'vector' AS same
      FROM unnest($1::text[]) WITH ORDINALITY AS line (text, position)
      JOIN embeddings AS old
        ON (old.model, old.content_hash)
         = (line.text::jsonb ->> 'model', (line.text::jsonb ->> 'content_hash')::bytea)
    """,
)

LINE_TYPES: Final[Mapping[str, LineType]] = {
    line_type.name: line_type for line_type in (VECTOR, MEMORY, FORGOTTEN, EVENT, TOOL, FILE, TASK, OUTCOME)
}
"""In the order of an export: vectors before their texts, and what others refer to before these."""
