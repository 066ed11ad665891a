-- The tables of tools and memories are authoritative; everything else here can be computed again from them.

-- Full text serves degraded answers only, so a text that exceeds a tsvector's megabyte is searchable by its beginning
-- instead of being refused. A block with an exception handler costs microseconds, a failed write costs trust.
CREATE FUNCTION searchable_text(content text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN to_tsvector('pg_catalog.english', content);
EXCEPTION WHEN program_limit_exceeded THEN
    RETURN to_tsvector('pg_catalog.english', left(content, 60000));
END
$$;

-- Returns a query that matches every text which shares a word with the question. The question is never parsed as search
-- syntax, and only the most repeated words of a very long one count. Without any word the result is NULL, which matches
-- nothing.
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

-- Names are searched verbatim and as words: getUser_by-ID is also get User by ID.
CREATE FUNCTION split_identifier(name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN name || ' ' || translate(regexp_replace(name, '([a-z0-9])([A-Z])', '\1 \2', 'g'), '_-./:', '     ');

-- convert_to() is declared stable, because an encoding can be redefined; UTF8 cannot, so this is immutable.
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
    -- Scope, versions and search. The defaults let a row be inserted without these columns.
    namespace             text NOT NULL DEFAULT 'default',
    point_id              uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    version               int NOT NULL DEFAULT 1,
    enabled               boolean NOT NULL DEFAULT true,
    search                tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('pg_catalog.english', split_identifier(name) || ' ' || split_identifier(tool_id)), 'A')
        || setweight(searchable_text(description), 'B')
        || setweight(jsonb_to_tsvector('pg_catalog.english', coalesce(request_schema, '{}'), '["key", "string"]'), 'D')
    ) STORED,
    UNIQUE (namespace, tool_id)
);

CREATE INDEX registered_tools_name ON registered_tools (name);
CREATE INDEX registered_tools_any_case ON registered_tools (namespace, lower(name));
CREATE INDEX registered_tools_capabilities ON registered_tools USING gin (required_capabilities);
CREATE INDEX registered_tools_search ON registered_tools USING gin (search);

-- Whether a tool passes a filter, of which NULL parts are ignored. `required`: capabilities that the tool must need;
-- `agent_has`: the only ones that it may need. The planner inlines this, so indexes stay usable: that takes LANGUAGE
-- sql, a single expression, no STRICT and no SET.
CREATE FUNCTION tool_matches(tool registered_tools, namespace text, required text[], agent_has text[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN tool.namespace = tool_matches.namespace
       AND tool.enabled
       AND (required IS NULL OR tool.required_capabilities @> required)
       AND (agent_has IS NULL OR coalesce(tool.required_capabilities, '{}') <@ agent_has);


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


-- No text is embedded twice: vectors by model and SHA-256 of the text, as little-endian float32.
CREATE TABLE embeddings (
    model        text NOT NULL,
    content_hash bytea NOT NULL,
    vector       bytea NOT NULL,
    PRIMARY KEY (model, content_hash)
);
-- Floats do not compress.
ALTER TABLE embeddings ALTER COLUMN vector SET STORAGE EXTERNAL;

-- How many vectors were ever computed. It shows that a rebuild computed none.
CREATE TABLE embedding_counts (
    model    text PRIMARY KEY,
    computed bigint NOT NULL
);


-- The items to index: a set, not a log. There is one row per item that may differ from its points, so a hundred edits
-- cost one embedding and a rebuild is one INSERT. All versions come from one sequence: a row can be deleted and
-- inserted again, and a late finish must not match the new row.
CREATE SEQUENCE index_queue_version;
CREATE TABLE index_queue (
    kind          text NOT NULL CHECK (kind IN ('memory', 'tool')),
    item_id       uuid NOT NULL,
    version       bigint NOT NULL DEFAULT nextval('index_queue_version'),
    -- Writes (0) come before the items that a rebuild or a version scan queued (1).
    priority      smallint NOT NULL DEFAULT 0,
    attempts      int NOT NULL DEFAULT 0,
    -- A lease: the item cannot be claimed again before this time. An edit does not change it and clears only retry_at.
    claimed_until timestamptz,
    retry_at      timestamptz,
    last_error    text,
    queued_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, item_id)
) WITH (
    -- Rows live for milliseconds: pages keep space for updates in place, and vacuum runs by number, not by share.
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

-- Triggers mark items in the writer's own transaction, so that psql and future statements mark them too.
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
CREATE FUNCTION increment_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;

-- Any change of a column that a memory's points or their filters are made of increments its version. A point with an
-- older version is known to be stale even when its mark was lost.
CREATE TRIGGER agent_memories_version BEFORE UPDATE ON agent_memories
    FOR EACH ROW
    WHEN ((OLD.namespace, OLD.agent_id, OLD.session_id, OLD.kind, OLD.content, OLD.tags, OLD.metadata,
           OLD.occurred_at, OLD.expires_at, OLD.superseded_by)
          IS DISTINCT FROM
          (NEW.namespace, NEW.agent_id, NEW.session_id, NEW.kind, NEW.content, NEW.tags, NEW.metadata,
           NEW.occurred_at, NEW.expires_at, NEW.superseded_by))
    EXECUTE FUNCTION increment_version();
CREATE TRIGGER agent_memories_mark AFTER INSERT OR DELETE ON agent_memories
    FOR EACH ROW EXECUTE FUNCTION mark_memory();
CREATE TRIGGER agent_memories_mark_again AFTER UPDATE ON agent_memories
    FOR EACH ROW WHEN (OLD.version IS DISTINCT FROM NEW.version) EXECUTE FUNCTION mark_memory();

-- A tool's version is public and only a registration increments it, so this compares the columns that its points are
-- made of.
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


-- One row: the last report of the process that holds the index, and the requests of other processes to it.
CREATE TABLE index_log (
    id                   boolean PRIMARY KEY DEFAULT true CHECK (id),
    report               jsonb,
    published_at         timestamptz,
    rebuild_requested_at timestamptz
);
INSERT INTO index_log DEFAULT VALUES;
