-- What the index holds of a session's memory is also made of its neighbours' words: the two before it and the two after
-- it, by (occurred_at, sequence). So whoever comes, changes, moves or goes marks those beside its place too.
--
-- What expires is nobody's neighbour, since its words must not live on in the points of others; nor has it any, so that
-- a write has never more than two on each side to mark.

-- Two writers of one session would not see each other's row, and neither would mark the other: they take turns, and who
-- comes second looks when the first has committed. A statement or a transaction may touch any number of sessions, but
-- the server holds only so many locks: some sessions share a turn, which costs them a moment's wait.
CREATE FUNCTION session_turn(namespace text, session_id text) RETURNS int
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashtextextended(session_id, hashtextextended(namespace, 0)) & 1023)::int;
CREATE FUNCTION take_turn(turn int) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('agent_memories'::regclass::oid::int, turn);
END
$$;

-- Before the row is there: later, whoever waits for the turn would hold content that is stored once, and whoever has
-- the turn may want to store the same.
CREATE FUNCTION take_turn_to_insert() RETURNS trigger
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    PERFORM take_turn(session_turn(NEW.namespace, NEW.session_id));
    RETURN NEW;
END
$$;
CREATE TRIGGER agent_memories_turn BEFORE INSERT ON agent_memories
    FOR EACH ROW WHEN (NEW.session_id IS NOT NULL AND NEW.expires_at IS NULL AND NEW.superseded_by IS NULL)
    EXECUTE FUNCTION take_turn_to_insert();

-- A neighbour goes after fresh writes. One that was not claimed since it was last marked is left as it is, but locked:
-- nobody can claim it before this transaction is over, and whoever does then reads what this transaction wrote. Any
-- other gets a new version, which must be drawn while the row is locked, or it might be older than the one in place.
-- Sorted as the batches of the index are, lest they wait for each other. Whoever listens is told by the memory's own
-- mark.
CREATE FUNCTION mark_beside(
    marked_namespace text, marked_session_id text, marked_occurred_at timestamptz, marked_sequence bigint
) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO index_queue AS queued (kind, item_id, priority)
    SELECT 'memory', near.id, 1
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
      ) AS near
     ORDER BY near.id
    ON CONFLICT (kind, item_id) DO UPDATE
        SET version = DEFAULT, attempts = 0, retry_at = NULL, last_error = NULL
        WHERE queued.attempts > 0;
END
$$;

-- There is no old row in an insert and no new one in a delete: their columns are NULL then.
--
-- Every marking has one plan: the places differ, the way to them does not, and to plan it costs more than to go it. A
-- plan that is made while the table is small is kept while it grows, so it must not be a scan.
CREATE FUNCTION mark_neighbours() RETURNS trigger
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
    SET enable_bitmapscan = off
AS $$
DECLARE
    was boolean := OLD.session_id IS NOT NULL AND OLD.superseded_by IS NULL AND OLD.expires_at IS NULL;
    is_now boolean := NEW.session_id IS NOT NULL AND NEW.superseded_by IS NULL AND NEW.expires_at IS NULL;
    old_turn int := CASE WHEN was THEN session_turn(OLD.namespace, OLD.session_id) END;
    new_turn int := CASE WHEN is_now THEN session_turn(NEW.namespace, NEW.session_id) END;
BEGIN
    IF was OR is_now THEN
        PERFORM take_turn(least(old_turn, new_turn));
        PERFORM take_turn(greatest(old_turn, new_turn));
    END IF;
    IF was AND NOT (is_now AND (OLD.namespace, OLD.session_id, OLD.occurred_at)
                               = (NEW.namespace, NEW.session_id, NEW.occurred_at)) THEN
        PERFORM mark_beside(OLD.namespace, OLD.session_id, OLD.occurred_at, OLD.sequence);
    END IF;
    IF is_now THEN
        PERFORM mark_beside(NEW.namespace, NEW.session_id, NEW.occurred_at, NEW.sequence);
    END IF;
    RETURN NULL;
END
$$;
-- Triggers fire by name: these before the memory marks itself (agent_memories_mark), so that nobody holds its mark and
-- waits for the turn. Who has the turn may want to mark it as a neighbour.
CREATE TRIGGER agent_memories_arrive AFTER INSERT ON agent_memories
    FOR EACH ROW WHEN (NEW.session_id IS NOT NULL AND NEW.expires_at IS NULL AND NEW.superseded_by IS NULL)
    EXECUTE FUNCTION mark_neighbours();
CREATE TRIGGER agent_memories_leave AFTER DELETE ON agent_memories
    FOR EACH ROW WHEN (OLD.session_id IS NOT NULL AND OLD.expires_at IS NULL AND OLD.superseded_by IS NULL)
    EXECUTE FUNCTION mark_neighbours();
CREATE TRIGGER agent_memories_change AFTER UPDATE ON agent_memories
    FOR EACH ROW
    WHEN (coalesce(OLD.session_id, NEW.session_id) IS NOT NULL
          AND (OLD.namespace, OLD.session_id, OLD.content, OLD.occurred_at, OLD.expires_at IS NULL,
               OLD.superseded_by IS NULL)
              IS DISTINCT FROM
              (NEW.namespace, NEW.session_id, NEW.content, NEW.occurred_at, NEW.expires_at IS NULL,
               NEW.superseded_by IS NULL))
    EXECUTE FUNCTION mark_neighbours();

-- A memory's own mark has one plan too, which pays for a part of the above.
ALTER FUNCTION mark_memory() SET plan_cache_mode = force_generic_plan;
