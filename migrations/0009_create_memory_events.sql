-- Until when a superseded memory counted. A memory finds those that it replaced by the index.
ALTER TABLE agent_memories ADD superseded_at timestamptz;
UPDATE agent_memories AS old
   SET superseded_at = coalesce((SELECT created_at FROM agent_memories WHERE id = old.superseded_by), now())
 WHERE superseded_by IS NOT NULL;
CREATE INDEX agent_memories_former ON agent_memories (superseded_by) WHERE superseded_by IS NOT NULL;

-- What happened to memories, each event written in the transaction of its change and never changed, except that an
-- erasure empties `former`: the values that a change replaced. Ingested chunks have the history of their files.
CREATE TABLE memory_events (
    memory_id      uuid NOT NULL,
    sequence       bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    namespace      text NOT NULL,
    event          text NOT NULL,
    agent_id       text NOT NULL,
    client         text,
    client_version text,
    transport      text,
    at             timestamptz NOT NULL,
    former         jsonb,
    PRIMARY KEY (memory_id, sequence)
);
CREATE INDEX memory_events_at ON memory_events USING brin (at);

-- When the files were last freed of what erasures leave in them.
ALTER TABLE index_log ADD purged_at timestamptz;

-- Memories that were forgotten and can be restored: rows of agent_memories, which no statement on memories reads.
CREATE TABLE forgotten_memories (
    id uuid PRIMARY KEY, namespace text NOT NULL, superseded_by uuid, forgotten_at timestamptz NOT NULL, stored jsonb NOT NULL
);
CREATE INDEX forgotten_memories_former ON forgotten_memories (superseded_by);

-- Whether a memory, live or superseded, passes a filter, of which NULL parts are ignored, and has not expired.
CREATE FUNCTION memory_matches_any(
    memory agent_memories, namespace text, at timestamptz, kind text, tags text[], metadata jsonb, session_id text,
    agent_id text, since timestamptz, until timestamptz
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN memory.namespace = memory_matches_any.namespace
       AND (at IS NULL OR memory.expires_at IS NULL OR memory.expires_at > at)
       AND (memory_matches_any.kind IS NULL OR memory.kind = memory_matches_any.kind)
       AND (memory_matches_any.tags IS NULL OR memory.tags @> memory_matches_any.tags)
       AND (memory_matches_any.metadata IS NULL OR memory.metadata @> memory_matches_any.metadata)
       AND (memory_matches_any.session_id IS NULL OR memory.session_id = memory_matches_any.session_id)
       AND (memory_matches_any.agent_id IS NULL OR memory.agent_id = memory_matches_any.agent_id)
       AND (since IS NULL OR memory.occurred_at >= since)
       AND (until IS NULL OR memory.occurred_at <= until);

CREATE OR REPLACE FUNCTION memory_matches(
    memory agent_memories, namespace text, at timestamptz, kind text, tags text[], metadata jsonb, session_id text,
    agent_id text, since timestamptz, until timestamptz
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN memory_matches_any(memory, namespace, at, kind, tags, metadata, session_id, agent_id, since, until)
       AND memory.superseded_by IS NULL;

-- The same for what was live at a time, as far as it was known then.
CREATE FUNCTION memory_matched_then(
    memory agent_memories, namespace text, at timestamptz, kind text, tags text[], metadata jsonb, session_id text,
    agent_id text, since timestamptz, until timestamptz
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN memory_matches_any(memory, namespace, at, kind, tags, metadata, session_id, agent_id, since, until)
       AND memory.created_at <= at
       AND (memory.superseded_at IS NULL OR memory.superseded_at > at);

-- A version is also what a client names when it changes what it has read, so each label counts.
CREATE OR REPLACE TRIGGER agent_memories_version BEFORE UPDATE ON agent_memories
    FOR EACH ROW
    WHEN ((OLD.namespace, OLD.agent_id, OLD.session_id, OLD.kind, OLD.content, OLD.tags, OLD.metadata, OLD.importance,
           OLD.occurred_at, OLD.expires_at, OLD.superseded_by)
          IS DISTINCT FROM
          (NEW.namespace, NEW.agent_id, NEW.session_id, NEW.kind, NEW.content, NEW.tags, NEW.metadata, NEW.importance,
           NEW.occurred_at, NEW.expires_at, NEW.superseded_by))
    EXECUTE FUNCTION increment_version();
