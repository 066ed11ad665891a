-- The points of a file's chunk also contain words of its neighbours: the two before it and the two after it in
-- memory_ids, which has the order of the file. If several files have the chunk, the first one counts, by (source, path,
-- agent_id). So a change of a file, or of a memory in one, marks the neighbours too.

-- Marks those of these chunks whose neighbours come from this file, not from an earlier one. The queue is written to as
-- for neighbours in a session, with two differences. An item that this same transaction has queued (in a first run:
-- all) costs a single index lookup. And it sends a notification, because after a mere change of order no memory's own
-- mark sends one. OFFSET 0 restricts the generic plan to the indexes by id.
CREATE FUNCTION mark_chunks(file ingested_files, chunks uuid[]) RETURNS void
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

-- Marks the chunks whose neighbours differ between the two orders of the file, or that are in one of them only. A slice
-- of five has the chunk itself in the middle, so equal slices mean the same neighbours on both sides.
CREATE FUNCTION mark_moved_chunks(file ingested_files, old_order uuid[], new_order uuid[]) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    moved uuid[];
BEGIN
    SELECT array_agg(chunk) INTO moved
      FROM (
        SELECT chunk, old_order[position - 2 : position + 2] AS slice
          FROM unnest(old_order) WITH ORDINALITY AS old_position (chunk, position)
      ) AS before
      FULL JOIN (
        SELECT chunk, new_order[position - 2 : position + 2] AS slice
          FROM unnest(new_order) WITH ORDINALITY AS new_position (chunk, position)
      ) AS after USING (chunk)
     WHERE before.slice IS DISTINCT FROM after.slice;
    PERFORM mark_chunks(file, moved);
END
$$;

-- One generic plan without sequential scans, as for neighbours in a session; but a GIN index needs bitmap scans.
CREATE FUNCTION mark_changed_file() RETURNS trigger
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
BEGIN
    IF (OLD.namespace, OLD.agent_id, OLD.source, OLD.path) = (NEW.namespace, NEW.agent_id, NEW.source, NEW.path) THEN
        PERFORM mark_moved_chunks(NEW, OLD.memory_ids, NEW.memory_ids);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        PERFORM mark_chunks(OLD, OLD.memory_ids);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM mark_chunks(NEW, NEW.memory_ids);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER ingested_files_mark AFTER INSERT OR DELETE ON ingested_files
    FOR EACH ROW EXECUTE FUNCTION mark_changed_file();
CREATE TRIGGER ingested_files_mark_again AFTER UPDATE ON ingested_files
    FOR EACH ROW
    WHEN ((OLD.namespace, OLD.agent_id, OLD.source, OLD.path, OLD.memory_ids)
          IS DISTINCT FROM (NEW.namespace, NEW.agent_id, NEW.source, NEW.path, NEW.memory_ids))
    EXECUTE FUNCTION mark_changed_file();

-- A chunk whose memory is superseded, changed or deleted outside of ingestion stays in memory_ids, but its neighbours
-- lose its words. FOR SHARE waits for a concurrent ingestion of its file, after which the file is read again: the chunk
-- may have moved within it or to another file.
CREATE FUNCTION mark_chunk_neighbours() RETURNS trigger
    LANGUAGE plpgsql
    SET plan_cache_mode = force_generic_plan
    SET enable_seqscan = off
AS $$
DECLARE
    file ingested_files;
    position int;
BEGIN
    PERFORM FROM ingested_files WHERE memory_ids @> ARRAY[OLD.id] FOR SHARE;
    FOR file IN SELECT * FROM ingested_files WHERE memory_ids @> ARRAY[OLD.id] LOOP
        position := array_position(file.memory_ids, OLD.id);
        PERFORM mark_chunks(
            file, file.memory_ids[position - 2 : position - 1] || file.memory_ids[position + 1 : position + 2]
        );
    END LOOP;
    RETURN NULL;
END
$$;
-- Their names come before agent_memories_mark, as in a session.
CREATE TRIGGER agent_memories_delete_in_file AFTER DELETE ON agent_memories
    FOR EACH ROW WHEN (OLD.session_id IS NULL AND OLD.expires_at IS NULL AND OLD.superseded_by IS NULL)
    EXECUTE FUNCTION mark_chunk_neighbours();
CREATE TRIGGER agent_memories_change_in_file AFTER UPDATE ON agent_memories
    FOR EACH ROW
    WHEN ((OLD.session_id IS NULL OR NEW.session_id IS NULL)
          AND (OLD.namespace, OLD.content, OLD.session_id IS NULL, OLD.expires_at IS NULL, OLD.superseded_by IS NULL)
              IS DISTINCT FROM
              (NEW.namespace, NEW.content, NEW.session_id IS NULL, NEW.expires_at IS NULL, NEW.superseded_by IS NULL))
    EXECUTE FUNCTION mark_chunk_neighbours();
