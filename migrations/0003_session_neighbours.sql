-- The points of a memory in a session also contain words of its neighbours: the two before it and the two after it, by
-- (occurred_at, sequence). So a memory that is inserted, changed, moved or deleted marks its neighbours too.
--
-- A memory that expires is no neighbour, since its words must not outlive it in other points. It has no neighbours
-- either, so that a write never marks more than two on each side.

-- Two concurrent writers of one session would not see each other's row, and neither would mark the other. The session
-- lock makes the second one wait until the first has committed. A transaction may write to any number of sessions but
-- the server holds a limited number of locks, so the key has 1,024 values: sessions that share one wait for each other.
CREATE FUNCTION session_lock_key(namespace text, session_id text) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashtextextended(session_id, hashtextextended(namespace, 0)) & 1023)::int;
CREATE FUNCTION lock_session(key int) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('agent_memories'::regclass::oid::int, key);
END
$$;

-- The lock is taken before the row is inserted. Otherwise a writer that waits for the lock would already hold the
-- unique content, and the holder of the lock may want to store the same content: a deadlock.
CREATE FUNCTION lock_session_before_insert() RETURNS trigger
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM lock_session(session_lock_key(NEW.namespace, NEW.session_id));
    RETURN NEW;
END
$$;
CREATE TRIGGER agent_memories_lock_session BEFORE INSERT ON agent_memories
    FOR EACH ROW WHEN (NEW.session_id IS NOT NULL AND NEW.expires_at IS NULL AND NEW.superseded_by IS NULL)
    EXECUTE FUNCTION lock_session_before_insert();

-- Marks the memories around a position of a session, at a lower priority than fresh writes. A queue row that was not
-- claimed since its last mark is locked but not changed: it cannot be claimed before this transaction ends, and the
-- claimer then reads what this transaction wrote. Any other row gets a new version. DEFAULT draws it while the row is
-- locked; drawn earlier, it might be older than the row's. The rows are sorted as in the batches of the index, so that
-- the two do not deadlock. The memory's own mark sends the notification.
CREATE FUNCTION mark_neighbours_of(
    marked_namespace text, marked_session_id text, marked_occurred_at timestamptz, marked_sequence bigint
) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO index_queue AS queued (kind, item_id, priority)
    SELECT 'memory', neighbour.id, 1
      FROM (
        (SELECT id
           FROM agent_memories
          WHERE namespace = marked_namespace
            AND session_id = marked_session_id
            AND superseded_by IS NULL
            AND expires_at IS NULL
            AND (occurred_at, sequence) < (marked_occurred_at, marked_sequence)
          ORDER BY occurred_at DESC, sequence DESC
          LIMIT 2)
        UNION ALL
        (SELECT id
           FROM agent_memories
          WHERE namespace = marked_namespace
            AND session_id = marked_session_id
            AND superseded_by IS NULL
            AND expires_at IS NULL
            AND (occurred_at, sequence) > (marked_occurred_at, marked_sequence)
          ORDER BY occurred_at, sequence
          LIMIT 2)
      ) AS neighbour
     ORDER BY neighbour.id
    ON CONFLICT (kind, item_id) DO UPDATE
        SET version = DEFAULT, attempts = 0, retry_at = NULL, last_error = NULL
        WHERE queued.attempts > 0;
END
$$;

-- In an insert the columns of OLD are NULL, in a delete those of NEW.
--
-- The statements have one generic plan, since planning them costs more than running them. A plan that was made while
-- the table was small is kept while it grows, so it must not be a sequential scan.
CREATE FUNCTION mark_session_neighbours() RETURNS trigger
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
AS $$
DECLARE
    had_neighbours boolean := OLD.session_id IS NOT NULL AND OLD.superseded_by IS NULL AND OLD.expires_at IS NULL;
    has_neighbours boolean := NEW.session_id IS NOT NULL AND NEW.superseded_by IS NULL AND NEW.expires_at IS NULL;
    old_key int := CASE WHEN had_neighbours THEN session_lock_key(OLD.namespace, OLD.session_id) END;
    new_key int := CASE WHEN has_neighbours THEN session_lock_key(NEW.namespace, NEW.session_id) END;
BEGIN
    IF had_neighbours OR has_neighbours THEN
        PERFORM lock_session(least(old_key, new_key));
        PERFORM lock_session(greatest(old_key, new_key));
    END IF;
    IF had_neighbours AND NOT (
        has_neighbours
        AND (OLD.namespace, OLD.session_id, OLD.occurred_at) = (NEW.namespace, NEW.session_id, NEW.occurred_at)
    ) THEN
        PERFORM mark_neighbours_of(OLD.namespace, OLD.session_id, OLD.occurred_at, OLD.sequence);
    END IF;
    IF has_neighbours THEN
        PERFORM mark_neighbours_of(NEW.namespace, NEW.session_id, NEW.occurred_at, NEW.sequence);
    END IF;
    RETURN NULL;
END
$$;
-- Triggers fire in the alphabetical order of their names, and these must fire before agent_memories_mark. Otherwise a
-- writer would hold its own mark while it waits for the session lock, whose holder may want to mark the same memory as
-- a neighbour: a deadlock.
CREATE TRIGGER agent_memories_insert AFTER INSERT ON agent_memories
    FOR EACH ROW WHEN (NEW.session_id IS NOT NULL AND NEW.expires_at IS NULL AND NEW.superseded_by IS NULL)
    EXECUTE FUNCTION mark_session_neighbours();
CREATE TRIGGER agent_memories_delete AFTER DELETE ON agent_memories
    FOR EACH ROW WHEN (OLD.session_id IS NOT NULL AND OLD.expires_at IS NULL AND OLD.superseded_by IS NULL)
    EXECUTE FUNCTION mark_session_neighbours();
CREATE TRIGGER agent_memories_change AFTER UPDATE ON agent_memories
    FOR EACH ROW
    WHEN (coalesce(OLD.session_id, NEW.session_id) IS NOT NULL
          AND (OLD.namespace, OLD.session_id, OLD.content, OLD.occurred_at, OLD.expires_at IS NULL,
               OLD.superseded_by IS NULL)
              IS DISTINCT FROM
              (NEW.namespace, NEW.session_id, NEW.content, NEW.occurred_at, NEW.expires_at IS NULL,
               NEW.superseded_by IS NULL))
    EXECUTE FUNCTION mark_session_neighbours();

-- A memory's own mark has a generic plan too, which compensates for a part of the cost of the above.
ALTER FUNCTION mark_memory() SET plan_cache_mode = force_generic_plan;
