-- convert_to() is declared stable, because an encoding can be redefined; UTF8 cannot, so this is immutable.
CREATE FUNCTION digest_of(content text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sha256(convert_to(content, 'UTF8'));


CREATE TABLE agent_memories (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sequence      bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    namespace     text NOT NULL,
    agent_id      text NOT NULL,
    session_id    text,
    kind          text NOT NULL DEFAULT 'episodic' CHECK (kind IN ('episodic', 'semantic', 'procedural', 'document')),
    content       text NOT NULL,
    content_hash  bytea NOT NULL GENERATED ALWAYS AS (digest_of(content)) STORED,
    tags          text[] NOT NULL DEFAULT '{}',
    metadata      jsonb NOT NULL DEFAULT '{}',
    -- double precision, because 0.1 must be read back as 0.1
    importance    double precision NOT NULL DEFAULT 0.5,
    occurred_at   timestamptz NOT NULL DEFAULT now(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    -- No foreign key: deleting the newer memory must not bring the older one back.
    superseded_by uuid,
    version       int NOT NULL DEFAULT 1,
    -- True while a memory belongs to files only: it is deleted with the last of them. A client that stores the same
    -- content makes it false permanently.
    ingested      boolean NOT NULL DEFAULT false,
    search        tsvector NOT NULL GENERATED ALWAYS AS (searchable_text(content)) STORED
) WITH (
    -- A bulk import soon gets statistics.
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1
);

-- The same content in the same scope is stored once. The index has digests, because three names of 255 characters would
-- not fit an index row.
CREATE UNIQUE INDEX agent_memories_once
    ON agent_memories (namespace, content_hash, md5(agent_id), coalesce(md5(session_id), ''))
    WHERE superseded_by IS NULL;
-- With expires_at, an index-only scan can count a namespace.
CREATE INDEX agent_memories_newest ON agent_memories (namespace, occurred_at DESC, sequence DESC) INCLUDE (expires_at)
    WHERE superseded_by IS NULL;
CREATE INDEX agent_memories_session ON agent_memories (namespace, session_id, occurred_at DESC, sequence DESC)
    WHERE superseded_by IS NULL AND session_id IS NOT NULL;
-- In the order in which rows were written, a comparison with the vector index reads each page of the table once.
CREATE INDEX agent_memories_sequence ON agent_memories (sequence) WHERE superseded_by IS NULL;
CREATE INDEX agent_memories_tags ON agent_memories USING gin (tags);
CREATE INDEX agent_memories_metadata ON agent_memories USING gin (metadata jsonb_path_ops);
CREATE INDEX agent_memories_search ON agent_memories USING gin (search);

-- Whether a memory is live at a time and passes a filter, of which NULL parts are ignored. The planner inlines this, as
-- it does tool_matches.
CREATE FUNCTION memory_matches(
    memory agent_memories, namespace text, at timestamptz, kind text, tags text[], metadata jsonb, session_id text,
    agent_id text, since timestamptz, until timestamptz
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN memory.namespace = memory_matches.namespace
       AND memory.superseded_by IS NULL
       AND (memory.expires_at IS NULL OR memory.expires_at > at)
       AND (memory_matches.kind IS NULL OR memory.kind = memory_matches.kind)
       AND (memory_matches.tags IS NULL OR memory.tags @> memory_matches.tags)
       AND (memory_matches.metadata IS NULL OR memory.metadata @> memory_matches.metadata)
       AND (memory_matches.session_id IS NULL OR memory.session_id = memory_matches.session_id)
       AND (memory_matches.agent_id IS NULL OR memory.agent_id = memory_matches.agent_id)
       AND (since IS NULL OR memory.occurred_at >= since)
       AND (until IS NULL OR memory.occurred_at <= until);
