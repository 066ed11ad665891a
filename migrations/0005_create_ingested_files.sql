-- Ingested files, with the memories that store their chunks, in the order of the file.
CREATE TABLE ingested_files (
    namespace  text NOT NULL,
    agent_id   text NOT NULL,
    source     text NOT NULL,
    path       text NOT NULL,
    digest     bytea NOT NULL,
    memory_ids uuid[] NOT NULL,
    stored_at  timestamptz NOT NULL
);

-- The index has digests, because a path and three names of 255 characters would not fit an index row.
CREATE UNIQUE INDEX ingested_files_once ON ingested_files (namespace, md5(agent_id), md5(source), md5(path));
-- Before a memory is deleted, this index is searched for other files with the same chunk. It has no pending list, which
-- every such search would have to read.
CREATE INDEX ingested_files_memories ON ingested_files USING gin (memory_ids) WITH (fastupdate = off);

-- The order of a file's chunks is no part of their rows, so the file marks its chunks, in a global order. A queue row
-- that was not claimed since its last mark, as of a chunk that this transaction has just stored, is locked but not
-- changed: it cannot be claimed before this transaction ends, and the claimer then reads what it wrote. DEFAULT draws a
-- version while the row is locked; drawn earlier, it might be older than the row's.
CREATE FUNCTION mark_chunks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.namespace, OLD.agent_id, OLD.source, OLD.path, OLD.memory_ids)
       IS NOT DISTINCT FROM (NEW.namespace, NEW.agent_id, NEW.source, NEW.path, NEW.memory_ids) THEN
        RETURN NULL;
    END IF;
    INSERT INTO index_queue AS queued (kind, item_id, priority)
    SELECT DISTINCT 'memory', chunk, 1
      FROM unnest(OLD.memory_ids || NEW.memory_ids) AS chunk
     ORDER BY chunk
    ON CONFLICT (kind, item_id) DO UPDATE
        SET version = DEFAULT, attempts = 0, retry_at = NULL, last_error = NULL
        WHERE queued.attempts > 0;
    PERFORM pg_notify('index_queue', 'memory');
    RETURN NULL;
END
$$;
CREATE TRIGGER ingested_files_mark AFTER INSERT OR UPDATE OR DELETE ON ingested_files
    FOR EACH ROW EXECUTE FUNCTION mark_chunks();
