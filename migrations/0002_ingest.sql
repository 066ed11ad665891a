-- Ingested files, with the memories that store their chunks.

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

-- True while a memory belongs to files only: it is deleted with the last of them. A client that stores the same content
-- makes it false permanently.
ALTER TABLE agent_memories ADD COLUMN ingested boolean NOT NULL DEFAULT false;


-- A source of thousands of chunks must not delay the indexing of a single store, so chunks have the priority of a
-- rebuild. An item that is queued at a higher priority keeps it.
DROP FUNCTION mark_for_indexing(text, uuid);
CREATE FUNCTION mark_for_indexing(marked_kind text, marked_id uuid, marked_priority smallint) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO index_queue AS queued (kind, item_id, priority) VALUES (marked_kind, marked_id, marked_priority)
    ON CONFLICT (kind, item_id) DO UPDATE
        SET version = excluded.version, priority = least(queued.priority, excluded.priority), attempts = 0,
            retry_at = NULL, last_error = NULL;
    PERFORM pg_notify('index_queue', marked_kind);
END
$$;
CREATE OR REPLACE FUNCTION mark_memory() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mark_for_indexing(
        'memory', coalesce(NEW.id, OLD.id), CASE WHEN coalesce(NEW.ingested, OLD.ingested) THEN 1 ELSE 0 END::smallint
    );
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION mark_tool() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM mark_for_indexing('tool', coalesce(NEW.point_id, OLD.point_id), 0::smallint);
    RETURN NULL;
END
$$;
