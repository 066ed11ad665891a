-- additive
-- A second wall between namespaces, for servers that have a role for it (MEMOS_DATABASE_ROLE). What serves a caller then
-- runs as this role, in transactions that set `memos.namespace`, and sees the rows of that namespace only. The owner of
-- the tables, as which the engine logs in, is not affected.

-- A setting that only a transaction had is empty afterwards, and not NULL: neither admits any row.
CREATE FUNCTION callers_namespace() RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('memos.namespace', true), '');

ALTER TABLE agent_memories ENABLE ROW LEVEL SECURITY;
ALTER TABLE forgotten_memories ENABLE ROW LEVEL SECURITY;
ALTER TABLE memory_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE registered_tools ENABLE ROW LEVEL SECURITY;
ALTER TABLE ingested_files ENABLE ROW LEVEL SECURITY;
ALTER TABLE past_tasks ENABLE ROW LEVEL SECURITY;
ALTER TABLE tool_outcomes ENABLE ROW LEVEL SECURITY;

-- For reading as well as for writing: no row can be moved to another namespace either. In a CASE the condition is none
-- that an index can serve: the statements have such a one already, and where they read rows by id, the planner would
-- rather read the whole namespace before the first ANALYZE. The subquery is evaluated once, and not for each row.
CREATE POLICY callers_namespace ON agent_memories
    USING (CASE WHEN namespace = (SELECT callers_namespace()) THEN true ELSE false END);
CREATE POLICY callers_namespace ON forgotten_memories
    USING (CASE WHEN namespace = (SELECT callers_namespace()) THEN true ELSE false END);
CREATE POLICY callers_namespace ON memory_events
    USING (CASE WHEN namespace = (SELECT callers_namespace()) THEN true ELSE false END);
CREATE POLICY callers_namespace ON registered_tools
    USING (CASE WHEN namespace = (SELECT callers_namespace()) THEN true ELSE false END);
CREATE POLICY callers_namespace ON ingested_files
    USING (CASE WHEN namespace = (SELECT callers_namespace()) THEN true ELSE false END);
CREATE POLICY callers_namespace ON past_tasks
    USING (CASE WHEN namespace = (SELECT callers_namespace()) THEN true ELSE false END);
CREATE POLICY callers_namespace ON tool_outcomes
    USING (CASE WHEN namespace = (SELECT callers_namespace()) THEN true ELSE false END);

-- What serving a caller takes, and nothing else. The tables of the last rows have no namespace: of the queue a caller
-- sees which ids wait, and vectors belong to texts and not to namespaces. What is not here (the engines, the requests
-- to the index, the rest of the queue) is invisible. A migration that adds a table for callers replaces this function.
CREATE FUNCTION callers_privileges() RETURNS TABLE (privilege text, target regclass, of_column name)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    VALUES ('SELECT', 'agent_memories'::regclass, NULL::name),
           ('INSERT', 'agent_memories', NULL),
           ('UPDATE', 'agent_memories', NULL),
           ('DELETE', 'agent_memories', NULL),
           ('USAGE', 'agent_memories_sequence_seq', NULL),
           ('SELECT', 'forgotten_memories', NULL),
           ('INSERT', 'forgotten_memories', NULL),
           ('DELETE', 'forgotten_memories', NULL),
           ('SELECT', 'memory_events', NULL),
           ('INSERT', 'memory_events', NULL),
           ('UPDATE', 'memory_events', 'former'),
           ('SELECT', 'registered_tools', NULL),
           ('INSERT', 'registered_tools', NULL),
           ('UPDATE', 'registered_tools', NULL),
           ('DELETE', 'registered_tools', NULL),
           ('USAGE', 'registered_tools_id_seq', NULL),
           ('SELECT', 'ingested_files', NULL),
           ('INSERT', 'ingested_files', NULL),
           ('UPDATE', 'ingested_files', NULL),
           ('DELETE', 'ingested_files', NULL),
           ('SELECT', 'past_tasks', NULL),
           ('INSERT', 'past_tasks', NULL),
           ('DELETE', 'past_tasks', NULL),
           ('SELECT', 'tool_outcomes', NULL),
           ('INSERT', 'tool_outcomes', NULL),
           ('DELETE', 'tool_outcomes', NULL),
           ('SELECT', 'index_queue', 'kind'),
           ('SELECT', 'index_queue', 'item_id'),
           ('SELECT', 'index_queue', 'priority'),
           ('SELECT', 'index_queue', 'queued_at'),
           ('SELECT', 'embeddings', NULL),
           ('DELETE', 'embeddings', NULL);
