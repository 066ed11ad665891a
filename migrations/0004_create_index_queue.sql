-- The items to index: a set, not a log. There is one row per item that may differ from its points, so a hundred edits
-- cost one embedding and a rebuild is one INSERT. All versions come from one sequence: a row can be deleted and
-- inserted again, and a late finish must not match the new row.
CREATE SEQUENCE index_queue_version;
CREATE TABLE index_queue (
    kind          text NOT NULL CHECK (kind IN ('memory', 'tool')),
    item_id       uuid NOT NULL,
    version       bigint NOT NULL DEFAULT nextval('index_queue_version'),
    -- Writes (0) come before ingested chunks and what the indexer itself queues (1).
    priority      smallint NOT NULL DEFAULT 0,
    attempts      int NOT NULL DEFAULT 0,
    -- A lease: the item cannot be claimed again before this time. An edit does not change it and clears only retry_at.
    claimed_until timestamptz,
    retry_at      timestamptz,
    last_error    text,
    queued_at     timestamptz NOT NULL DEFAULT now(),
    -- The positions in sessions that the memory has had since it was queued and has no longer.
    former_positions jsonb NOT NULL DEFAULT '[]',
    PRIMARY KEY (kind, item_id)
) WITH (
    -- Rows live for milliseconds: pages keep space for updates in place, and vacuum runs by number, not by share.
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000
);
CREATE INDEX index_queue_order ON index_queue (priority, queued_at);

-- A mark means that this item changed, and nothing else: the indexer finds out what that does to its neighbours. A
-- generic plan, since planning the statement costs more than running it.
CREATE FUNCTION mark_for_indexing(marked_kind text, marked_id uuid, marked_priority int, positions jsonb) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    INSERT INTO index_queue AS queued (kind, item_id, priority, former_positions)
    VALUES (marked_kind, marked_id, marked_priority, positions)
    ON CONFLICT (kind, item_id) DO UPDATE
        SET version = excluded.version, priority = least(queued.priority, excluded.priority), attempts = 0,
            retry_at = NULL, last_error = NULL, former_positions = queued.former_positions || excluded.former_positions;
    PERFORM pg_notify('index_queue', marked_kind);
END
$$;

-- Any change of a column that a memory's points or their filters are made of increments its version. A point with an
-- older version is known to be stale even when its mark was lost.
CREATE FUNCTION increment_version() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN NEW.version := OLD.version + 1; RETURN NEW; END$$;
CREATE TRIGGER agent_memories_version BEFORE UPDATE ON agent_memories
    FOR EACH ROW
    WHEN ((OLD.namespace, OLD.agent_id, OLD.session_id, OLD.kind, OLD.content, OLD.tags, OLD.metadata,
           OLD.occurred_at, OLD.expires_at, OLD.superseded_by)
          IS DISTINCT FROM
          (NEW.namespace, NEW.agent_id, NEW.session_id, NEW.kind, NEW.content, NEW.tags, NEW.metadata,
           NEW.occurred_at, NEW.expires_at, NEW.superseded_by))
    EXECUTE FUNCTION increment_version();

-- Triggers mark items in the writer's own transaction, so that psql and future statements mark them too. In an insert
-- the columns of OLD are NULL, in a delete those of NEW.
CREATE FUNCTION mark_memory() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    former_positions jsonb := '[]';
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.version = NEW.version THEN
        RETURN NULL;
    END IF;
    IF OLD.session_id IS NOT NULL
       AND (OLD.namespace, OLD.session_id, OLD.occurred_at)
           IS DISTINCT FROM (NEW.namespace, NEW.session_id, NEW.occurred_at) THEN
        former_positions := jsonb_build_array(jsonb_build_object('namespace', OLD.namespace, 'session_id', OLD.session_id,
            'occurred_at', OLD.occurred_at, 'sequence', OLD.sequence));
    END IF;
    -- Ingested chunks come after stores, so that thousands of them delay none.
    PERFORM mark_for_indexing(
        'memory', coalesce(NEW.id, OLD.id), coalesce(NEW.ingested, OLD.ingested)::int, former_positions);
    RETURN NULL;
END
$$;
CREATE TRIGGER agent_memories_mark AFTER INSERT OR UPDATE OR DELETE ON agent_memories
    FOR EACH ROW EXECUTE FUNCTION mark_memory();

-- A tool's version is public and only a registration increments it, so this compares what its points are made of.
CREATE FUNCTION mark_tool() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(OLD) - '{endpoint_url,response_schema,created_at,updated_at}'::text[]
       IS DISTINCT FROM to_jsonb(NEW) - '{endpoint_url,response_schema,created_at,updated_at}'::text[] THEN
        PERFORM mark_for_indexing('tool', coalesce(NEW.point_id, OLD.point_id), 0, '[]');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER registered_tools_mark AFTER INSERT OR UPDATE OR DELETE ON registered_tools
    FOR EACH ROW EXECUTE FUNCTION mark_tool();
