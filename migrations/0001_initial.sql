-- Tools and memories are the truth; everything else here can be computed again from them.

-- Full text serves degraded answers only, so a document that exceeds a tsvector's megabyte is searchable by its
-- beginning instead of being refused. Blocks with an exception handler cost microseconds, failed writes cost trust.
CREATE FUNCTION searchable_text(content text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN to_tsvector('pg_catalog.english', content);
EXCEPTION WHEN program_limit_exceeded THEN
    RETURN to_tsvector('pg_catalog.english', left(content, 60000));
END
$$;

-- A question matches what shares any word with it. Its text is never read as search syntax, and of a very long one the
-- most repeated words count. NULL, which matches nothing, when no word is left.
CREATE FUNCTION any_word_of(question text) RETURNS tsquery
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (
        SELECT string_agg('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''', ' | ')::tsquery
          FROM (
            SELECT lexeme
              FROM unnest(searchable_text(left(question, 20000)))
             ORDER BY cardinality(positions) DESC, positions[1]
             LIMIT 64
          ) AS words
    );

-- Names are searched as they are written and as words: getUser_by-ID is also get User by ID.
CREATE FUNCTION spoken_name(name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN name || ' ' || translate(regexp_replace(name, '([a-z0-9])([A-Z])', '\1 \2', 'g'), '_-./:', '     ');

-- convert_to() is declared stable, because an encoding can be created anew; UTF8 cannot.
CREATE FUNCTION digest_of(content text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sha256(convert_to(content, 'UTF8'));


CREATE TABLE registered_tools (
    id                    serial PRIMARY KEY,
    tool_id               varchar(255) NOT NULL,
    name                  varchar(255) NOT NULL,
    description           text NOT NULL,
    endpoint_url          varchar(1024) NOT NULL,
    request_schema        jsonb,
    response_schema       jsonb,
    required_capabilities text[],
    created_at            timestamptz DEFAULT now(),
    updated_at            timestamptz DEFAULT now(),
    -- What follows is scope, versions and search. The defaults let a row be inserted without knowing of them.
    namespace             text NOT NULL DEFAULT 'default',
    point_id              uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    version               int NOT NULL DEFAULT 1,
    enabled               boolean NOT NULL DEFAULT true,
    search                tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.english', spoken_name(name) || ' ' || spoken_name(tool_id)), 'A')
        || setweight(searchable_text(description), 'B')
        || setweight(jsonb_to_tsvector('pg_catalog.english', coalesce(request_schema, '{}'), '["key", "string"]'), 'D')
    ) STORED,
    UNIQUE (namespace, tool_id)
);

CREATE INDEX registered_tools_name ON registered_tools (name);
CREATE INDEX registered_tools_any_case ON registered_tools (namespace, lower(name));
CREATE INDEX registered_tools_capabilities ON registered_tools USING gin (required_capabilities);
CREATE INDEX registered_tools_search ON registered_tools USING gin (search);


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
    -- double precision, because 0.1 must come back as 0.1
    importance    double precision NOT NULL DEFAULT 0.5,
    occurred_at   timestamptz NOT NULL DEFAULT now(),
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz,
    -- No foreign key: forgetting the newer memory must not bring the older one back.
    superseded_by uuid,
    version       int NOT NULL DEFAULT 1,
    search        tsvector NOT NULL GENERATED ALWAYS AS (searchable_text(content)) STORED
) WITH (
    -- A bulk import should not wait long for its statistics.
    autovacuum_analyze_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1
);

-- The same content in the same scope is stored once. Digests, because three names of 255 characters would not fit
-- an index row.
CREATE UNIQUE INDEX agent_memories_once
    ON agent_memories (namespace, content_hash, md5(agent_id), coalesce(md5(session_id), ''))
    WHERE superseded_by IS NULL;
-- expires_at lets a namespace be counted without reading its contents.
CREATE INDEX agent_memories_newest ON agent_memories (namespace, occurred_at DESC, sequence DESC) INCLUDE (expires_at)
    WHERE superseded_by IS NULL;
CREATE INDEX agent_memories_session ON agent_memories (namespace, session_id, occurred_at DESC, sequence DESC)
    WHERE superseded_by IS NULL AND session_id IS NOT NULL;
CREATE INDEX agent_memories_tags ON agent_memories USING gin (tags);
CREATE INDEX agent_memories_metadata ON agent_memories USING gin (metadata jsonb_path_ops);
CREATE INDEX agent_memories_search ON agent_memories USING gin (search);


-- No text costs a second inference: vectors by model and SHA-256 of the text, as little-endian float32.
CREATE TABLE embeddings (
    model        text NOT NULL,
    content_hash bytea NOT NULL,
    vector       bytea NOT NULL,
    PRIMARY KEY (model, content_hash)
);
-- Floats do not compress: do not try.
ALTER TABLE embeddings ALTER COLUMN vector SET STORAGE EXTERNAL;

-- How many vectors were ever computed, which is how one sees that a rebuild computed none.
CREATE TABLE embedding_counts (
    model    text PRIMARY KEY,
    computed bigint NOT NULL
);


-- What the index still owes: a set, not a log. One row per item that may differ from its points, so a hundred edits
-- cost one embedding and a rebuild is one INSERT. Versions come from one sequence, because a row is deleted and
-- created again, and who finishes late must not match the new row.
CREATE SEQUENCE index_queue_version;
CREATE TABLE index_queue (
    kind          text NOT NULL CHECK (kind IN ('memory', 'tool')),
    item_id       uuid NOT NULL,
    version       bigint NOT NULL DEFAULT nextval('index_queue_version'),
    -- Writes (0) go before what a rebuild or a comparison queued (1).
    priority      smallint NOT NULL DEFAULT 0,
    attempts      int NOT NULL DEFAULT 0,
    -- A lease: nobody else may claim the item before. A new edit leaves it alone and clears only retry_at.
    claimed_until timestamptz,
    retry_at      timestamptz,
    last_error    text,
    queued_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, item_id)
) WITH (
    -- Rows live for milliseconds: room for updates in place, and a vacuum by number, not by share.
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000
);
CREATE INDEX index_queue_order ON index_queue (priority, queued_at);