END;

CREATE FUNCTION missing_privileges(role name) RETURNS TABLE (privilege text, target regclass, of_column name)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT needed.privilege, needed.target, needed.of_column
      FROM callers_privileges() AS needed
     WHERE NOT CASE WHEN needed.privilege = 'USAGE' THEN has_sequence_privilege(role, needed.target, needed.privilege)
                    WHEN needed.of_column IS NULL THEN has_table_privilege(role, needed.target, needed.privilege)
                    ELSE has_column_privilege(role, needed.target, needed.of_column, needed.privilege) END;
END;

-- Grants what is missing; returns how much that was. The owner of the tables may do that, also where it may not create
-- a role.
CREATE FUNCTION grant_missing_privileges(role name) RETURNS int
    LANGUAGE plpgsql
AS $$
DECLARE
    one     record;
    granted int := 0;
BEGIN
    FOR one IN SELECT * FROM missing_privileges(role) LOOP
        EXECUTE format('GRANT %s%s ON %s %s TO %I', one.privilege, ' (' || quote_ident(one.of_column) || ')',
                       CASE one.privilege WHEN 'USAGE' THEN 'SEQUENCE' ELSE 'TABLE' END, one.target, role);
        granted := granted + 1;
    END LOOP;
    RETURN granted;
END
$$;
REVOKE ALL ON FUNCTION grant_missing_privileges(name) FROM PUBLIC;

-- The triggers that fill the queue run as the owner, so that a caller's role cannot change it otherwise. Where the
-- writer's settings must not decide what a name means, it comes with its schema.
DO $do$
BEGIN
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION mark_for_indexing(marked_kind text, marked_id uuid, marked_priority int, positions jsonb)
    RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    INSERT INTO %1$I.index_queue AS queued (kind, item_id, priority, former_positions)
    VALUES (marked_kind, marked_id, marked_priority, positions)
    ON CONFLICT (kind, item_id) DO UPDATE
        SET version = excluded.version, priority = least(queued.priority, excluded.priority), attempts = 0,
            retry_at = NULL, last_error = NULL, former_positions = queued.former_positions || excluded.former_positions;
    PERFORM pg_notify('index_queue', marked_kind);
END
$$
    $create$, current_schema());
    EXECUTE format($create$
CREATE OR REPLACE FUNCTION mark_chunks() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF (OLD.namespace, OLD.agent_id, OLD.source, OLD.path, OLD.memory_ids)
       IS NOT DISTINCT FROM (NEW.namespace, NEW.agent_id, NEW.source, NEW.path, NEW.memory_ids) THEN
        RETURN NULL;
    END IF;
    INSERT INTO %1$I.index_queue AS queued (kind, item_id, priority)
    SELECT DISTINCT 'memory', chunk, 1
      FROM unnest(OLD.memory_ids || NEW.memory_ids) AS chunk
     ORDER BY chunk
    ON CONFLICT (kind, item_id) DO UPDATE
        SET version = DEFAULT, attempts = 0, retry_at = NULL, last_error = NULL
        WHERE queued.attempts > 0;
    PERFORM pg_notify('index_queue', 'memory');
    RETURN NULL;
END
$$
    $create$, current_schema());
END
$do$;
