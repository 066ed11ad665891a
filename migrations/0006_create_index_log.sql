-- One row: the last report of the process that holds the index, and the requests of other processes to it.
CREATE TABLE index_log (
    id                   boolean PRIMARY KEY DEFAULT true CHECK (id),
    report               jsonb,
    published_at         timestamptz,
    rebuild_requested_at timestamptz
);
INSERT INTO index_log DEFAULT VALUES;