CREATE FUNCTION mark_for_indexing(marked_kind text, marked_id uuid) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO index_queue (kind, item_id) VALUES (marked_kind, marked_id)
    ON CONFLICT (kind, item_id) DO UPDATE
        SET version = excluded.version, priority = 0, attempts = 0, retry_at = NULL, last_error = NULL;
    PERFORM pg_notify('index_queue', marked_kind);
END
$$;

-- The schema marks, in the writer's own transaction: that also holds for psql and for statements yet to be written.
CREATE FUNCTION mark_memory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mark_for_indexing('memory', coalesce(NEW.id, OLD.id));
    RETURN NULL;
END
$$;
CREATE FUNCTION mark_tool() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mark_for_indexing('tool', coalesce(NEW.point_id, OLD.point_id));
    RETURN NULL;
END
$$;
CREATE FUNCTION grow_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

-- A memory's version grows with everything that its points or their filters are made of, whoever changes it: a point
-- with an older version is known to be stale even when its mark was lost.
CREATE TRIGGER agent_memories_version BEFORE UPDATE ON agent_memories
    FOR EACH ROW
    WHEN ((OLD.namespace, OLD.agent_id, OLD.session_id, OLD.kind, OLD.content, OLD.tags, OLD.metadata,
           OLD.occurred_at, OLD.expires_at, OLD.superseded_by)
          IS DISTINCT FROM
          (NEW.namespace, NEW.agent_id, NEW.session_id, NEW.kind, NEW.content, NEW.tags, NEW.metadata,
           NEW.occurred_at, NEW.expires_at, NEW.superseded_by))
    EXECUTE FUNCTION grow_version();
CREATE TRIGGER agent_memories_mark AFTER INSERT OR DELETE ON agent_memories
    FOR EACH ROW EXECUTE FUNCTION mark_memory();
CREATE TRIGGER agent_memories_mark_again AFTER UPDATE ON agent_memories
    FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION mark_memory();

-- A tool's version is its users' and grows with registrations only; its points are made of these columns.
CREATE TRIGGER registered_tools_mark AFTER INSERT OR DELETE ON registered_tools
    FOR EACH ROW EXECUTE FUNCTION mark_tool();
CREATE TRIGGER registered_tools_mark_again AFTER UPDATE ON registered_tools
    FOR EACH ROW
    WHEN ((OLD.namespace, OLD.tool_id, OLD.name, OLD.description, OLD.request_schema, OLD.required_capabilities,
           OLD.enabled, OLD.version)
          IS DISTINCT FROM
          (NEW.namespace, NEW.tool_id, NEW.name, NEW.description, NEW.request_schema, NEW.required_capabilities,
           NEW.enabled, NEW.version))
    EXECUTE FUNCTION mark_tool();


-- One row: what the process that holds the index last said of it, and what the others ask of that process.
CREATE TABLE index_log (
    id                   boolean PRIMARY KEY DEFAULT true CHECK (id),
    report               jsonb,
    published_at         timestamptz,
    rebuild_requested_at timestamptz
);
INSERT INTO index_log DEFAULT VALUES;
