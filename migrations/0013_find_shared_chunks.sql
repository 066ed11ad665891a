-- A memory that several sources have names one of them in its metadata, and the others with what is their own in the
-- array `also_in`. A filter that names a source then has a second form, for the sources in that array.
CREATE FUNCTION filter_on_also_in(metadata jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(metadata -> 'source') = 'string' THEN
        metadata - '{source,lines,encoding}'::text[] || jsonb_build_object('also_in', jsonb_build_array((
            SELECT jsonb_object_agg(key, value) FROM jsonb_each(metadata) WHERE key IN ('source', 'lines', 'encoding')
        )))
    END;

CREATE OR REPLACE FUNCTION memory_matches_any(
    memory agent_memories, namespace text, at timestamptz, kind text, tags text[], metadata jsonb, session_id text,
    agent_id text, since timestamptz, until timestamptz
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN memory.namespace = memory_matches_any.namespace
       AND (at IS NULL OR memory.expires_at IS NULL OR memory.expires_at > at)
       AND (memory_matches_any.kind IS NULL OR memory.kind = memory_matches_any.kind)
       AND (memory_matches_any.tags IS NULL OR memory.tags @> memory_matches_any.tags)
       AND (
           memory_matches_any.metadata IS NULL
           OR memory.metadata @> memory_matches_any.metadata
           OR memory.metadata @> filter_on_also_in(memory_matches_any.metadata)
       )
       AND (memory_matches_any.session_id IS NULL OR memory.session_id = memory_matches_any.session_id)
       AND (memory_matches_any.agent_id IS NULL OR memory.agent_id = memory_matches_any.agent_id)
       AND (since IS NULL OR memory.occurred_at >= since)
       AND (until IS NULL OR memory.occurred_at <= until);
