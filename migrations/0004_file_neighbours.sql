-- What the index holds of a file's chunk is also made of its neighbours' words: the two before it and the two after it
-- in memory_ids, which has the order of the file. Of several files that a chunk stands in, the first one counts, by
-- (source, path, agent_id). So whoever changes a file, or a memory that stands in one, marks those beside it too.

-- Marks those of these chunks whose neighbours come from this file, and not from one that goes before it. The queue is
-- written to as it is for neighbours in a session, with two differences. What this transaction has queued itself, which
-- is all of a first run, costs no more than a look. And whoever listens is told: when only the order changed, no
-- memory's own mark does that. OFFSET 0 keeps the one plan from any other way than by id.
CREATE FUNCTION mark_in_file(file ingested_files, chunks uuid[]) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO index_queue AS queued (kind, item_id, priority)
    SELECT 'memory', chunk, 1
      FROM unnest(chunks) AS chunk
     WHERE NOT EXISTS (
        SELECT
          FROM index_queue AS own
         WHERE (own.kind, own.item_id) = ('memory', chunk)
           AND own.xmin = pg_current_xact_id()::xid
        OFFSET 0
     )
       AND NOT EXISTS (
        SELECT
          FROM (SELECT * FROM ingested_files WHERE memory_ids @> ARRAY[chunk] OFFSET 0) AS other
         WHERE other.namespace = file.namespace
           AND (other.source, other.path, other.agent_id) < (file.source, file.path, file.agent_id)
        OFFSET 0
     )
     ORDER BY chunk
    ON CONFLICT (kind, item_id) DO UPDATE
        SET version = DEFAULT, attempts = 0, retry_at = NULL, last_error = NULL
        WHERE queued.attempts > 0;
    IF FOUND THEN
        PERFORM pg_notify('index_queue', 'memory');
    END IF;
END
$$;

-- Marks the chunks that have others around them in one order of the file than in the other, or that are in one only.
-- Each has itself in the middle, so that who is equal has the same on both sides.
CREATE FUNCTION mark_moved(file ingested_files, old_order uuid[], new_order uuid[]) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    moved uuid[];
BEGIN
    SELECT array_agg(chunk) INTO moved
      FROM (
        SELECT chunk, old_order[place - 2 : place + 2] AS around
          FROM unnest(old_order) WITH ORDINALITY AS old_place (chunk, place)
      ) AS was
      FULL JOIN (
        SELECT chunk, new_order[place - 2 : place + 2] AS around
          FROM unnest(new_order) WITH ORDINALITY AS new_place (chunk, place)
      ) AS is_now USING (chunk)
     WHERE was.around IS DISTINCT FROM is_now.around;
    PERFORM mark_in_file(file, moved);
END
$$;

-- One plan for every marking, and never a scan, as for neighbours in a session; a GIN index needs bitmaps, though.
CREATE FUNCTION mark_chunks() RETURNS trigger
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
BEGIN
    IF (OLD.namespace, OLD.agent_id, OLD.source, OLD.path) = (NEW.namespace, NEW.agent_id, NEW.source, NEW.path) THEN
        PERFORM mark_moved(NEW, OLD.memory_ids, NEW.memory_ids);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM mark_in_file(OLD, OLD.memory_ids);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM mark_in_file(NEW, NEW.memory_ids);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER ingested_files_mark AFTER INSERT OR DELETE ON ingested_files
    FOR EACH ROW EXECUTE FUNCTION mark_chunks();
CREATE TRIGGER ingested_files_mark_again AFTER UPDATE ON ingested_files
    FOR EACH ROW
    WHEN ((OLD.namespace, OLD.agent_id, OLD.source, OLD.path, OLD.memory_ids)
          IS DISTINCT FROM (NEW.namespace, NEW.agent_id, NEW.source, NEW.path, NEW.memory_ids))
    EXECUTE FUNCTION mark_chunks();

-- A chunk whose memory is corrected, changed or forgotten by hand keeps its place in the file, but those beside it lose
-- its words. Who takes in its file at this moment is waited for, and then looked at: the chunk may have another place,
-- or stand in another file.
CREATE FUNCTION mark_beside_chunk() RETURNS trigger
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
DECLARE
    file ingested_files;
    place int;
BEGIN
    PERFORM FROM ingested_files WHERE memory_ids @> ARRAY[OLD.id] FOR SHARE;
    FOR file IN SELECT * FROM ingested_files WHERE memory_ids @> ARRAY[OLD.id] LOOP
        place := array_position(file.memory_ids, OLD.id);
        PERFORM mark_in_file(file, file.memory_ids[place - 2 : place - 1] || file.memory_ids[place + 1 : place + 2]);
    END LOOP;
    RETURN NULL;
END
$$;
-- By name before the memory marks itself (agent_memories_mark), as in a session.
CREATE TRIGGER agent_memories_leave_file AFTER DELETE ON agent_memories
    FOR EACH ROW WHEN (OLD.session_id IS NULL AND OLD.expires_at IS NULL AND OLD.superseded_by IS NULL)
    EXECUTE FUNCTION mark_beside_chunk();
CREATE TRIGGER agent_memories_change_in_file AFTER UPDATE ON agent_memories
    FOR EACH ROW
    WHEN ((OLD.session_id IS NULL OR NEW.session_id IS NULL)
          AND (OLD.namespace, OLD.content, OLD.session_id IS NULL, OLD.expires_at IS NULL, OLD.superseded_by IS NULL)
              IS DISTINCT FROM
              (NEW.namespace, NEW.content, NEW.session_id IS NULL, NEW.expires_at IS NULL, NEW.superseded_by IS NULL))
    EXECUTE FUNCTION mark_beside_chunk();
