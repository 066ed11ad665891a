-- Finds the parts of files that define a name. The index of all metadata would not do: an ingestion leaves it a pending
-- list, which each of the many names of an answer would read.
CREATE INDEX agent_memories_defines ON agent_memories USING gin ((metadata -> 'defines') jsonb_path_ops)
    WITH (fastupdate = off)
    WHERE metadata ? 'defines';
