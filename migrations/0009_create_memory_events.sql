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

-- Memories that were forgotten and can be restored: rows of agent_memories, which no statement on memories reads.
CREATE TABLE forgotten_memories (
    id uuid PRIMARY KEY, namespace text NOT NULL, superseded_by uuid, forgotten_at timestamptz NOT NULL, stored jsonb NOT NULL
);
CREATE INDEX forgotten_memories_former ON forgotten_memories (superseded_by);

-- Whether a memory passes a filter, of which NULL parts are ignored.
CREATE FUNCTION memory_passes(
    memory agent_memories, namespace text, kind text, tags text[], metadata jsonb, session_id text, agent_id text,
    since timestamptz, until timestamptz
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN memory.namespace = memory_passes.namespace
       AND (memory_passes.kind IS NULL OR memory.kind = memory_passes.kind)
       AND (memory_passes.tags IS NULL OR memory.tags @> memory_passes.tags)
       AND (memory_passes.metadata IS NULL OR memory.metadata @> memory_passes.metadata)
       AND (memory_passes.session_id IS NULL OR memory.session_id = memory_passes.session_id)
       AND (memory_passes.agent_id IS NULL OR memory.agent_id = memory_passes.agent_id)
       AND (since IS NULL OR memory.occurred_at >= since)
       AND (until IS NULL OR memory.occurred_at <= until);

CREATE OR REPLACE FUNCTION memory_matches(
    memory agent_memories, namespace text, at timestamptz, kind text, tags text[], metadata jsonb, session_id text,
    agent_id text, since timestamptz, until timestamptz
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN memory_passes(memory, namespace, kind, tags, metadata, session_id, agent_id, since, until)
       AND memory.superseded_by IS NULL
       AND (memory.expires_at IS NULL OR memory.expires_at > at);

-- The same for what was known at a time, which may have been superseded since.
CREATE FUNCTION memory_matched(
    memory agent_memories, namespace text, at timestamptz, kind text, tags text[], metadata jsonb, session_id text,
    agent_id text, since timestamptz, until timestamptz
) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN memory_passes(memory, namespace, kind, tags, metadata, session_id, agent_id, since, until)
       AND memory.created_at <= at
       AND (memory.superseded_at IS NULL OR memory.superseded_at > at)
       AND (memory.expires_at IS NULL OR memory.expires_at > at);

-- The points hold the importance.
CREATE OR REPLACE TRIGGER agent_memories_version BEFORE UPDATE ON agent_memories
    FOR EACH ROW
    WHEN ((OLD.namespace, OLD.agent_id, OLD.session_id, OLD.kind, OLD.content, OLD.tags, OLD.metadata, OLD.importance,
           OLD.occurred_at, OLD.expires_at, OLD.superseded_by)
          IS DISTINCT FROM
          (NEW.namespace, NEW.agent_id, NEW.session_id, NEW.kind, NEW.content, NEW.tags, NEW.metadata, NEW.importance,
           NEW.occurred_at, NEW.expires_at, NEW.superseded_by))
    EXECUTE FUNCTION increment_version();
