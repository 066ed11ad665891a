-- additive
-- What a namespace may use, where that is not what the settings say: NULL is the setting.
CREATE TABLE quotas (
    namespace         text PRIMARY KEY,
    memories          bigint CHECK (memories >= 0),
    bytes             bigint CHECK (bytes >= 0),
    tools             bigint CHECK (tools >= 0),
    calls_a_minute    int CHECK (calls_a_minute > 0),
    concurrent_calls  int CHECK (concurrent_calls > 0),
    embedding_seconds double precision CHECK (embedding_seconds > 0)
);

-- What a namespace holds. It has a row only while it has a limit, so that the others pay nothing. Triggers keep it; the
-- lock of its row makes those who write in the namespace wait for one another, so that no two exceed a limit together.
CREATE TABLE stored_amounts (
    namespace text PRIMARY KEY,
    memories  bigint NOT NULL,
    bytes     bigint NOT NULL,
    tools     bigint NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION stored_bytes(content text, metadata jsonb) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN octet_length(content) + octet_length(metadata::text);

-- These run as the owner, because the role of callers may not change what limits it. Names come with their schema, since
-- the writer's settings must not decide what they mean. Without any limit one lookup in an empty table is all that a
-- statement costs, 0.01 ms; where only others have one, a second lookup.
DO $do$
BEGIN
    EXECUTE format($create$
CREATE FUNCTION count_memories() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM %1$I.stored_amounts) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM added JOIN %1$I.stored_amounts USING (namespace)) THEN
            UPDATE %1$I.stored_amounts AS amount
               SET memories = amount.memories + change.number, bytes = amount.bytes + change.size
              FROM (SELECT namespace, count(*) AS number, sum(%1$I.stored_bytes(content, metadata)) AS size
                      FROM added GROUP BY namespace) AS change
             WHERE amount.namespace = change.namespace;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        UPDATE %1$I.stored_amounts AS amount
           SET memories = amount.memories - change.number, bytes = amount.bytes - change.size
          FROM (SELECT namespace, count(*) AS number, sum(%1$I.stored_bytes(content, metadata)) AS size
                  FROM removed GROUP BY namespace) AS change
         WHERE amount.namespace = change.namespace;
    ELSIF EXISTS (SELECT FROM added JOIN %1$I.stored_amounts USING (namespace)) THEN
        UPDATE %1$I.stored_amounts AS amount
           SET bytes = amount.bytes + change.size
          FROM (SELECT namespace, sum(size) AS size
                  FROM (SELECT namespace, %1$I.stored_bytes(content, metadata) AS size FROM added
                         UNION ALL
                        SELECT namespace, -%1$I.stored_bytes(content, metadata) FROM removed) AS version
                 GROUP BY namespace
                HAVING sum(size) <> 0) AS change
         WHERE amount.namespace = change.namespace;
    END IF;
    RETURN NULL;
END
$$
    $create$, current_schema());
    EXECUTE format($create$
CREATE FUNCTION count_tools() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
AS $$
BEGIN
    IF EXISTS (SELECT FROM %1$I.stored_amounts) THEN
        UPDATE %1$I.stored_amounts AS amount
           SET tools = amount.tools + change.number * CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END
          FROM (SELECT namespace, count(*) AS number FROM changed GROUP BY namespace) AS change
         WHERE amount.namespace = change.namespace;
    END IF;
    RETURN NULL;
END
$$
    $create$, current_schema());
    -- Returns what a namespace holds, and keeps others from changing it until the transaction ends. Counts it first if
    -- that was not done yet. What a caller's role sets is the only namespace that it can ask for.
    EXECUTE format($create$
CREATE FUNCTION lock_stored_amounts(of_namespace text) RETURNS %1$I.stored_amounts
    LANGUAGE plpgsql
    SECURITY DEFINER
AS $$
DECLARE
    amounts %1$I.stored_amounts;
BEGIN
    IF %1$I.callers_namespace() <> of_namespace THEN
        RAISE insufficient_privilege;
    END IF;
    SELECT * INTO amounts FROM %1$I.stored_amounts WHERE namespace = of_namespace FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO %1$I.stored_amounts
        SELECT of_namespace, count(*), coalesce(sum(%1$I.stored_bytes(content, metadata)), 0),
               (SELECT count(*) FROM %1$I.registered_tools WHERE namespace = of_namespace)
          FROM %1$I.agent_memories
         WHERE namespace = of_namespace
        ON CONFLICT DO NOTHING;
        SELECT * INTO amounts FROM %1$I.stored_amounts WHERE namespace = of_namespace FOR UPDATE;
    END IF;
    RETURN amounts;
END
$$
    $create$, current_schema());
END
$do$;

CREATE TRIGGER agent_memories_count_added AFTER INSERT ON agent_memories
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION count_memories();
CREATE TRIGGER agent_memories_count_changed AFTER UPDATE ON agent_memories
    REFERENCING NEW TABLE AS added OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_memories();
CREATE TRIGGER agent_memories_count_removed AFTER DELETE ON agent_memories
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION count_memories();
CREATE TRIGGER registered_tools_count_added AFTER INSERT ON registered_tools
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_tools();
CREATE TRIGGER registered_tools_count_removed AFTER DELETE ON registered_tools
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_tools();
