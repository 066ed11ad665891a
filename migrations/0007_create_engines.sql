-- The processes that run an indexer on this database, each with its last report of what the index holds.
CREATE TABLE engines (
    id uuid PRIMARY KEY, name text NOT NULL, version text NOT NULL, report jsonb,
    started_at timestamptz NOT NULL, seen_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE index_log DROP COLUMN report, DROP COLUMN published_at;
